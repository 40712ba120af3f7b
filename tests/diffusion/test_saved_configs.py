"""Configs as they lie on disks: what diffusers saves of every class loads, with all its keys."""

import diffusers
import diffusers.schedulers.deprecated as retired
import pytest

import refdiff
from refdiff.diffusion.samplers import from_config
from tests.diffusion.draws import CLASSES, FEWEST_STEPS


@pytest.mark.parametrize("class_name", CLASSES)
def test_what_diffusers_saves_loads(class_name, tmp_path):
    """-Infinity among the values, which is no JSON."""
    scheduler = getattr(diffusers, class_name, None) or getattr(retired, class_name)
    scheduler().save_pretrained(tmp_path)
    steps = FEWEST_STEPS.get(class_name, 7)
    assert refdiff.load(tmp_path).plan(steps) == from_config({"_class_name": class_name}).plan(
        steps
    )
