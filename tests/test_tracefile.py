"""Traces into files: equal to those in memory, flat in memory, whole or not at all, described."""

import hashlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refdiff
from refdiff import safetensors
from refdiff.components import VAE
from refdiff.errors import ConfigError, RefdiffError
from refdiff.loading import shipped
from refdiff.manifest import layout
from refdiff.sketch import sketch, sketch_distance
from refdiff.trace import Trace


@pytest.fixture(scope="module")
def pipe() -> refdiff.Pipeline:
    return refdiff.load()


def run(pipe: refdiff.Pipeline, **options: Any) -> Trace:
    with refdiff.engine("reference"), refdiff.trace(pipe, **options) as t:
        pipe("a frog", steps=2, guidance=2.0, seed=3, size=(32, 16), sampler="euler_a")
    return t


def test_the_file_holds_what_memory_does_and_the_page_describes_it(
    pipe: refdiff.Pipeline, tmp_path: Path
) -> None:
    memory, path = run(pipe), tmp_path / "t.safetensors"
    written = run(pipe, to=path)
    read, page = Trace.load(path), json.loads((tmp_path / "t.json").read_text())
    assert list(memory) == list(written) == list(read) == page["order"] == list(page["tensors"])
    for name, array in memory.items():
        told = page["tensors"][name]
        assert np.array_equal(read[name], array) and np.array_equal(written[name], array)
        assert told["shape"] == list(array.shape) and told["dtype"] == array.dtype.name
        assert told["sha256"] == hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
        numbers = [array.min(), array.max(), array.mean(dtype=float), array.std(dtype=float)]
        assert np.allclose([told[key] for key in ("min", "max", "mean", "std")], numbers), name
        assert len(told["layout"]) == array.ndim
    assert page["schema"] == 1 and page["refdiff"] == refdiff.__version__
    assert page["engine"] == read.notes["engine"] == "reference"
    assert page["settings"]["seed"] == 3 and page["settings"]["dtype"] == "float32"
    assert page["model"]["vae"]["channels"] == list(pipe.vae.config.channels)


def test_the_pipeline_s_own_values(pipe: refdiff.Pipeline) -> None:
    """Guidance, steps and states add up, in the order in which they are computed."""
    t = run(pipe, level="io")
    step = ["x_in", "unet", "eps_uncond", "eps_text", "out", "noise", "x_prev"]
    names = [f"steps.{i}.{name}" for i in range(2) for name in step]
    names.remove("steps.1.noise")  # the last row draws none
    plan = pipe.choose("euler_a").plan(2)
    assert list(t) == [
        *("tokens", "text_states"),
        *(f"plan.{name}" for name in plan.names),
        "latents",
        *names,
        *("z", "vae", "picture"),
    ]
    for i in range(2):
        uncond, text = t[f"steps.{i}.eps_uncond"], t[f"steps.{i}.eps_text"]
        assert np.array_equal(np.concatenate([uncond, text]), t[f"steps.{i}.unet"])
        assert np.allclose(uncond + 2 * (text - uncond), t[f"steps.{i}.out"])
    assert np.array_equal(t["plan.t"], plan.timesteps) and t["tokens"].shape == (2, 32)
    assert np.array_equal(t["text_states"], pipe.encode(["", "a frog"]))
    assert np.array_equal(t["z"], pipe.vae.unscale(t["steps.1.x_prev"]))


def test_a_plan_s_words_are_no_tensors_and_guidance_one_has_no_halves(
    pipe: refdiff.Pipeline,
) -> None:
    with refdiff.trace(pipe, level="io", include=("plan.*", "steps.*")) as t:
        pipe("a frog", steps=5, guidance=1, size=(16, 16), sampler="pndm")
    assert "plan.t" in t and "plan.role" not in t
    assert "steps.0.out" in t and "steps.0.eps_text" not in t


def test_ops_are_named_by_their_layer(pipe: refdiff.Pipeline) -> None:
    wanted = ("*.attn1@*", "steps.?.unet.conv_in*", "steps.?.unet@*")
    t = run(pipe, level="op", include=wanted, steps=[1])
    path = "steps.1.unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    weights = t[f"{path}@softmax"]
    assert weights.shape == (2, 4, 2, 2) and np.allclose(weights.sum(-1), 1)
    assert np.array_equal(t["steps.1.unet.conv_in@conv2d"], t["steps.1.unet.conv_in"])
    assert "steps.1.unet@timestep_embedding" in t and not any("steps.0." in name for name in t)
    with refdiff.engine("fast"), refdiff.trace(pipe.unet, level="op", include="*.attn1@*") as t:
        pipe.unet(np.zeros((1, 4, 4, 4), np.float32), 10, np.zeros((1, 32, 128), np.float32))
    assert t and all(name.endswith("@attention") for name in t)  # its kernel makes no softmax


def test_layouts() -> None:
    told = {
        ("tokens", 2): "NL",
        ("inputs.input_ids", 2): "NL",
        ("plan.t", 1): "R",
        ("latents", 4): "NCHW",
        ("a.attn1", 3): "NLD",
        ("a.attn1@softmax@2", 4): "NhLS",
        ("a.attn1@attention", 4): "NhLD",
        ("vae.mid_block.attentions.0.group_norm", 3): "NCL",
        ("inputs.timestep", 0): "",
        ("x", 5): "",
    }
    assert {key: layout(*key) for key in told} == told


def peak(work: Any) -> int:
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A trace of 40 MB takes less than twice its largest tensor; in memory it takes all of it."""
    vae = refdiff.load(shipped() / "vae")
    assert isinstance(vae, VAE)
    z = np.random.default_rng(0).normal(size=(1, 4, 32, 32)).astype(np.float32)
    path = tmp_path / "t.safetensors"

    def traced(**options: Any) -> None:
        with refdiff.trace(vae, **options):
            vae.decode(z)

    with refdiff.engine("fast"):
        vae.decode(z)  # reads the weights
        alone, filed, kept = (
            peak(work) for work in (lambda: vae.decode(z), lambda: traced(to=path), traced)
        )
    sizes = [array.nbytes for array in Trace.load(path).values()]
    assert sum(sizes) > 40e6
    assert filed - alone < 2 * max(sizes) < sum(sizes) / 4 < kept - alone


def test_the_limit_names_what_does_not_fit_and_leaves_nothing(
    pipe: refdiff.Pipeline, tmp_path: Path
) -> None:
    for options in ({"to": tmp_path / "t.safetensors"}, {}):
        with pytest.raises(ConfigError, match=r"steps\.0\.\S+ takes \d+ bytes, .* limit is 300000"):
            run(pipe, level="block", max_bytes=300_000, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_what_breaks_off_leaves_no_file(
    pipe: refdiff.Pipeline, tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "t.json").write_text("before")

    def stop(done: int, total: int) -> None:
        raise error

    with pytest.raises(error), refdiff.trace(pipe, to=tmp_path / "t.safetensors"):
        pipe("a frog", steps=2, size=(16, 16), progress=stop)
    assert os.listdir(tmp_path) == ["t.json"] and (tmp_path / "t.json").read_text() == "before"
    assert pipe._trace is None


def test_another_file_s_trouble_is_told_as_such(pipe: refdiff.Pipeline, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), refdiff.trace(pipe, to=tmp_path / "t.safetensors"):
        (tmp_path / "missing").read_bytes()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "t.npz"}, ".safetensors file"),
        ({"to": "t.safetensors", "sketch": True}, ".json file"),
        ({"sketch": True}, "to='sketch.json'"),
        ({"to": "nowhere/t.safetensors"}, "no folder"),
        ({"to": "t.safetensors", "include": "nothing"}, "nothing to write"),
        ({"level": "all"}, "io, block, layer, op"),
        ({"steps": "x"}, "0:3"),
    ],
)
def test_options_that_make_no_sense(
    options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vae = refdiff.load(shipped() / "vae")
    with pytest.raises(RefdiffError, match=words), refdiff.trace(vae, **options):
        vae.decode(np.zeros((1, 4, 1, 1), np.float32))
    assert os.listdir() == []


def test_sketches_of_a_run_tell_rounding_from_a_mistake(
    pipe: refdiff.Pipeline, tmp_path: Path
) -> None:
    """float32 beside float64 is near at every name; a dropped bias is far from there on."""

    def sketches(name: str, dtype: str) -> dict[str, refdiff.Sketch]:
        with refdiff.trace(pipe.vae, to=tmp_path / name, sketch=True) as t:
            pipe.vae.decode(z.astype(dtype))
            assert list(t) == []
        return refdiff.read_sketches(tmp_path / name)

    z = np.random.default_rng(5).normal(size=(1, 4, 8, 12))
    exact, rounded = sketches("a.json", "float64"), sketches("b.json", "float32")
    far = {name: sketch_distance(rounded[name], exact[name]) for name in exact}
    assert exact.keys() == rounded.keys() and 1e-9 < max(far.values()) < 1e-4
    source = dict(pipe.vae.weights.source)
    guilty = "decoder.up_blocks.1.resnets.0.conv1"
    source[f"{guilty}.bias"] = np.zeros_like(source[f"{guilty}.bias"])
    pipe.vae = VAE(pipe.vae.config, source)
    wrong = sketches("c.json", "float32")
    assert next(n for n in exact if sketch_distance(wrong[n], exact[n]) > 1e-3) == guilty
    assert (tmp_path / "a.json").stat().st_size < 12_000 * len(exact)
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b.json", "c.json"]


def test_one_sketch_is_that_of_the_function(pipe: refdiff.Pipeline, tmp_path: Path) -> None:
    z = np.ones((1, 4, 2, 3), np.float32)
    with refdiff.trace(pipe.vae, to=tmp_path / "a.json", sketch=True):
        picture = pipe.vae.decode(z)
    read = refdiff.read_sketches(tmp_path / "a.json")[""]
    assert sketch_distance(read, sketch(picture)) == 0
    assert np.array_equal(read.channel_std, sketch(picture).channel_std)


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    class Bad:
        def recording(self, trace: Trace) -> Any:
            trace.record("a", np.array([1, np.nan]))
            trace.record("b", np.zeros((0, 2)))
            return refdiff.engine("reference")

    with refdiff.trace(Bad(), to=tmp_path / "t.safetensors"):
        pass
    told = json.loads((tmp_path / "t.json").read_text())["tensors"]
    assert told["a"]["mean"] is None and told["a"]["max"] is None and told["b"]["min"] is None
    assert np.isnan(safetensors.read(tmp_path / "t.safetensors")["a"][1])


def test_options_that_json_lacks_are_words_on_the_page(
    pipe: refdiff.Pipeline, tmp_path: Path
) -> None:
    options = {"lambda_min_clipped": -np.inf}
    with refdiff.trace(pipe, to=tmp_path / "t.safetensors", level="io"):
        pipe("a cat ✓", steps=2, size=(16, 16), sampler="dpm++", sampler_options=options)
    settings = json.loads((tmp_path / "t.json").read_text())["settings"]
    assert settings["sampler_options"] == {"lambda_min_clipped": "-Infinity"}
    assert settings["prompt"] == "a cat ✓"


def test_a_full_disk_leaves_neither_file(
    pipe: refdiff.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("refdiff.tracefile.manifest", full)
    with (
        pytest.raises(RefdiffError, match="No space"),
        refdiff.trace(pipe.vae, to=tmp_path / "t.safetensors"),
    ):
        pipe.vae.decode(np.zeros((1, 4, 1, 1), np.float32))
    assert os.listdir(tmp_path) == []
