"""Traces: order, counting, scopes, files, and records of somebody else's modules."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from refdiff import safetensors
from refdiff.components import UnconditionalUNet
from refdiff.errors import CheckpointError
from refdiff.loading import load
from refdiff.params import Params, Weights
from refdiff.recording import record
from refdiff.trace import Trace
from refdiff.tracing import trace
from tests.nn import oracle


def test_names_are_scoped_and_counted() -> None:
    t = Trace({"made by": "hand"})
    t.record("a", np.zeros(1))
    with t.within("steps.0"):
        t.record("a", np.ones(1))
        with t.within("unet"):
            t.record("", np.zeros(2))
    t.record("a", np.full(1, 5.0))
    assert list(t) == ["a", "steps.0.a", "steps.0.unet", "a@2"]
    assert t["a@2"] == 5 and len(t) == 4


@pytest.mark.parametrize(
    "metadata", [{}, {"order": "no json"}, {"order": '"a"'}, {"order": '["a", "c"]'}]
)
def test_other_files_are_no_traces(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.write(path, {"a": np.zeros(1), "b": np.zeros(1)}, metadata)
    with pytest.raises(CheckpointError, match="order"):
        Trace.load(path)


class Odd(torch.nn.Module):
    """Answers in every form that modules answer in."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 3).to(torch.bfloat16)
        self.names = torch.nn.Identity()
        self.several = torch.nn.Identity()
        self.nothing = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> Any:
        y = self.inner(x)
        self.names({"first": y, "second": 2 * y})
        self.several((y, y))
        self.nothing(None)
        return [y]


def test_record_takes_what_modules_answer_and_lets_go() -> None:
    module, x = Odd(), torch.ones(1, 2, dtype=torch.bfloat16)
    with record(module) as t:
        module(x)
    module(x)
    assert list(t) == ["inner", "names", "several", ""]
    assert t["inner"].dtype == np.float32 and t["inner"].shape == (1, 3)
    assert np.array_equal(t["names"], t["inner"])


def test_weights_are_widened_once_and_read_when_used() -> None:
    half = np.array([1.5], np.float16)
    weights = Weights({"a.b": half})
    p = Params(weights, np.dtype(np.float32)) / "a"
    assert p["b"].dtype == np.float32 and p["b"] is p["b"]
    assert Params(weights, np.dtype(np.float16))["a.b"] is half
    assert "b" in p and "c" not in p and p.get("c") is None
    assert p.tap("x", half) is half


def test_an_unconditional_network_from_its_folder(tmp_path: Path) -> None:
    _, options = oracle.draw_unconditional(oracle.RNG(1))
    module = oracle.build(oracle.UnconditionalUNet, {**options, "sample_size": 8}, 1, torch.float32)
    module.save_pretrained(tmp_path)
    unet = load(tmp_path)
    assert isinstance(unet, UnconditionalUNet)
    x = oracle.RNG(0).normal(size=(2, options["in_channels"], 8, 12)).astype(np.float32)
    with trace(unet) as t:
        y = unet(x, 10)
    with torch.no_grad():
        theirs = module(torch.tensor(x), 10).sample
    assert np.array_equal(t["conv_out"], y) and oracle.relative(y, theirs) <= 1e-4


def test_python_m_refdiff(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["refdiff", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("refdiff", run_name="__main__")
    assert stopped.value.code == 0 and capsys.readouterr().out.startswith("refdiff ")


def test_the_shipped_weights_can_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("refdiff.loading.__file__", str(tmp_path / "refdiff" / "loading.py"))
    with pytest.raises(CheckpointError, match="install refdiff anew"):
        load()


def test_the_order_is_json(tmp_path: Path) -> None:
    t = Trace()
    t.record("b", np.zeros(1))
    t.record("a", np.zeros(1))
    t.save(tmp_path / "t.safetensors")
    assert json.loads(safetensors.read(tmp_path / "t.safetensors").metadata["order"]) == ["b", "a"]
