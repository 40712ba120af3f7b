"""Noise schedules: their bits, their laws, their refusals."""

import diffusers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.schedule import MAX_STEPS, NoiseSchedule
from refdiff.errors import ConfigError

KINDS = {
    "linear": NoiseSchedule.linear,
    "scaled_linear": NoiseSchedule.scaled_linear,
    "sigmoid": NoiseSchedule.sigmoid,
    "squaredcos_cap_v2": lambda T, *ends, **dialect: NoiseSchedule.cosine(T, **dialect),
}


def ulps(a, b):
    """Distance in float32 steps, the largest."""
    a, b = (np.asarray(x, np.float32).view(np.int32).astype(np.int64) for x in (a, b))
    return int(np.max(np.abs(a - b)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(T=st.integers(1, 1200), start=st.floats(1e-5, 0.01), end=st.floats(0.011, 0.5))
def test_tables_have_diffusers_bits(kind, T, start, end):
    theirs = diffusers.DDPMScheduler(
        num_train_timesteps=T, beta_start=start, beta_end=end, beta_schedule=kind
    )
    mine = KINDS[kind](T, start, end)
    # torch's vectorised exp is two float32 steps off here and there; all else is exact
    assert ulps(mine.betas, theirs.betas.numpy()) <= (4 if kind == "sigmoid" else 0)
    if kind != "sigmoid":
        assert ulps(mine.alphas_cumprod, theirs.alphas_cumprod.numpy()) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [3, 50, 999, 1000])
def test_rescaled_tables_agree_with_diffusers(kind, T):
    """torch's vectorised float32 sqrt is a step off here and there, which bounds the agreement."""
    theirs = diffusers.DDPMScheduler(
        num_train_timesteps=T, beta_schedule=kind, rescale_betas_zero_snr=True
    )
    mine = KINDS[kind](T, 1e-4, 0.02).rescale_zero_terminal_snr()
    np.testing.assert_allclose(mine.alphas_cumprod, theirs.alphas_cumprod.numpy(), atol=5e-6)
    assert mine.alphas_cumprod[-1] == theirs.alphas_cumprod[-1].item() == 0


@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [2, 10, 1000])
def test_laws(kind, T, dialect):
    schedule = KINDS[kind](T, 1e-4, 0.02, dialect=dialect)
    a = schedule.alphas_cumprod
    assert len(schedule) == T
    assert np.all(np.diff(a) < 0) and a[-1] > 0 and a[0] < 1
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas), a, rtol=1e-6)
    np.testing.assert_allclose(schedule.snr * schedule.sigmas**2, 1, rtol=2e-4)
    assert a.dtype == schedule.betas.dtype == schedule.sigmas.dtype == np.float64
    rescaled = schedule.rescale_zero_terminal_snr()
    b = rescaled.alphas_cumprod
    assert b[-1] == 0 and np.isinf(rescaled.sigmas[-1]) and rescaled.snr[-1] == 0
    assert b[0] == pytest.approx(a[0], abs=1e-6)
    assert np.all(np.diff(b) < 0)
    # Algorithm 1: sqrt(alpha_bar) is shifted and scaled, so stays an affine function of the old
    slope = np.polyfit(np.sqrt(a), np.sqrt(b), 1)
    np.testing.assert_allclose(np.polyval(slope, np.sqrt(a)), np.sqrt(b), atol=1e-5)


def test_the_dialects_differ_only_by_rounding():
    a, b = (NoiseSchedule.scaled_linear(dialect=d) for d in ("diffusers", "paper"))
    assert 0 < np.max(np.abs(a.alphas_cumprod / b.alphas_cumprod - 1)) < 1e-5
    assert np.array_equal(a.alphas_cumprod, a.alphas_cumprod.astype(np.float32))
    assert a.alpha_bar.dtype == np.float32 and b.alpha_bar.dtype == np.float64


def test_tables_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        NoiseSchedule.linear().betas[0] = 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoiseSchedule.linear(0),
        lambda: NoiseSchedule.linear(-3),
        lambda: NoiseSchedule.linear(10**12),
        lambda: NoiseSchedule.linear(2.5),
        lambda: NoiseSchedule.linear(True),
        lambda: NoiseSchedule.linear(10, float("nan"), 0.02),
        lambda: NoiseSchedule.linear(10, 0.0, 0.02),
        lambda: NoiseSchedule.linear(10, 0.1, 1.2),
        lambda: NoiseSchedule.scaled_linear(10, -0.1, 0.02),
        lambda: NoiseSchedule.scaled_linear(10, 0.1, float("nan")),
        lambda: NoiseSchedule.sigmoid(10, float("inf"), 0.02),
        lambda: NoiseSchedule.cosine(MAX_STEPS + 1),
        lambda: NoiseSchedule.from_betas([]),
        lambda: NoiseSchedule.from_betas([[0.1, 0.2]]),
        lambda: NoiseSchedule.from_betas([0.1, float("nan")]),
        lambda: NoiseSchedule.from_betas([0.1, 1.5]),
        lambda: NoiseSchedule.from_betas([1e-12, 0.1]),
        lambda: NoiseSchedule.linear(dialect="french"),
        lambda: NoiseSchedule.linear(1).rescale_zero_terminal_snr(),
    ],
)
@pytest.mark.filterwarnings("error")
def test_refusals(make):
    with pytest.raises(ConfigError):
        make()
