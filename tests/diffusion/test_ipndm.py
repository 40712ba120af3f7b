"""IPNDM: the flow of a Gaussian, the first step of each dialect, given sigmas."""

import diffusers
import numpy as np
import pytest

from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.ipndm import Ipndm
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.gaussian import best_eps, marginal

IPNDM = {"_class_name": "IPNDMScheduler"}


def error(sampler, steps):
    """Distance from the flow at the end, from pure noise."""
    plan, memory = sampler.plan(steps), None
    quantile = np.array([-1.5, 0.3, 2.0])
    x = marginal(quantile, 0.0)
    for i, row in enumerate(plan.rows):
        eps = best_eps(x, row.alpha_bar)
        # v = (eps - sigma x) / alpha, and out of pure noise -E[x0], here the mean
        v = (eps - row.sigma * x) / row.alpha if row.alpha else -marginal(np.zeros(3), 1.0)
        x, memory = sampler.step(plan, i, x, v, memory)
    return np.max(np.abs(x - marginal(quantile, 1.0)))


def test_it_is_of_second_order_on_paper():
    steps = np.array([16, 32, 64, 128, 256])
    errors = [error(Ipndm(dialect="paper"), int(n)) for n in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.3)


def test_the_first_step_listens_to_the_model_on_paper_only():
    x, v = (np.random.default_rng(k).standard_normal((2, 3, 4, 5)) for k in range(2))
    paper, theirs = (Ipndm(dialect=d) for d in ("paper", "diffusers"))
    for sampler, x0 in ((paper, -v), (theirs, 0)):
        plan = sampler.plan(10)
        row = plan.rows[0]
        assert (row.alpha, row.sigma) == (0, 1)
        got = sampler.step(plan, 0, x, v)[0]
        np.testing.assert_allclose(got, row.alpha_s * x0 + row.sigma_s * x, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 7, 24, 150])
def test_sigmas_and_times_are_diffusers(steps):
    """torch's sine is one step of float32 off now and then, twice as many once it is squared."""
    scheduler = diffusers.IPNDMScheduler()
    scheduler.set_timesteps(steps)
    plan = from_config(IPNDM).plan(steps)
    sigma, alpha = plan.column("sigma"), plan.column("alpha")
    assert oracle.ulps(sigma, scheduler.betas.numpy()[:-1]) <= 3
    # what a step of sigma does to alpha = sqrt(1 - sigma^2) and to t, of slope 1 / alpha in sigma
    off = 3 * 2.0**-24 / np.maximum(alpha, 2.0**-12) + 2.0**-23
    assert (np.abs(alpha - scheduler.alphas.numpy()[:-1]) <= off).all()
    assert (np.abs(plan.timesteps - scheduler.timesteps.numpy()) <= off).all()


def test_given_sigmas():
    sampler = from_config(IPNDM | {"trained_betas": [1.0, 0.7, 0.2, 0.0]})
    assert sampler.plan(3).column("sigma_s").tolist() == [np.float32(0.7), np.float32(0.2), 0]
    with pytest.raises(ConfigError, match="expected 3"):
        sampler.plan(4)
    for wrong in ([0.5, 0.5], [0.2, 0.7], [1.5, 0.2], [0.2, -0.1], [0.5]):
        with pytest.raises(ConfigError, match="falling"):
            from_config(IPNDM | {"trained_betas": wrong})
