"""The exponential Adams methods: exact for polynomials, orders of convergence, lower orders."""

import dataclasses

import numpy as np
import pytest

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import Deis, from_config
from refdiff.diffusion.samplers.adams_step import Memory, predicted
from refdiff.diffusion.samplers.respacing import karras
from refdiff.errors import ConfigError
from tests.diffusion.gaussian import SCHEDULE, best_eps
from tests.diffusion.test_solvers import marginal

STEPS = (80, 160, 320)
DEIS = {"_class_name": "DEISMultistepScheduler"}


def slope(sampler):
    """Of the error on arriving at the last row over two halvings of the step, in karras sigmas."""
    sampler = dataclasses.replace(sampler, respacing=karras)
    quantile, errors = np.array([-1.5, 0.3, 2.0]), []
    for steps in STEPS:
        plan = sampler.plan(steps)
        levels = {row.t: row.alpha**2 for row in plan.rows}
        x = marginal(plan.rows[0], quantile)
        walk = sample(lambda x, t: best_eps(x, levels[t]), sampler, plan, x, lambda i: None)  # noqa: B023
        *_, arrived, _ = walk
        errors.append(np.max(np.abs(arrived.x_prev - marginal(plan.rows[-1], quantile))))
    return -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]


@pytest.mark.parametrize(("method", "order"), [(Deis, 1), (Deis, 2), (Deis, 3)])
def test_the_flow_is_solved_to_the_order_that_is_said(method, order):
    sampler = method(SCHEDULE, order=order, lower_final=False)
    assert slope(sampler) == pytest.approx(order, abs=0.2)


def level_of(row):
    return np.log(row.alpha / row.std)


def exact(row, after, curve):
    """Where x = 0 goes from row to the next while eps is curve(lambda): the integral itself."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    start, h = level_of(row), level_of(after) - level_of(row)
    at = start + h * (nodes + 1) / 2
    return -after.alpha * h / 2 * np.sum(weights * np.exp(-at) * curve(at))


def off_a_polynomial(sampler, degree, i=5):
    """How far row i's prediction is from exact where eps is (lambda - 1)^degree."""
    plan = sampler.plan(9)
    past = [np.array([(level_of(row) - 1) ** degree]) for row in plan.rows[i::-1]]
    x = predicted(plan.rows[i], np.zeros(1), past, None)
    return abs(x[0] / exact(*plan.rows[i : i + 2], lambda at: (at - 1) ** degree) - 1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_is_exact_for_polynomials_below_its_order(order):
    sampler = Deis(SCHEDULE, order=order)
    for degree in range(order):
        assert off_a_polynomial(sampler, degree) < 1e-9
    assert off_a_polynomial(sampler, order) > 1e-3


@pytest.mark.parametrize("method", [DEIS])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
def test_a_run_from_the_middle_rises_in_order_as_from_the_start(method, dialect):
    """Rows of a run that starts at row 4 are those of a sampler of lower order, until they are
    of full order: then the plan's own."""
    config = method | {"solver_order": 3, "use_karras_sigmas": True}
    sampler = from_config(config, dialect)
    plan, memory, x = sampler.plan(12), None, np.ones((1, 2))
    for k, i in enumerate(range(4, 8), 1):
        x, memory = sampler.step(plan, i, x, np.full((1, 2), 0.1 * i), memory, None)
        lower = from_config(config | {"solver_order": min(k, 3)}, dialect).plan(12)
        assert isinstance(memory, Memory) and memory.row == lower.rows[i]


@pytest.mark.parametrize("method", [DEIS])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
@pytest.mark.parametrize("spaced", ["karras", "exponential", "beta", "flow"])
def test_a_last_step_of_no_length_leaves_x_as_it_is(method, dialect, spaced):
    config = method | {f"use_{spaced}_sigmas": True, "lower_order_final": False, "solver_order": 3}
    sampler = from_config(config, dialect)
    plan = sampler.plan(20)
    x, *past = (np.random.default_rng(k).normal(size=(1, 2, 3, 4)) for k in range(4))
    np.testing.assert_allclose(predicted(plan.rows[-1], x, past, None), x, rtol=1e-12)


@pytest.mark.parametrize(
    ("config", "options", "steps", "word"),
    [
        (DEIS | {"use_karras_sigmas": True, "use_flow_sigmas": True}, {}, 5, "use_flow_sigmas"),
        (DEIS, {"mu": 1.0}, 5, "use_dynamic_shifting"),
        (DEIS | {"num_train_timesteps": 20}, {}, 20, "finite"),
        (DEIS | {"algorithm_type": "sde-dpmsolver++"}, {}, 5, "algorithm_type"),
    ],
)
def test_refusals(config, options, steps, word):
    with pytest.raises(ConfigError, match=word):
        from_config(config, **options).plan(steps)
