"""The closed forms themselves: against derivatives, sums over samples, and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.exact import GaussianMixture, gaussian

drawn = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@st.composite
def mixtures(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    K, D = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    weights = rng.uniform(0.2, 1, K)
    return GaussianMixture(rng.normal(size=(K, D)), rng.uniform(0.1, 1, K), weights / weights.sum())


def log_density(mixture, x, alpha, sigma):
    variance = alpha**2 * mixture.spreads**2 + sigma**2
    off = x[:, None] - alpha * mixture.means
    density = np.exp(-0.5 * (off**2).sum(2) / variance) / (2 * np.pi * variance) ** (x.shape[1] / 2)
    return np.log(density @ mixture.weights)


@drawn
@given(mixtures(), st.floats(0.2, 1), st.floats(0.2, 2))
def test_eps_is_the_scaled_score(mixture, alpha, sigma):
    """A central difference of the log density, good to h^2."""
    x = np.random.default_rng(0).normal(size=(5, mixture.means.shape[1]))
    h = 1e-4
    for d in range(x.shape[1]):
        step = h * np.eye(x.shape[1])[d]
        slope = log_density(mixture, x + step, alpha, sigma)
        slope = (slope - log_density(mixture, x - step, alpha, sigma)) / (2 * h)
        np.testing.assert_allclose(mixture.eps(x, alpha, sigma)[:, d], -sigma * slope, atol=1e-5)


@drawn
@given(mixtures(), st.floats(0.5, 20), st.floats(0.01, 0.4))
def test_the_flow_there_and_back(mixture, high, low):
    x = high * np.random.default_rng(1).normal(size=(4, mixture.means.shape[1]))
    back = mixture.flow(mixture.flow(x, high, low), low, high)
    # the flow back magnifies what it was off by high over the smallest spread
    np.testing.assert_allclose(back, x, atol=1e-9 * high)


def test_one_component_s_closed_form_is_the_integral():
    single = gaussian(np.array([0.3, -0.2]), 0.5)
    twice = GaussianMixture(single.means[[0, 0]], single.spreads[[0, 0]], np.array([0.5, 0.5]))
    x = 5 * np.random.default_rng(2).normal(size=(6, 2))
    np.testing.assert_allclose(single.flow(x, 10.0, 0.1), twice.flow(x, 10.0, 0.1), atol=1e-10)


def test_the_marginals_are_those_of_noised_samples():
    """x0 is unbiased: E[x0 | x] averages to the data's mean, over 10^5 noised points."""
    rng = np.random.default_rng(3)
    mixture = GaussianMixture(
        np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([0.2, 0.4]), np.array([0.3, 0.7])
    )
    data = mixture.sample(100_000, rng)
    error = np.sqrt(np.diag(mixture.covariance) / len(data))
    assert np.all(np.abs(data.mean(0) - mixture.mean) < 5 * error)
    noised = 0.6 * data + 0.8 * rng.standard_normal(data.shape)
    residual = mixture.x0(noised, 0.6, 0.8) - data
    assert np.all(np.abs(residual.mean(0)) < 5 * residual.std(0) / len(data) ** 0.5)
    # and nothing of x explains what is left: the best predictor's residual is uncorrelated with x
    for i in range(2):
        for j in range(2):
            assert abs(np.corrcoef(residual[:, i], noised[:, j])[0, 1]) < 5 / len(data) ** 0.5


def test_covariance():
    rng = np.random.default_rng(4)
    mixture = GaussianMixture(
        np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([0.2, 0.4]), np.array([0.3, 0.7])
    )
    np.testing.assert_allclose(
        np.cov(mixture.sample(200_000, rng).T), mixture.covariance, atol=0.02
    )
    assert mixture.covariance[0, 1] == pytest.approx(-0.21)


def test_the_straight_flow_is_the_other_in_other_words():
    """x = (1 - s) y with sigma = s / (1 - s); from pure noise it is known for one component."""
    mixture = GaussianMixture(
        np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([0.2, 0.4]), np.array([0.3, 0.7])
    )
    x = np.random.default_rng(5).normal(size=(5, 2))
    straight = mixture.straight_flow(x, 0.9, 0.1) / 0.9
    np.testing.assert_allclose(straight, mixture.flow(x / 0.1, 9.0, 1 / 9), atol=1e-9)
    single = gaussian(np.array([0.3, -0.2]), 0.5)
    np.testing.assert_allclose(single.straight_flow(x, 1.0, 0.0), [0.3, -0.2] + 0.5 * x, atol=1e-9)
