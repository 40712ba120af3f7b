"""The exponential integrators: order of convergence, steps of no length, what they refuse."""

import dataclasses
import time

import numpy as np
import pytest

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.dpm_inverse import DpmInverse
from refdiff.diffusion.samplers.dpm_multistep import DpmMultistep
from refdiff.diffusion.samplers.dpm_singlestep import DpmSinglestep
from refdiff.diffusion.samplers.respacing import exponential, karras
from refdiff.errors import ConfigError
from tests.diffusion.gaussian import MEAN, SCHEDULE, SPREAD, best_eps

DPM = {"_class_name": "DPMSolverMultistepScheduler"}
SINGLE = {"_class_name": "DPMSolverSinglestepScheduler"}
INVERSE = {"_class_name": "DPMSolverMultistepInverseScheduler", "algorithm_type": "dpmsolver"}
EDM = {"_class_name": "EDMDPMSolverMultistepScheduler"}
STEPS = (79, 157, 313)  # the last row, where the error is taken, begins a step of any order


def marginal(row, quantile):
    """x at the row's level, for data of N(MEAN, SPREAD^2)."""
    return row.alpha * MEAN + (row.alpha**2 * SPREAD**2 + row.std**2) ** 0.5 * quantile


def slope(sampler, respacing=karras):
    """Of the error on arriving at the last row over two halvings of the step."""
    whole = {"final": "sigma_min"} if hasattr(sampler, "final") else {}
    sampler = dataclasses.replace(sampler, respacing=respacing, lower_final=False, **whole)
    quantile, errors = np.array([-1.5, 0.3, 2.0]), []
    for steps in STEPS:
        plan = sampler.plan(steps)
        levels = {row.t: row.alpha**2 for row in plan.rows}
        x = marginal(plan.rows[0], quantile)
        walk = sample(lambda x, t: best_eps(x, levels[t]), sampler, plan, x, lambda i: None)  # noqa: B023
        *_, arrived, _ = walk
        errors.append(np.max(np.abs(arrived.x_prev - marginal(plan.rows[-1], quantile))))
    return -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("midpoint", [True, False])
def test_the_flow_is_solved_to_the_order_that_is_said(algorithm, order, midpoint):
    sampler = DpmMultistep(SCHEDULE, order=order, algorithm=algorithm, midpoint=midpoint)
    assert slope(sampler) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("midpoint", [True, False])
def test_single_steps_solve_the_flow_to_the_order_that_is_said(algorithm, order, midpoint):
    """The third order by the midpoint has it where the rows are equally long in lambda."""
    sampler = DpmSinglestep(SCHEDULE, order=order, algorithm=algorithm, midpoint=midpoint)
    if order == 3 and midpoint:
        assert slope(sampler, exponential) > 2.75
    else:
        assert slope(sampler) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_backwards_too(algorithm, order):
    sampler = DpmInverse(SCHEDULE, order=order, algorithm=algorithm, midpoint=False)
    assert slope(sampler) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_a_way_up_begins_low_and_ends_at_the_noisiest_level(dialect, spacing):
    sampler = from_config(INVERSE | {"timestep_spacing": spacing}, dialect)
    plan = sampler.plan(20)
    assert np.all(np.diff(plan.timesteps) > 0) and np.all(np.diff(plan.column("sigma")) > 0)
    noise = sampler.step(plan, 19, np.ones(1), np.zeros(1), (np.zeros(1),))[0]
    last = plan.rows[19]  # with eps = 0, x only shrinks, from alpha to alpha
    assert noise[0] == pytest.approx(sampler.schedule.alphas_cumprod[-1] ** 0.5 / last.alpha)


@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
def test_where_a_straight_flow_goes(dialect):
    """DIALECTS: diffusers walks down where it should invert."""
    sigma = from_config(INVERSE | {"use_flow_sigmas": True}, dialect).plan(9).column("sigma")
    assert np.all(np.diff(sigma) < 0 if dialect == "diffusers" else np.diff(sigma) > 0)


def test_times_that_come_twice_shorten_diffusers_way_up():
    """DIALECTS: it drops them, but not their sigmas."""
    config = INVERSE | {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}
    theirs, paper = (from_config(config, d).plan(50) for d in ("diffusers", "paper"))
    assert len(theirs) < len(paper) == 50
    assert theirs.rows[-1].sigma < paper.rows[-1].sigma


# what weighs the model's curve over lambda from s to t: u = lambda - lambda_s from 0 to h
WEIGHTS = {
    "dpmsolver++": lambda row, h, u: row.alpha * np.exp(u - h),
    "dpmsolver": lambda row, h, u: -row.std * np.exp(h - u),
    "sde-dpmsolver++": lambda row, h, u: row.alpha * 2 * np.exp(2 * (u - h)),
    "sde-dpmsolver": lambda row, h, u: -2 * row.std * np.exp(h - u),
}


def off_a_polynomial(sampler, degree):
    """How far a step is from exact where the model's curve is (lambda - 1)^degree."""
    plan = sampler.plan(9)
    curve = [(np.log(row.alpha / row.std) - 1) ** degree for row in plan.rows]
    i, memory = 5, tuple(np.array([m]) for m in curve[4:2:-1])[: sampler.order - 1]
    row, after = plan.rows[i], plan.rows[i + 1]
    start = np.log(row.alpha / row.std)
    h = np.log(after.alpha / after.std) - start
    nodes, weights = np.polynomial.legendre.leggauss(30)
    u = h * (nodes + 1) / 2
    integral = WEIGHTS[sampler.algorithm](after, h, u) * (start + u - 1) ** degree
    exact = h / 2 * np.sum(weights * integral)
    x, _ = sampler.step(plan, i, np.zeros(1), np.array([curve[i]]), memory, np.zeros(1))
    return abs(x[0] / exact - 1)


EXACT = [(a, k) for a in WEIGHTS for k in (1, 2, 3) if (a, k) != ("sde-dpmsolver", 3)]


@pytest.mark.parametrize(("algorithm", "order"), EXACT)
def test_steps_are_exact_for_polynomials_below_the_order(algorithm, order):
    """The integral of the polynomial through the past values, whatever its degree below order."""
    said = "sample" if algorithm.endswith("++") else "epsilon"
    sampler = DpmMultistep(
        SCHEDULE,
        said,
        order=order,
        algorithm=algorithm,
        midpoint=False,
        final="sigma_min",
        lower_final=False,
    )
    for degree in range(order):
        assert off_a_polynomial(sampler, degree) < 1e-9
    assert off_a_polynomial(sampler, order) > 1e-3


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver", "sde-dpmsolver++"])
def test_diffusers_third_order_is_less(algorithm):
    """DIALECTS: half the second difference, and with the SDE half of its coefficient reversed."""
    said = "sample" if algorithm.endswith("++") else "epsilon"
    schedule = dataclasses.replace(SCHEDULE, dialect="diffusers")
    sampler = DpmMultistep(
        schedule, said, order=3, algorithm=algorithm, final="sigma_min", lower_final=False
    )
    assert off_a_polynomial(sampler, 1) < 1e-4
    assert off_a_polynomial(sampler, 2) > 1e-3
    if not algorithm.startswith("sde"):
        assert slope(dataclasses.replace(sampler, prediction="epsilon")) < 2.3


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++", "sde-dpmsolver"])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
@pytest.mark.parametrize("spaced", ["karras_sigmas", "exponential_sigmas", "lu_lambdas"])
def test_a_last_step_of_no_length_leaves_x_as_it_is(algorithm, dialect, spaced):
    """MENDED: diffusers divides 0 by 0 there with heun, and may take the root of rounding."""
    config = DPM | {
        "algorithm_type": algorithm,
        "solver_type": "heun",
        "final_sigmas_type": "sigma_min",
        f"use_{spaced}": True,
    }
    sampler = from_config(config, dialect)
    plan = sampler.plan(20)
    x, out, past = (np.random.default_rng(k).normal(size=(1, 2, 3, 4)) for k in range(3))
    assert not sampler.needs_noise(plan, 19)
    np.testing.assert_allclose(sampler.step(plan, 19, x, out, (past,))[0], x, rtol=1e-12)


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
@pytest.mark.parametrize("curve", ["karras", "exponential"])
@pytest.mark.parametrize("rho", [3.0, 7.0, 5.5])
def test_a_last_step_at_sigma_min_hardly_moves_x(algorithm, curve, rho):
    """Whether or not rounding has taken the last sigma to sigma_min itself."""
    config = EDM | {"algorithm_type": algorithm, "solver_type": "heun", "rho": rho}
    for dialect, precision in (("diffusers", np.float32), ("paper", np.float64)):
        h = 16 * np.finfo(precision).eps  # of two powers and their bases
        close = 4 * 0.002 * (2 * h) ** 0.5 + 4 * h  # four spreads of the SDE's noise, and a step
        sampler = from_config(
            config | {"sigma_schedule": curve, "final_sigmas_type": "sigma_min"}, dialect
        )
        plan = sampler.plan(20)
        x, out, past, z = (np.random.default_rng(k).normal(size=(1, 2, 3, 4)) for k in range(4))
        np.testing.assert_allclose(sampler.step(plan, 19, x, out, (past,), z)[0], x, atol=close)


@pytest.mark.parametrize(
    ("config", "options", "steps", "word"),
    [
        ({"algorithm_type": "dpmsolver"}, {}, 5, "sigma_min"),
        ({"algorithm_type": "deis"}, {}, 5, "sigma_min"),
        (
            {
                "algorithm_type": "dpmsolver",
                "final_sigmas_type": "sigma_min",
                "prediction_type": "flow_prediction",
            },
            {},
            5,
            "flow_prediction",
        ),
        (
            {
                "algorithm_type": "sde-dpmsolver",
                "final_sigmas_type": "sigma_min",
                "solver_order": 3,
            },
            {},
            5,
            "third order",
        ),
        ({"use_karras_sigmas": True, "use_flow_sigmas": True}, {}, 5, "use_flow_sigmas"),
        ({"use_karras_sigmas": True, "use_lu_lambdas": True}, {}, 5, "use_lu_lambdas"),
        ({}, {"mu": 1.0}, 5, "use_dynamic_shifting"),
        ({"lambda_min_clipped": 50}, {}, 5, "lambda_min_clipped"),
        ({"num_train_timesteps": 20}, {}, 20, "finite"),
        (
            SINGLE
            | {
                "algorithm_type": "dpmsolver",
                "final_sigmas_type": "sigma_min",
                "thresholding": True,
            },
            {},
            5,
            "thresholding",
        ),
        (INVERSE | {"algorithm_type": "sde-dpmsolver++"}, {}, 5, "backwards"),
        (EDM | {"algorithm_type": "deis"}, {}, 5, "sigma_min"),
        (EDM | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, {}, 5, "third order"),
        (EDM | {"sigma_min": 2, "sigma_max": 1}, {}, 5, "exchange"),
        (EDM | {"num_train_timesteps": 10}, {}, 11, "steps"),
    ],
)
def test_refusals(config, options, steps, word):
    with pytest.raises(ConfigError, match=word):
        from_config(DPM | config, **options).plan(steps)


def test_the_noisiest_times_are_left_out():
    full, clipped = (
        from_config(DPM | {"lambda_min_clipped": low, "beta_schedule": "squaredcos_cap_v2"})
        for low in (-float("inf"), -5.1)
    )
    assert full.plan(20).timesteps[0] == 999
    assert 980 < clipped.plan(20).timesteps[0] < 999


def test_a_thousand_steps_are_planned_at_once():
    sampler = from_config(DPM | {"use_karras_sigmas": True, "solver_order": 3})
    sampler.plan(10)
    begin = time.process_time()
    sampler.plan(1000)
    assert time.process_time() - begin < 0.05
