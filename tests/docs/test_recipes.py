"""The recorders of docs/tracing.md in other languages: compiled, run, and read back by refdiff."""

import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, reference, save

import refdiff
from refdiff import safetensors
from tests.docs.fences import FENCE, fences

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"
EXPECTED = {
    "steps.0.unet.conv_in": np.array([[1.5, -2, 0.25], [1e-7, 3, 4]], np.float32),
    "steps.0.unet.conv_act": np.array([-0.5], np.float32),
    "none": np.zeros((0, 4), np.float32),
}
HARNESS = {
    "cpp": """
int main() {
  float a[] = {1.5f, -2, 0.25f, 1e-7f, 3, 4}, b[] = {-0.5f};
  Dump d;
  d.add("steps.0.unet.conv_in", {2, 3}, a);
  d.add("steps.0.unet.conv_act", {1}, b);
  d.add("none", {0, 4}, nullptr);
  d.save("out.safetensors");
}
""",
    "rust": """
fn main() {
    let mut d = Dump::default();
    d.add("steps.0.unet.conv_in", &[2, 3], &[1.5, -2.0, 0.25, 1e-7, 3.0, 4.0]);
    d.add("steps.0.unet.conv_act", &[1], &[-0.5]);
    d.add("none", &[0, 4], &[]);
    d.save("out.safetensors").unwrap();
}
""",
    "js": """
require("fs").writeFileSync("out.safetensors", safetensors({
  "steps.0.unet.conv_in": {shape: [2, 3], data: Float32Array.of(1.5, -2, 0.25, 1e-7, 3, 4)},
  "steps.0.unet.conv_act": {shape: [1], data: new Float32Array([9, -0.5]).subarray(1)},
  "none": {shape: [0, 4], data: new Float32Array(0)},
}));
""",
}
COMMANDS = {
    "cpp": ("g++", ["g++", "-std=c++17", "-Wall", "-Werror", "-o", "run", "source.cpp"], ["./run"]),
    "rust": ("rustc", ["rustc", "--edition=2021", "-o", "run", "source.rust"], ["./run"]),
    "js": ("node", ["node", "--check", "source.js"], ["node", "source.js"]),
}


def run(language: str, source: str, folder: Path) -> str:
    tool, build, call = COMMANDS[language]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not here")
    (folder / f"source.{language}").write_text(source)
    subprocess.run(build, cwd=folder, check=True)
    return subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("language", HARNESS)
def test_what_others_write_is_read(language: str, tmp_path: Path) -> None:
    recipe = fences(PAGE, language)[-1]
    run(language, recipe + HARNESS[language], tmp_path)
    read = safetensors.read(tmp_path / "out.safetensors")
    assert set(read) == set(EXPECTED)
    for name, array in EXPECTED.items():
        assert read[name].dtype == np.float32 and np.array_equal(read[name], array)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (7,), (2, 70, 2, 2)])
def test_a_sketch_from_a_browser(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=shape).astype(np.float32)
    axis = 1 if len(shape) == 4 else len(shape) - 1
    call = f"new Float32Array({json.dumps(x.reshape(-1).tolist())}), {json.dumps(shape)}, {axis}"
    code = f"console.log(JSON.stringify({{tensors: {{a: sketch({call})}}}}));"
    (tmp_path / "s.json").write_text(run("js", fences(PAGE, "js")[0] + code, tmp_path))
    read, ours = refdiff.read_sketches(tmp_path / "s.json")["a"], refdiff.sketch(x)
    assert refdiff.sketch_distance(read, ours) < 1e-14 and np.array_equal(
        read.samples, ours.samples
    )
    for key in ("projections", "channel_mean", "channel_std"):
        assert np.allclose(getattr(read, key), getattr(ours, key), rtol=1e-12, atol=1e-10), key


def test_the_onnx_recipe_on_the_reference_evaluator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX's own evaluator stands in for the runtime, which is no dependency of the tests."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in "xy")
    nodes = [helper.make_node("Exp", ["x"], ["inner"]), helper.make_node("Neg", ["inner"], ["y"])]
    save(helper.make_model(helper.make_graph(nodes, "g", [x], [y])), str(tmp_path / "model.onnx"))
    inputs = {"x": np.array([[0, 1, 2], [3, 4, 5]], np.float32)}

    class Session:
        def __init__(self, data: bytes) -> None:
            (tmp_path / "more.onnx").write_bytes(data)
            self._session = reference.ReferenceEvaluator(load(str(tmp_path / "more.onnx")))

        def get_outputs(self) -> list[types.SimpleNamespace]:
            return [types.SimpleNamespace(name=name) for name in self._session.output_names]

        def run(self, names: list[str], values: dict[str, np.ndarray]) -> list[np.ndarray]:
            return self._session.run(names, values)

    runtime = types.SimpleNamespace(InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    exec(fences(PAGE, "py")[0], {"inputs": inputs})
    read = safetensors.read("onnx.safetensors")
    assert set(read) == {"inner", "y"} and np.allclose(read["inner"], np.exp(inputs["x"]))


def test_recipes_are_short() -> None:
    text = PAGE.read_text()
    found = FENCE.findall(text[text.index("## Recorders") :])
    assert len(found) == 7 and all(len(body.splitlines()) <= 20 for _, body in found)
