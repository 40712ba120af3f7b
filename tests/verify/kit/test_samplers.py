"""diffusers' own schedulers, in float32, by the kit's sampler vectors."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from refdiff.op import Array
from refdiff.verify.kit.read import Entry
from refdiff.verify.kit.verify import verify
from refdiff.verify.kit.write import write_kit
from refdiff.verify.report import Exit, Report
from refdiff.verify.verdict import State

NAMES = ("ddim", "euler", "dpm++", "heun", "unipc", "pndm")


def by_diffusers(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """What the scheduler shows the model, and x after each step."""
    config: dict[str, Any] = dict(entry.attributes["scheduler"])
    scheduler = getattr(diffusers, config.pop("_class_name")).from_config(config)
    scheduler.set_timesteps(entry.attributes["steps"])
    x = torch.tensor(np.array(tensors["in.start"])) * float(scheduler.init_noise_sigma)
    outs = torch.tensor(np.array(tensors["in.out"]))
    shown, after = [], []
    for t, out in zip(scheduler.timesteps, outs, strict=True):
        shown.append(scheduler.scale_model_input(x, t).numpy())
        x = scheduler.step(out, t, x, return_dict=False)[0]
        after.append(x.numpy())
    return {"out.x": np.stack(after), "out.x_in": np.stack(shown)}


def told(report: Report) -> dict[str, State]:
    return {t.name: t.state for t in report.tensors}


@pytest.mark.parametrize("name", NAMES)
def test_diffusers_is_right(name: str, tmp_path: Path) -> None:
    write_kit(tmp_path / "kit", f"samplers/{name}/*")
    states = told(verify(tmp_path / "kit", by_diffusers))
    assert len(states) == 4 and max(states.values()) <= State.LOOSE, states


def test_a_wrong_schedule_is_named(tmp_path: Path) -> None:
    write_kit(tmp_path / "kit", "samplers/ddim/default")

    def wrong(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        scheduler = {**entry.attributes["scheduler"], "beta_schedule": "scaled_linear"}
        attributes = {**entry.attributes, "scheduler": scheduler}
        return by_diffusers(replace(entry, attributes=attributes), tensors)

    report = verify(tmp_path / "kit", wrong)
    best = report.diagnosis[0]
    assert report.exit_code == Exit.UNEXPLAINED
    assert best.explains and best.id == "schedule/scaled-linear"
