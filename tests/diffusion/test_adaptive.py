"""DPM-Solver with steps of its own choice: against k-diffusion's statement and the exact flow."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.adaptive import Controller, sample_adaptive
from refdiff.diffusion.samplers.sigmas import sigma_table, to_t
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError, ShapeError
from tests.diffusion import elsewhere, oracle

SCHEDULE = NoiseSchedule.scaled_linear(dialect="paper")
TABLE = sigma_table(SCHEDULE)
ENDS = (float(TABLE[-1]), float(TABLE[0]))
MEAN, SPREAD = 0.7, 0.4


def wavy(x, t):
    """Some eps, bent enough that steps are rejected."""
    return np.tanh(2 * x) * math.cos(t / 40) + 0.3 * np.sin(5 * x)


def denoiser_of(model):
    """D(x, sigma) = x - sigma eps of the same model."""

    def denoised(x, sigma):
        t = float(to_t(TABLE, np.array([sigma]))[0])
        return x - sigma * model(x / (sigma**2 + 1) ** 0.5, t)

    return denoised


def noise_of(seed):
    """The k-th noise asked for, whatever it is asked for by."""
    counter = itertools.count()
    return lambda *_: np.random.default_rng([seed, next(counter)]).standard_normal((2, 3, 4))


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([2, 3]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.floats(0.02, 0.3),
    st.sampled_from([(0, 1, 0), (0.2, 0.5, 0.1)]),
    st.integers(0, 99),
)
def test_every_step_is_k_diffusions(order, eta, rtol, pid, seed):
    start = ENDS[0] * np.random.default_rng(seed).standard_normal((2, 3, 4))
    end, log = elsewhere.dpm_adaptive(
        denoiser_of(wavy), start, ENDS, noise_of(seed), order, rtol, 0.01, pid, eta
    )
    settings = {"order": order, "rtol": rtol, "atol": 0.01, "eta": eta}
    records = list(
        sample_adaptive(
            wavy, SCHEDULE, start, noise_of(seed), controller=Controller(0.05, *pid), **settings
        )
    )
    assert [step.i for step in records] == list(range(order * len(log)))
    lasts = [start, *(step.x_prev for step in records[order - 1 :: order])]
    moved = [not np.array_equal(a, b) for a, b in itertools.pairwise(lasts)]
    assert moved == [accepted for _, _, accepted in log]
    assert oracle.gap(records[-1].x_prev, end) < 1e-9


def test_steps_are_rejected_and_taken_again():
    """The drawn runs are of use only if both verdicts occur; a rejected step gives x back."""
    x = ENDS[0] * np.random.default_rng(1).standard_normal((2, 3, 4))
    _, log = elsewhere.dpm_adaptive(denoiser_of(wavy), x, ENDS, lambda: 0, rtol=0.02, atol=0.01)
    verdicts = [accepted for _, _, accepted in log]
    assert 5 < sum(verdicts) < len(verdicts)


def best_eps(x, t):
    """E[eps | x] for Gaussian data, at the level that t names."""
    sigma = np.exp(np.interp(t, np.arange(len(TABLE)), np.log(TABLE)))
    return sigma * ((sigma**2 + 1) ** 0.5 * x - MEAN) / (SPREAD**2 + sigma**2)


@pytest.mark.parametrize("order", [2, 3])
def test_tighter_tolerances_come_closer_to_the_exact_flow(order):
    quantile = np.array([[-1.5, 0.3, 2.0]])
    first, last = (MEAN + (SPREAD**2 + sigma**2) ** 0.5 * quantile for sigma in ENDS)
    off, calls = [], []
    for atol in (1e-2, 1e-4, 1e-6):
        walk = sample_adaptive(best_eps, SCHEDULE, first, order=order, rtol=0.0, atol=atol)
        records = list(walk)
        off.append(np.max(np.abs(records[-1].x_prev - last)))
        calls.append(len(records))
    assert off[0] > 8 * off[1] > 64 * off[2] and off[2] < 1e-4
    assert calls[0] < calls[1] < calls[2]


def test_records_keep_the_dtype_and_nothing_is_drawn_without_eta():
    x = (ENDS[0] * np.random.default_rng(0).standard_normal((1, 2, 3))).astype(np.float32)
    records = list(sample_adaptive(wavy, SCHEDULE, x, sigma_min=0.5, sigma_max=10.0))
    assert {a.dtype for step in records for a in step[2:]} == {np.dtype(np.float32)}
    assert np.isfinite(records[-1].x_prev).all()
    assert records[0].t == pytest.approx(to_t(TABLE, np.array([10.0]))[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"order": 1},
        {"prediction": "flow"},
        {"rtol": -1.0},
        {"atol": 0.0},
        {"atol": np.nan},
        {"eta": 1.5},
        {"controller": Controller(h=0.0)},
        {"controller": Controller(h=np.nan)},
    ],
)
def test_impossible_settings_are_refused(settings):
    x = np.ones((1, 2, 3))
    with pytest.raises(ConfigError):
        next(sample_adaptive(wavy, SCHEDULE, x, **settings))


def test_runs_that_cannot_go_on_end_in_one_sentence():
    x = np.ones((1, 2, 3))
    with pytest.raises(ConfigError, match="finite"):
        list(sample_adaptive(lambda x, t: x * np.nan, SCHEDULE, x))
    rng, strict = np.random.default_rng(0), {"rtol": 0.0, "atol": 1e-12}
    with pytest.raises(ConfigError, match="rtol"):
        list(sample_adaptive(lambda x, t: rng.standard_normal(x.shape), SCHEDULE, x, **strict))
    with pytest.raises(ShapeError, match="model"):
        list(sample_adaptive(lambda x, t: x[..., 1:], SCHEDULE, x))
    with pytest.raises(ShapeError, match="noise"):
        list(sample_adaptive(wavy, SCHEDULE, x, eta=1.0))
