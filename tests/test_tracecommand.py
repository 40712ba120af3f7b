"""`refdiff trace` as a user meets it: files, pages, and one sentence for whatever is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refdiff
from refdiff import safetensors
from refdiff.arguments import byte_count
from refdiff.cli import main
from refdiff.loading import shipped
from refdiff.trace import Trace
from tests.nn import oracle

QUICK = ["--steps", "2", "--guidance", "2", "--size", "32x16"]
INPUTS: dict[str, dict[str, np.ndarray]] = {
    "unet": {
        "sample": oracle.RNG(0).normal(size=(2, 4, 4, 8)).astype(np.float32),
        "timestep": np.array([3, 981]),
        "encoder_hidden_states": oracle.RNG(1).normal(size=(2, 32, 128)).astype(np.float32),
    },
    "text_encoder": {"input_ids": np.array([[1248, 5, 1249]])},
    "encode": {"sample": oracle.RNG(2).uniform(-1, 1, (1, 3, 8, 16)).astype(np.float32)},
    "decode": {"z": oracle.RNG(3).normal(size=(1, 4, 2, 4)).astype(np.float32)},
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def component(name: str) -> str:
    return str(shipped() / {"encode": "vae", "decode": "vae"}.get(name, name))


def test_a_run_is_float64_by_definitions_at_block_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "a frog", *QUICK]) == 0
    assert capsys.readouterr() == ("trace.safetensors\ntrace.json\n", "")
    t, page = Trace.load("trace.safetensors"), json.loads(Path("trace.json").read_text())
    assert page["command"] == ["trace", "a frog", *QUICK] and page["engine"] == "reference"
    assert page["settings"]["dtype"] == "float64" and len(page["weights"]) == 64
    assert t["steps.1.unet.mid_block"].dtype == np.float64
    assert "steps.0.unet.down_blocks.0.resnets.0" in t
    assert "steps.0.unet.down_blocks.0.resnets.0.norm1" not in t
    pipe = refdiff.load()
    with refdiff.engine("reference"):
        made = pipe("a frog", steps=2, guidance=2.0, size=(32, 16), dtype="float64")
    assert np.array_equal(t["steps.1.x_prev"], made.latents)


def test_less_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["trace", "a frog", *QUICK, "--level", "op", "--include", "*.attn1@*", "--only-steps"]
    argv += ["1", "--exclude", "*@attention", "--engine", "reference", "--dtype", "float32"]
    assert main([*argv, "-o", "a.safetensors", "--max-bytes", "1M"]) == 0
    names = list(Trace.load("a.safetensors"))
    assert names and all(n.endswith(".attn1@softmax") and n.startswith("steps.1.") for n in names)
    assert sorted(os.listdir()) == ["a.json", "a.safetensors"]


def test_sketches() -> None:
    assert main(["trace", "a frog", *QUICK, "--level", "io", "--sketch"]) == 0
    assert os.listdir() == ["trace.json"]
    assert "steps.1.eps_text" in refdiff.read_sketches("trace.json")


@pytest.mark.parametrize("name", INPUTS)
def test_a_budget_stands_for_the_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What honest runs are off by is on the page, so that compare does not need the weights."""
    safetensors.write("in.safetensors", INPUTS[name])
    argv = ["trace", "--model", component(name), "--inputs", "in.safetensors"]
    assert main([*argv, "--budget", "-o", "ref.safetensors"]) == 0
    assert main([*argv, "--dtype", "float32", "--engine", "fast", "-o", "mine.safetensors"]) == 0
    assert main(["compare", "ref.safetensors", "mine.safetensors"]) == 0, capsys.readouterr().out
    mine = dict(Trace.load("mine.safetensors"))
    safetensors.write("wrong.safetensors", {**mine, "output": mine["output"] * np.float32(1.01)})
    assert main(["compare", "ref.safetensors", "wrong.safetensors"]) == 1
    assert "first wrong output" in capsys.readouterr().out


def test_a_budget_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["trace", "a frog", *QUICK]
    assert main([*argv, "--budget", "-o", "ref.safetensors"]) == 0
    assert main([*argv, "--dtype", "float32", "--engine", "fast", "-o", "mine.safetensors"]) == 0
    assert main(["compare", "ref.safetensors", "mine.safetensors"]) == 0, capsys.readouterr().out
    assert main([*argv, "--budget", "--sketch"]) == 2
    assert "--budget" in capsys.readouterr().err


@pytest.mark.parametrize("name", INPUTS)
def test_one_component_on_given_inputs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the file says is what the call in float64 says, and PyTorch's modules in float64."""
    safetensors.write("in.safetensors", INPUTS[name])
    argv = ["trace", "--model", component(name), "--inputs", "in.safetensors", "-o"]
    assert main([*argv, "ref.safetensors", "--level", "layer"]) == 0
    t = Trace.load("ref.safetensors")
    for key, value in INPUTS[name].items():
        assert np.array_equal(t[f"inputs.{key}"], value)
    part, wide = refdiff.load(component(name)), lambda x: x.astype(np.float64)
    values = list(INPUTS[name].values())
    expected: Any = {
        "unet": lambda: part(wide(values[0]), values[1], wide(values[2])),
        "text_encoder": lambda: part(values[0], "float64").last_hidden_state,
        "encode": lambda: part.encode(wide(values[0]))[0],
        "decode": lambda: part.decode(wide(values[0])),
    }[name]()
    assert np.array_equal(t["output"], expected) and t["output"].dtype == np.float64
    assert "" not in t and json.loads(Path("ref.json").read_text())["settings"] == {
        "dtype": "float64"
    }
    assert main([*argv, "b.safetensors", "--dtype", "float32", "--engine", "fast"]) == 0
    quick = Trace.load("b.safetensors")
    assert quick["output"].dtype == np.float32 and quick.notes["engine"] == "fast"
    assert oracle.relative(quick["output"], t["output"]) < 1e-4


def unet(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    changed = {**INPUTS["unet"], **changes}
    return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("unet", unet(timestep=None), "timestep"),
        ("unet", unet(more=np.zeros(1)), "more"),
        ("unet", unet(sample=np.zeros((1, 4, 4, 4), int)), "real numbers"),
        ("unet", unet(sample=np.zeros((2, 3, 4, 4))), "expected [N,4,H,W]"),
        ("unet", unet(timestep=np.zeros(3)), "one time"),
        ("unet", unet(timestep=np.zeros(2, bool)), "real numbers"),
        ("text_encoder", {"input_ids": np.zeros((1, 3))}, "whole numbers"),
        ("text_encoder", {"input_ids": np.full((1, 3), 9999)}, "ids"),
        ("decode", {"z": np.zeros((4, 2, 2))}, "expected [N,4,H,W]"),
        ("decode", {"z": np.zeros((1, 4, 2, 2)), "sample": np.zeros(1)}, "sample or z"),
        ("scheduler", {}, "no network"),
        ("tokenizer", {}, "no network"),
    ],
)
def test_inputs_that_do_not_fit(
    name: str, inputs: dict[str, np.ndarray], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors.write("in.safetensors", inputs)
    refused(["--model", component(name), "--inputs", "in.safetensors"], words, capsys)


def refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one sentence that holds `words`, and no file that was not there before."""
    before = sorted(os.listdir())
    assert main(["trace", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err, err
    assert err.startswith("refdiff: ") and err.count("\n") == 1 and len(err) < 600, err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "no prompt"),
        (["a", "--inputs", "in.safetensors"], "--model FOLDER/unet"),
        (["--model", str(shipped() / "unet")], "sample, timestep, encoder_hidden_states"),
        (["a", "--model", str(shipped() / "vae")], "sample or z"),
        (["--model", str(shipped() / "vae"), "--inputs", "missing.safetensors"], "missing"),
        (["a", "-o", "t.npz"], ".safetensors file"),
        (["a", "--sketch", "-o", "t.safetensors"], ".json file"),
        (["a", "-o", "nowhere/t.safetensors"], "no folder"),
        (["a", *QUICK, "--only-steps", "1-3"], "0:3"),
        (["a", *QUICK, "--only-steps", "5", "--include", "steps.*"], "nothing to write"),
        (["a", *QUICK, "--max-bytes", "100K"], "takes"),
        (["a", "--steps", "0"], "steps"),
        (["a", "--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_requests(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(argv, words, capsys)


def test_control_c_leaves_no_file() -> None:
    work = subprocess.Popen(
        [sys.executable, "-m", "refdiff", "trace", "a cat", "--steps", "900"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has its children ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while not any(p.stat().st_size > 2 << 20 for p in Path().iterdir()):
        assert time.monotonic() < until and work.poll() is None
        time.sleep(0.1)
    work.send_signal(signal.SIGINT)
    out, err = work.communicate(timeout=60)
    assert work.returncode == 130 and out == "" and err.count("\n") == 1, err
    assert os.listdir() == []


def test_numbers_of_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert [byte_count(t) for t in ("7", "3K", "500M", "2G")] == [7, 3000, 500 * 10**6, 2 * 10**9]
    for word in ("", "M", "-1", "1.5G", "2T", "9" * 30):
        with pytest.raises(SystemExit):
            main(["trace", "a", f"--max-bytes={word}"])
    assert "500M" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["trace", "--help"])
    assert "examples:" in capsys.readouterr().out
