"""The algebra of the forward process, of predictions and of guidance."""

import itertools

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion import guidance, prediction
from refdiff.diffusion.process import posterior, posterior_coefficients, q_sample, q_step
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddpm import Ddpm
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError, ShapeError

drawn = settings(max_examples=100, deadline=None, derandomize=True, database=None)
# two noise levels 0 < alpha_bar_t < alpha_bar_s < 1, not too near to each other
LEVELS = st.tuples(st.floats(0.01, 0.98), st.floats(0.01, 0.98)).filter(
    lambda levels: levels[1] - levels[0] > 0.01
)


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_noising_step_by_step_is_noising_in_one_jump():
    """Mean and variance of x_t given x0, carried through every step, are q_sample's."""
    schedule = NoiseSchedule.linear(200, dialect="paper")
    one, none = np.ones(1), np.zeros(1)
    mean, variance, before = one, 0.0, 1.0
    for alpha_bar in schedule.alphas_cumprod.tolist():
        scale = q_step(one, none, before, alpha_bar)
        mean = q_step(mean, none, before, alpha_bar)
        variance = scale**2 * variance + q_step(none, one, before, alpha_bar) ** 2
        np.testing.assert_allclose(mean, q_sample(one, none, alpha_bar), rtol=1e-12)
        np.testing.assert_allclose(variance, q_sample(none, one, alpha_bar) ** 2, rtol=1e-12)
        before = alpha_bar


@drawn
@given(LEVELS, st.floats(-2, 2), st.floats(-2, 2))
def test_the_posterior_is_bayes(levels, x0, x_t):
    """q(x_s | x_t, x0) ~ q(x_t | x_s) q(x_s | x0), on a grid of x_s."""
    a_t, a_s = levels
    mean, variance = posterior(np.array(x0), np.array(x_t), a_t, a_s)
    x_s = mean + np.sqrt(variance) * np.linspace(-12, 12, 4001)
    alpha = a_t / a_s
    log_q = -((x_t - alpha**0.5 * x_s) ** 2) / (2 * (1 - alpha))
    log_q -= (x_s - a_s**0.5 * x0) ** 2 / (2 * (1 - a_s))
    weight = np.exp(log_q - log_q.max())
    weight /= weight.sum()
    bayes_mean = (weight * x_s).sum()
    assert bayes_mean == pytest.approx(float(mean), abs=1e-9)
    assert (weight * (x_s - bayes_mean) ** 2).sum() == pytest.approx(variance, rel=1e-9)


@drawn
@given(LEVELS)
def test_noise_then_posterior_is_the_earlier_marginal(levels):
    """x_s drawn through x_t is distributed as q_sample says: sqrt(a_s) x0, variance 1 - a_s."""
    a_t, a_s = levels
    q = posterior_coefficients(a_t, a_s)
    assert q.of_x0 + q.of_xt * a_t**0.5 == pytest.approx(a_s**0.5, rel=1e-12)
    assert q.of_xt**2 * (1 - a_t) + q.variance == pytest.approx(1 - a_s, rel=1e-10)


@drawn
@given(st.floats(0.01, 0.99))
def test_conversions_follow_from_each_other(alpha_bar):
    x0, eps = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    x = q_sample(x0, eps, alpha_bar)
    said = {"x0": x0, "eps": eps, "v": alpha_bar**0.5 * eps - (1 - alpha_bar) ** 0.5 * x0}
    for a, b in itertools.permutations(said, 2):
        convert = getattr(prediction, f"{a}_from_{b}")
        np.testing.assert_allclose(convert(x, said[b], alpha_bar), said[a], atol=1e-10)


def test_the_ends_of_the_schedule():
    x, out = normal(1, 2, 3, 4), normal(1, 2, 3, 4, seed=1)
    for undefined in (prediction.x0_from_eps, prediction.v_from_eps):
        with pytest.raises(ConfigError, match="alpha_bar = 0"):
            undefined(x, out, 0.0)
    for undefined in (prediction.eps_from_x0, prediction.v_from_x0):
        with pytest.raises(ConfigError, match="alpha_bar = 1"):
            undefined(x, out, 1.0)
    np.testing.assert_array_equal(prediction.x0_from_v(x, out, 0.0), -out)
    np.testing.assert_array_equal(prediction.eps_from_v(x, out, 0.0), x)
    np.testing.assert_array_equal(prediction.v_from_x0(x, out, 0.0), -out)
    np.testing.assert_array_equal(prediction.eps_from_x0(x, out, 0.0), x)
    np.testing.assert_array_equal(prediction.x0_from_v(x, out, 1.0), x)
    np.testing.assert_array_equal(prediction.v_from_eps(x, out, 1.0), out)


def test_float32_stays_float32_and_levels_may_differ_by_sample():
    x, out = normal(2, 3, 4, 5, dtype=np.float32), normal(2, 3, 4, 5, seed=1, dtype=np.float32)
    assert q_sample(x, out, 0.3).dtype == prediction.x0_from_eps(x, out, 0.3).dtype == np.float32
    levels = np.array([0.3, 0.8], np.float32).reshape(2, 1, 1, 1)
    both = prediction.eps_from_v(x, out, levels)
    np.testing.assert_allclose(both[1:], prediction.eps_from_v(x[1:], out[1:], 0.8), rtol=1e-6)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_ddim_with_eta_1_has_ddpms_variance_and_mean(steps):
    schedule = NoiseSchedule.linear(100, dialect="paper")
    ddim, ddpm = Ddim(schedule, eta=1.0), Ddpm(schedule)
    a, b = ddim.plan(steps), ddpm.plan(steps)
    np.testing.assert_allclose(a.column("noise_std"), b.column("noise_std"), atol=1e-14)
    x, out, z = (normal(2, 3, 4, 5, seed=k) for k in range(3))
    for i in range(steps):
        np.testing.assert_allclose(
            ddim.step(a, i, x, out, None, z)[0], ddpm.step(b, i, x, out, None, z)[0], atol=1e-11
        )


def both_halves(x, t):
    """A model whose unconditional half says x and whose conditional half says t x."""
    uncond, cond = np.split(x, 2)
    return np.concatenate([uncond, t * cond])


def test_guidance_goes_from_the_unconditional_through_the_conditional():
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(guidance.classifier_free(both_halves, 0.0)(x, 3.0), x)
    np.testing.assert_array_equal(guidance.classifier_free(both_halves, 1.0)(x, 3.0), 3 * x)
    np.testing.assert_array_equal(guidance.classifier_free(both_halves, 1.0, 0.7)(x, 3.0), 3 * x)
    np.testing.assert_allclose(guidance.classifier_free(both_halves, 7.5)(x, 3.0), 16 * x)


def test_swapped_halves_are_noticed():
    x = normal(2, 3, 4, 5)

    def swapped(x, t):
        return np.roll(both_halves(x, t), len(x) // 2, axis=0)

    right, wrong = (guidance.classifier_free(m, 7.5)(x, 3.0) for m in (both_halves, swapped))
    assert np.max(np.abs(right - wrong)) > 1


@drawn
@given(st.floats(0, 1), st.floats(1.1, 15))
def test_rescaled_guidance_is_diffusers(phi, scale):
    uncond, cond = (normal(2, 3, 4, 5, seed=k, dtype=np.float32) for k in range(2))
    guided = guidance.combine(uncond, cond, scale)
    theirs = rescale_noise_cfg(torch.from_numpy(guided), torch.from_numpy(cond), phi)
    mine = guidance.rescale(guided, cond, phi)
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine, theirs.numpy(), rtol=2e-6, atol=1e-6)
    spread = guidance.rescale(guided, cond, 1.0).std(axis=(1, 2, 3))
    np.testing.assert_allclose(spread, cond.std(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("scale", "phi"), [(np.nan, 0), (np.inf, 0), (7.5, -0.1), (7.5, 1.1), (7.5, np.nan)]
)
def test_guidance_refuses(scale, phi):
    with pytest.raises(ConfigError):
        guidance.classifier_free(both_halves, scale, phi)


def test_rescaling_needs_two_numbers():
    with pytest.raises(ShapeError):
        guidance.rescale(np.ones((2, 1)), np.ones((2, 1)), 0.5)
