"""Continuous noise schedules: their laws, the tables they are the limits of, their refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.continuous import VE, VP, Rectified, steps
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError

drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)
CURVES = st.one_of(
    st.builds(VP, st.floats(0.01, 2), st.floats(0.1, 40)),
    st.builds(VE, st.floats(1e-3, 0.5), st.floats(1, 1000)),
    st.just(Rectified()),
)
INSIDE = np.linspace(0.02, 0.98, 49)


@drawn
@given(CURVES)
def test_log_snr_is_that_of_the_shares_and_falls(curve):
    alpha, sigma, log_snr = (f(INSIDE) for f in (curve.alpha, curve.sigma, curve.log_snr))
    np.testing.assert_allclose(log_snr, 2 * np.log(alpha / sigma), rtol=1e-9, atol=1e-9)
    assert np.all(np.diff(log_snr) < 0)


@drawn
@given(st.floats(0.01, 2), st.floats(0.1, 40))
def test_vp_solves_its_own_equation(beta_min, beta_d):
    """dx = -1/2 beta x dt + sqrt(beta) dw (2011.13456, eq. 11): the mean decays with beta / 2."""
    vp, h = VP(beta_min, beta_d), 1e-4
    decay = (np.log(vp.alpha(INSIDE + h)) - np.log(vp.alpha(INSIDE - h))) / (2 * h)
    np.testing.assert_allclose(decay, -(beta_min + beta_d * INSIDE) / 2, rtol=1e-6)
    np.testing.assert_allclose(vp.alpha(INSIDE) ** 2 + vp.sigma(INSIDE) ** 2, 1, rtol=1e-12)
    # k-diffusion's get_sigmas_vp
    ratio = np.sqrt(np.exp(beta_d * INSIDE**2 / 2 + beta_min * INSIDE) - 1)
    np.testing.assert_allclose(vp.sigma(INSIDE) / vp.alpha(INSIDE), ratio, rtol=1e-9)


def test_vp_is_the_limit_of_ddpms_linear_betas():
    """The difference falls as 1 / T; at DDPM's own 1000 steps it is some percent of sigma."""
    off = []
    for T in (1000, 2000, 4000):
        a = NoiseSchedule.guided_linear(T).alphas_cumprod
        t = (np.arange(T) + 1) / T
        off.append(np.max(np.abs(np.sqrt(a) - VP().alpha(t))))
    assert off[0] < 0.01
    np.testing.assert_allclose([off[0] / off[1], off[1] / off[2]], 2, rtol=0.05)


@drawn
@given(st.floats(1e-3, 0.5), st.floats(1, 1000))
def test_ve_is_geometric(low, high):
    sigma = VE(low, high).sigma(np.linspace(0, 1, 11))
    np.testing.assert_allclose([sigma[0], sigma[-1]], [low, high], rtol=1e-12)
    np.testing.assert_allclose(sigma[1:] / sigma[:-1], (high / low) ** 0.1, rtol=1e-9)


def test_the_ends():
    ends = np.array([0.0, 1.0])
    assert VP().sigma(ends)[0] == 0 and VP().log_snr(ends)[0] == np.inf
    assert Rectified().log_snr(ends).tolist() == [np.inf, -np.inf]
    # the flow of a picture of odds 1 : 1 is that of VP where alpha = sigma
    assert Rectified().log_snr(np.array([0.5])) == 0


@pytest.mark.parametrize("curve", [VP(), VP(0.1, 900.0), VE(0.3, 80.0), Rectified()])
def test_a_table_has_the_curves_levels(curve):
    T = 200
    table = steps(curve, T, max_beta=1.0 - 1e-12)
    t = (np.arange(T - 1) + 1) / T
    np.testing.assert_allclose(np.log(table.snr[:-1]), curve.log_snr(t), rtol=1e-9, atol=1e-9)


def test_guided_linear_is_ddpms_at_1000_steps():
    guided, ddpm = NoiseSchedule.guided_linear(), NoiseSchedule.linear(dialect="paper")
    np.testing.assert_array_equal(guided.betas, ddpm.betas)
    short = NoiseSchedule.guided_linear(250)
    np.testing.assert_allclose(short.betas, np.linspace(4e-4, 0.08, 250), rtol=1e-12)
    assert np.log(short.alphas_cumprod[-1]) == pytest.approx(-10.05, abs=0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VP(-1.0, 3.0),
        lambda: VP(0.1, float("nan")),
        lambda: VP(0.0, 0.0),
        lambda: VP(float("inf"), 1.0),
        lambda: VE(0.0, 1.0),
        lambda: VE(2.0, 1.0),
        lambda: VE(0.1, float("inf")),
        lambda: VE(float("nan"), 1.0),
        lambda: NoiseSchedule.guided_linear(19),
        lambda: NoiseSchedule.guided_linear(0),
        lambda: steps(Rectified(), 0),
        lambda: steps(VP(0.1, 5000.0)),
    ],
)
def test_refusals(make):
    with pytest.raises(ConfigError):
        make()
