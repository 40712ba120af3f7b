"""Samplers that diffusers lacks, against k-diffusion's and ComfyUI's statements of them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from refdiff.diffusion.guidance import classifier_free, with_uncond
from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config_as
from refdiff.diffusion.samplers.catalogue import BY_NAME
from refdiff.errors import ConfigError
from tests.diffusion import elsewhere, oracle
from tests.diffusion.draws import cases
from tests.diffusion.oracle import our_run

drawn = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
# float64 arithmetic; the root of nearly equal squares costs half of its digits where eta is 1
BOUND = 1e-9
CONFIG = {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}


def sigmas_of(plan):
    """The levels of the plan, to 0."""
    return [*plan.column("sigma").tolist(), 0.0]


def assert_agrees(case, walk, **arguments):
    """Every row, by tables of either precision, to what float64 leaves of it."""
    for dialect in ("diffusers", "paper"):
        try:
            mine = our_run(case, np.float64, dialect)
        except ConfigError:
            return  # a plan that is not finite
        asked = elsewhere.Asked(case, dialect)
        start = asked.draws.start() * asked.sampler.init_noise_sigma(asked.plan)
        end = walk(asked, start, sigmas_of(asked.plan), **arguments)
        for x, y in zip(mine.xs, [*asked.xs[1:], end], strict=True):
            assert oracle.gap(x, y) < BOUND
        euler = from_config_as(case.config, "euler", dialect).plan(case.steps)
        np.testing.assert_array_equal(mine.timesteps, euler.timesteps)
        np.testing.assert_array_equal(asked.sigmas, euler.column("sigma"))


@drawn
@given(cases("euler_cfg_pp"))
def test_euler_cfg_pp_is_comfyuis(case):
    assert_agrees(case, elsewhere.euler_cfg_pp, eta=case.options.get("eta", 0.0))


@drawn
@given(cases("res_multistep"))
def test_res_multistep_is_comfyuis(case):
    assert_agrees(case, elsewhere.res_multistep, eta=case.options.get("eta", 0.0))


@drawn
@given(cases("dpm_fast"))
def test_dpm_fast_is_k_diffusions(case):
    """Ends of each step; the calls within are where the statement asks."""
    for dialect in ("diffusers", "paper"):
        asked = elsewhere.Asked(case, dialect)
        table = asked.sampler.schedule.sigmas
        ends = (asked.sampler.sigma_max or table[-1], asked.sampler.sigma_min or table[0])
        start = asked.draws.start() * ends[0]
        xs = elsewhere.dpm_fast(asked, start, ends, case.steps, case.options.get("eta", 0.0))
        mine = our_run(case, np.float64, dialect)
        np.testing.assert_allclose(asked.sigmas, asked.plan.column("sigma"), rtol=BOUND)
        last = [i - 1 for i in range(1, len(asked.plan)) if asked.plan.rows[i].begins]
        for i, x in zip([*last, case.steps - 1], xs, strict=True):
            assert oracle.gap(mine.xs[i], x) < BOUND


def test_cfg_pp_is_guidance_that_grows():
    """A step with scale s is Euler's with s / (1 - sigma_next / sigma), for any model."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, 4, 5)) * 10

    def both(x, t):
        uncond, cond = np.split(x, 2)
        return np.concatenate([np.tanh(uncond + t / 1000), np.cos(cond)])

    for prediction in ("epsilon", "sample", "v_prediction"):
        config = CONFIG | {"prediction_type": prediction}
        plus, euler = (from_config_as(config, n, "paper") for n in ("euler_cfg_pp", "euler"))
        plan, sigmas = plus.plan(7), sigmas_of(plus.plan(7))
        for i, row in enumerate(plan.rows):
            usual = 0.6 / (1 - sigmas[i + 1] / sigmas[i])
            x_in = plus.scale_input(plan, i, x)
            out, guided = with_uncond(both, 0.6)(x_in, row.t), classifier_free(both, usual)
            mine, _ = plus.step(plan, i, x, out, None, None)
            theirs, _ = euler.step(euler.plan(7), i, x, guided(x_in, row.t), None, None)
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
def test_with_uncond_says_both_halves(scale):
    def both(x, t):
        return x * np.repeat([1.0, 3.0], len(x) // 2)[:, None]

    x = np.random.default_rng(0).standard_normal((2, 6))
    uncond, guided = np.split(with_uncond(both, scale)(x, 5.0), 2)
    np.testing.assert_array_equal(uncond, x)
    np.testing.assert_allclose(guided, classifier_free(both, scale)(x, 5.0))
    with pytest.raises(ConfigError, match="scale"):
        with_uncond(both, np.inf)


def test_without_a_difference_cfg_pp_is_euler():
    plus, euler = (from_config_as(CONFIG, n) for n in ("euler_cfg_pp", "euler"))
    plan = plus.plan(9)
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    x = x * plus.init_noise_sigma(plan)
    model = with_uncond(lambda x, t: np.tanh(x), 0.7)
    *_, mine = sample(model, plus, plan, x, noise=lambda i: None)
    *_, theirs = sample(lambda x, t: np.tanh(x), euler, euler.plan(9), x, noise=lambda i: None)
    assert oracle.gap(mine.x_prev, theirs.x_prev) < 2e-6
    assert BY_NAME["euler_cfg_pp"].class_name == "euler_cfg_pp"


def off(name, steps, mean=0.7, spread=0.4):
    """Distance from the exact flow of Gaussian data where the last row begins."""
    sampler = from_config_as(CONFIG | KARRAS.get(name, {}), name, "paper")
    plan, quantile, memory = sampler.plan(steps), np.array([-1.5, 0.3, 2.0]), None
    x = mean + (spread**2 + plan.rows[0].sigma ** 2) ** 0.5 * quantile
    begins = [i for i in range(steps) if getattr(plan.rows[i], "begins", True)]
    for i, row in enumerate(plan.rows):
        if i == begins[-1]:
            return np.max(np.abs(x - mean - (spread**2 + row.sigma**2) ** 0.5 * quantile))
        eps = row.sigma * (x - mean) / (spread**2 + row.sigma**2)
        out = np.tile(eps, 2) if name == "euler_cfg_pp" else eps
        x, memory = sampler.step(plan, i, x, out, memory, None)


KARRAS = {name: {"use_karras_sigmas": True} for name in ("euler_cfg_pp", "res_multistep")}


@pytest.mark.parametrize("name", ["euler_cfg_pp", "res_multistep", "dpm_fast"])
def test_orders_are_those_that_the_catalogue_claims(name):
    steps = np.array([32, 62, 122, 242])
    slope = -np.polyfit(np.log(steps), np.log([off(name, int(n)) for n in steps]), 1)[0]
    assert slope == pytest.approx(BY_NAME[name].order, abs=0.2)
