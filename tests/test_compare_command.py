"""`refdiff compare` as a user meets it: diffusers on PyTorch as the candidate, with mistakes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import diffusers
import numpy as np
import pytest
import torch

import refdiff
from refdiff import safetensors
from refdiff.cli import main
from refdiff.trace import Trace
from tests.nn import oracle
from tests.verify.test_report_html import Seen
from tests.verify.tiny import UNET

Capture = pytest.CaptureFixture[str]
INPUTS = ("sample", "timestep", "encoder_hidden_states")
SHAPE = UNET | {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (8, 24),
    "attention_head_dim": (1, 3),
    "cross_attention_dim": 10,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a U-Net as diffusers saves it, refdiff's trace of it, and an honest run."""
    folder = tmp_path_factory.mktemp("compare")
    module = oracle.build(diffusers.UNet2DConditionModel, SHAPE, 5, torch.float32)
    module.save_pretrained(folder / "unet")
    rng = oracle.RNG(3)
    inputs = {
        "sample": rng.normal(size=(2, 3, 6, 10)).astype(np.float32),
        "timestep": np.array([981.0, 17.0], np.float32),
        "encoder_hidden_states": rng.normal(size=(2, 5, 10)).astype(np.float32),
    }
    safetensors.write(folder / "in.safetensors", inputs)
    argv = ["--inputs", str(folder / "in.safetensors"), "--level", "layer"]
    argv += ["-o", str(folder / "ref.safetensors"), "--model", str(folder / "unet")]
    assert main(["trace", *argv]) == 0
    run(module, inputs).save(folder / "honest.safetensors")
    return folder


def run(module: Any, inputs: Any) -> Trace:
    with refdiff.record(module, exclude=[""]) as taken, torch.no_grad():
        y = module(*(torch.tensor(inputs[name]) for name in INPUTS)).sample
    taken.record("output", y.numpy())
    return taken


def eps(module: Any) -> None:
    module.mid_block.resnets[0].norm2.eps = 0.05


def tanh(module: Any) -> None:
    gate = module.down_blocks[0].attentions[0].transformer_blocks[0].ff.net[0]
    gate.gelu = lambda x: torch.nn.functional.gelu(x, approximate="tanh")


def padding(module: Any) -> None:
    """Pixels added at the right and at the bottom only, as autoencoders have it."""
    conv = module.down_blocks[0].downsamplers[0].conv
    conv.padding = (0, 0)
    conv.register_forward_pre_hook(
        lambda _, inputs: (torch.nn.functional.pad(inputs[0], (0, 1, 0, 1)),)
    )


def mistaken(place: Path, mistake: Callable[[Any], None]) -> str:
    """A file of what diffusers gives with the mistake."""
    module = copy.deepcopy(diffusers.UNet2DConditionModel.from_pretrained(place / "unet"))
    mistake(module)
    path = place / f"{mistake.__name__}.safetensors"
    run(module, safetensors.read(place / "in.safetensors")).save(path)
    return path.name


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def compared(capsys: Capture, code: int, candidate: str, *argv: str, model: bool = True) -> str:
    """What is on the screen, once the exit code is the one expected."""
    options = ["--model", "unet"] if model else []
    assert main(["compare", "ref.safetensors", candidate, *options, *argv]) == code
    out, err = capsys.readouterr()
    assert all(line.startswith("refdiff: ") for line in err.splitlines())
    return out


def test_an_honest_run_is_right(capsys: Capture) -> None:
    out = compared(capsys, 0, "honest.safetensors", "--verbose")
    *tensors, answer = out.partition("right: everything is explained by rounding (exit 0)")
    assert "explained" in tensors[0] and "down_blocks.0.attentions.0.proj_in" in tensors[0]
    assert "float32" in answer


@pytest.mark.parametrize(
    ("mistake", "where", "id"),
    [
        (eps, "mid_block.resnets.0.norm2", "group_norm/eps"),
        (tanh, "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0", "gelu/gelu-tanh"),
        (padding, "down_blocks.0.downsamplers.0.conv", "conv2d/"),
    ],
)
def test_a_mistake_is_found_and_named(
    mistake: Callable[[Any], None], where: str, id: str, place: Path, capsys: Capture
) -> None:
    candidate = mistaken(place, mistake)
    told = json.loads(compared(capsys, 1, candidate, "--json"))
    assert told["first_divergence"]["name"] == where and told["exit_code"] == 1
    best = told["diagnosis"][0]
    assert best["id"].startswith(id) and best["explains"], told["diagnosis"]
    assert best["where"] == where
    screen = compared(capsys, 1, candidate)
    assert screen.startswith("wrong") and f"first wrong {where}\n" in screen
    assert best["title"] in screen


def test_the_files(place: Path, capsys: Capture) -> None:
    candidate = mistaken(place, eps)
    files = ["--html", "a.html", "--junit", "a.xml", "--write-map", "map.json"]
    compared(capsys, 1, candidate, *files)
    seen = Seen(Path("a.html").read_text())
    assert len(seen.of("img")) == 1 and "mid_block.resnets.0.norm2" in seen.text
    suite = ElementTree.parse("a.xml").getroot()[0]
    assert suite.attrib["failures"] == "1" and suite.attrib["errors"] == "0"
    table = json.loads(Path("map.json").read_text())
    assert table["conv_in"] == "conv_in"
    renamed = {f"x/{name}": value for name, value in safetensors.read(candidate).items()}
    np.savez("renamed.npz", **renamed)
    Path("map.json").write_text(json.dumps({name: f"x/{other}" for name, other in table.items()}))
    told = json.loads(compared(capsys, 1, "renamed.npz", "--json", "--map", "map.json"))
    by_map = [t for t in told["tensors"] if t["how"] == "map"]
    assert len(by_map) == len(table) and by_map[0]["candidate"].startswith("x/")


def test_without_a_model_errors_are_handed_down(place: Path, capsys: Capture) -> None:
    candidate = mistaken(place, eps)
    out = compared(capsys, 1, candidate, "--html", "total.html", model=False)
    assert "name the model by --model" in out and "total error" in out and "why" not in out
    assert len(Seen(Path("total.html").read_text()).of("img")) == 4


def test_a_second_run_tells_what_is_not_the_same_twice(capsys: Capture) -> None:
    arrays = {name: np.array(x) for name, x in safetensors.read("honest.safetensors").items()}
    compared(capsys, 0, "honest.safetensors", "--again", "honest.safetensors")
    arrays["conv_in"] += 1e-3
    safetensors.write("again.safetensors", arrays)
    told = compared(capsys, 4, "honest.safetensors", "--again", "again.safetensors", "--json")
    assert json.loads(told)["nondeterministic"] == ["conv_in"]


def test_weights_are_compared(place: Path, capsys: Capture) -> None:
    (file,) = (place / "unet").glob("*.safetensors")
    weights = {name: np.array(x) for name, x in safetensors.read(file).items()}
    compared(capsys, 0, "honest.safetensors", "--weights", str(file))
    weights["conv_in.bias"] += 1
    safetensors.write("weights.safetensors", weights)
    told = compared(capsys, 1, "honest.safetensors", "--weights", "weights.safetensors", "--json")
    assert any("conv_in.bias" in line for line in json.loads(told)["weights"])


def test_no_diagnosis(place: Path, capsys: Capture) -> None:
    told = json.loads(compared(capsys, 1, mistaken(place, eps), "--json", "--no-diagnosis"))
    assert told["diagnosis"] == [] and told["first_divergence"]["name"].endswith("norm2")


def test_what_is_missing_and_what_is_waived(capsys: Capture) -> None:
    arrays = dict(safetensors.read("honest.safetensors"))
    del arrays["conv_in"], arrays["time_embedding.act"]
    np.savez("some.npz", **arrays)
    assert "not compared  conv_in: missing" in compared(capsys, 3, "some.npz")
    waived = ("--waive", "conv_*", "--waive", "time_embedding.act")
    assert "conv_in" not in compared(capsys, 0, "some.npz", *waived)


def test_an_explanation_has_the_numbers(capsys: Capture) -> None:
    out = compared(capsys, 0, "honest.safetensors", "--explain", "conv_in")
    assert out.startswith("conv_in\nexplained: the rms error") and "gates: up to " in out
    refused(capsys, "conv_in", "honest.safetensors", "--model", "unet", "--explain", "conv_im")


def test_a_precision_may_be_declared(capsys: Capture) -> None:
    told = json.loads(compared(capsys, 0, "honest.safetensors", "--json", "--precision", "float16"))
    assert told["profile"] == "float16"
    refdiff_in_double = compared(capsys, 0, "ref.safetensors", "--json", "--precision", "float64")
    assert json.loads(refdiff_in_double)["profile"] == "float64"


def refused(capsys: Capture, words: str, *argv: str) -> None:
    """Exit 2, one sentence that holds `words` behind the talk, nothing on stdout."""
    assert main(["compare", "ref.safetensors", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err.splitlines()[-1], err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere.npz"], "nowhere.npz"),
        (["honest.safetensors", "--model", "nowhere"], "nowhere"),
        (["honest.safetensors", "--html", "nowhere/a.html"], "no folder"),
        (["honest.safetensors", "--junit", "."], "folder"),
        (["honest.safetensors", "--map", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_requests(argv: list[str], words: str, capsys: Capture) -> None:
    before = sorted(Path().iterdir())
    refused(capsys, words, *argv)
    assert sorted(Path().iterdir()) == before


def test_words_that_the_grammar_lacks(capsys: Capture) -> None:
    for argv in (["a"], ["a", "b", "--precision", "int8"], ["a", "b", "--json", "--verbose"]):
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *argv])
        assert stopped.value.code == 2


def test_help_has_examples_and_exit_codes(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out and "exit code: 0 all is explained" in out
