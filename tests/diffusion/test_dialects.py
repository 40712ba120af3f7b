"""The table of dialects is held to the code: each place shows where it says, and only there."""

import pytest

from refdiff.diffusion.samplers import DIALECTS, MENDED
from tests.bench.dialects import NOT_RUN, PROBES, effect

# places where the dialects differ by less than float32's rounding of the tables
OF_ROUNDING = {
    "all: tables and the plan's coefficients",
    "ddpm: the posterior's variance",
    "ddpm, unclip: fixed_small_log",
    "flow_heun: slopes",
    "euler, euler_a, lms, heun, kdpm2, kdpm2_a: linspace times",
    "euler_cfg_pp, res_multistep, dpm_fast, sample_adaptive: coefficients",
}


def test_every_place_is_probed_or_says_why_not():
    places = [d.where for d in DIALECTS]
    assert len(set(places)) == len(places)
    assert set(places) == PROBES.keys() | NOT_RUN.keys()
    assert not PROBES.keys() & NOT_RUN.keys()
    assert all(d.diffusers and d.paper for d in DIALECTS)
    assert all(m.where and m.diffusers and m.refdiff for m in MENDED)


@pytest.mark.parametrize("where", PROBES)
def test_the_dialects_part_where_the_table_says(where):
    """With the place the ends differ; with the keys that switch it off far less."""
    probe, size = PROBES[where], effect(PROBES[where])
    if where in OF_ROUNDING:
        assert 0 < size < 1e-5
        return
    assert size > 1e-6
    if probe.hides:
        assert effect(probe, hidden=True) < size / 3
