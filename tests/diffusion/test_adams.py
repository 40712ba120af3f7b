"""The exponential Adams methods: exact for polynomials, orders of convergence, lower orders."""

import dataclasses
import itertools
import time

import diffusers
import numpy as np
import pytest

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.adams_step import Memory, corrected, predicted
from refdiff.diffusion.samplers.deis import Deis
from refdiff.diffusion.samplers.respacing import karras
from refdiff.diffusion.samplers.sa_solver import SaSolver
from refdiff.diffusion.samplers.unipc import UniPc
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.draws import Case
from tests.diffusion.gaussian import SCHEDULE, best_eps
from tests.diffusion.test_solvers import marginal

STEPS = (80, 160, 320)
DEIS = {"_class_name": "DEISMultistepScheduler"}
UNIPC = {"_class_name": "UniPCMultistepScheduler", "final_sigmas_type": "sigma_min"}
SA = {"_class_name": "SASolverScheduler"}
EVERY = frozenset(range(max(STEPS)))


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


SAID = [(Deis(SCHEDULE, order=k, lower_final=False), k) for k in (1, 2, 3)]
SAID += [(UniPc(SCHEDULE, order=k), k + 1) for k in (1, 2)]
SAID += [(UniPc(SCHEDULE, order=2, bh2=False), 3)]
SAID += [(UniPc(SCHEDULE, order=2, algorithm="dpmsolver", final="sigma_min"), 3)]
SAID += [(UniPc(SCHEDULE, order=k, uncorrected=EVERY), k) for k in (1, 2, 3)]
SAID += [
    (SaSolver(SCHEDULE, order=p, corrector_order=c, data=data, tau=lambda t: 0.0), c)
    for p, c in ((1, 2), (2, 3))
    for data in (True, False)
]


@pytest.mark.parametrize(("sampler", "order"), SAID)
def test_the_flow_is_solved_to_the_order_that_is_said(sampler, order):
    """UniC adds one to UniP's, in both of UniPC's kinds of B; SA-Solver has its corrector's."""
    assert slope(sampler) == pytest.approx(order, abs=0.2)


def level_of(row):
    return np.log(row.alpha / row.std)


def integral(row, after, data, curve, tau=0.0):
    """Where x = 0 goes from row to the next while eps, or x0 with `data`, is curve(lambda)."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    start, end = level_of(row), level_of(after)
    at = start + (end - start) * (nodes + 1) / 2
    grown = after.std * np.exp(at + tau**2 * (at - end))
    kernel = (1 + tau**2) * (grown if data else -after.alpha * np.exp(-at))
    return (end - start) / 2 * np.sum(weights * kernel * curve(at))


def off_a_polynomial(sampler, degree, data=False, correct=False, tau=0.0, i=5):
    """How far row i's step is from the integral where eps or x0 is (lambda - 1)^degree."""
    plan, x = sampler.plan(9), np.zeros(1)
    after, *past = (np.array([(level_of(row) - 1) ** degree]) for row in plan.rows[i + 1 :: -1])
    if correct:
        x = corrected(Memory(plan.rows[i], x, tuple(past), np.zeros(1)), x, after)
    else:
        x = predicted(plan.rows[i], x, past, np.zeros(1))
    true = integral(*plan.rows[i : i + 2], data, lambda at: (at - 1) ** degree, tau)
    return abs(x[0] / true - 1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_is_exact_for_polynomials_below_its_order(order):
    sampler = Deis(SCHEDULE, order=order)
    for degree in range(order):
        assert off_a_polynomial(sampler, degree) < 1e-9
    assert off_a_polynomial(sampler, order) > 1e-3


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("bh2", [True, False])
@pytest.mark.parametrize(("order", "correct"), [(3, False), (2, True), (3, True)])
def test_unipc_is_exact_for_polynomials_below_its_order(algorithm, bh2, order, correct):
    """But for UniP-2 and UniC-1, whose single weight 1/2 is the solution's at h = 0 only."""
    sampler = UniPc(SCHEDULE, order=order, algorithm=algorithm, bh2=bh2, final="sigma_min")
    data, exact = algorithm == "dpmsolver++", order + correct
    for degree in range(exact):
        assert off_a_polynomial(sampler, degree, data, correct) < 1e-9
    assert off_a_polynomial(sampler, exact, data, correct) > 1e-4


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_sa_solver_is_exact_for_polynomials_below_its_order(data, tau, correct, order):
    kind = {"corrector_order": order} if correct else {"order": order}
    sampler = SaSolver(SCHEDULE, data=data, tau=lambda t: tau, **kind)
    for degree in range(order):
        assert off_a_polynomial(sampler, degree, data, correct, tau) < 1e-8
    assert off_a_polynomial(sampler, order, data, correct, tau) > 1e-4


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.0])
def test_every_tau_keeps_the_marginals(tau):
    """Where the data are one point, known to the model, x of a row's level gets the next one's."""
    sampler = SaSolver(SCHEDULE, order=1, corrector_order=1, tau=lambda t: tau)
    for row, after in itertools.pairwise(sampler.plan(9).rows):
        assert (row.of_x * row.std) ** 2 + row.noise_std**2 == pytest.approx(after.std**2)
        assert row.of_x * row.alpha + row.w_0 == pytest.approx(after.alpha)


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_diffusers_agrees_on_any_tau(data, tau):
    config = SA | {"algorithm_type": "data_prediction" if data else "noise_prediction"}
    case = Case(config | {"beta_schedule": "scaled_linear"}, 12, (1, 2, 3, 4), 5, {"tau": tau})
    theirs = diffusers.SASolverScheduler.from_config(case.config, tau_func=lambda t: tau)
    theirs.set_timesteps(case.steps)
    mine, other = oracle.our_run(case), oracle.their_run(case, scheduler=theirs)
    assert oracle.disagreement(mine, other, mine, oracle.magnified(case, mine)) < 1
    assert oracle.run_gap(oracle.our_run(case._replace(options={"tau": tau + 0.1})), other) > 1e-3


@pytest.mark.parametrize("method", [DEIS, UNIPC, SA])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
def test_a_run_from_the_middle_rises_in_order_as_from_the_start(method, dialect):
    """Rows of a run that starts at row 4 are those of a sampler of lower order, until they are
    of full order: then the plan's own."""

    def of_order(k):
        orders = {"solver_order": k, "predictor_order": k, "corrector_order": k + 1}
        return from_config(method | {"use_karras_sigmas": True} | orders, dialect)

    sampler = of_order(3)
    plan, memory, x = sampler.plan(12), None, np.ones((1, 2))
    for k, i in enumerate(range(4, 9), 1):
        x, memory = sampler.step(plan, i, x, np.full((1, 2), 0.1 * i), memory, np.ones((1, 2)))
        assert memory.row == of_order(min(k, 3)).plan(12).rows[i]
    assert memory.row is plan.rows[8]


@pytest.mark.parametrize("method", [DEIS, UNIPC, SA | {"predictor_order": 3}])
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
        (UNIPC | {"use_beta_sigmas": True, "use_flow_sigmas": True}, {}, 5, "use_flow_sigmas"),
        (UNIPC | {"use_dynamic_shifting": True}, {}, 5, "mu"),
        (UNIPC | {"shift_terminal": 0.1}, {}, 5, "use_flow_sigmas"),
        (UNIPC | {"shift_terminal": 0.1, "use_flow_sigmas": True}, {}, 1, "one step"),
        (UNIPC | {"predict_x0": False, "final_sigmas_type": "zero"}, {}, 5, "sigma 0"),
        (UNIPC | {"predict_x0": False, "prediction_type": "flow_prediction"}, {}, 5, "predict_x0"),
        (UNIPC | {"lower_order_final": False, "final_sigmas_type": "zero"}, {}, 5, "order 2"),
        (SA | {"algorithm_type": "noise_prediction", "thresholding": True}, {}, 5, "thresholding"),
        (SA | {"variance_type": "learned"}, {}, 5, "variance_type"),
        (SA | {"tau_func": "lambda t: 1"}, {}, 5, "tau_func"),
        (SA, {"tau": -1.0}, 5, "tau"),
        (
            SA | {"algorithm_type": "noise_prediction", "prediction_type": "flow_prediction"},
            {},
            5,
            "data_prediction",
        ),
        (UNIPC | {"solver_order": 4}, {}, 5, "solver_order"),
        (UNIPC | {"solver_p": "DDIMScheduler"}, {}, 5, "solver_p"),
        (UNIPC | {"disable_corrector": [0, True]}, {}, 5, "disable_corrector"),
    ],
)
def test_refusals(config, options, steps, word):
    with pytest.raises(ConfigError, match=word):
        from_config(config, **options).plan(steps)


def test_a_step_whose_corrector_is_disabled_stays_as_it_is_predicted():
    plan = from_config(UNIPC | {"disable_corrector": [2, 4]}).plan(8)
    assert [row.corrector for row in plan.rows] == [2, 3, 0, 3, 0, 3, 3, 0]
    x, new, past = (np.full((1, 2), v) for v in (1.0, 2.0, 3.0))
    left, changed = (corrected(Memory(plan.rows[i], x, (past,) * 2, None), x, new) for i in (2, 3))
    assert left is x and not np.allclose(changed, x)


def test_karras_flow_sigmas_are_the_levels_of_karras_sigmas():
    """sigma / (1 - sigma) of the straight flow is the other's sigma: lambda stays."""
    karras_alone = UNIPC | {"use_karras_sigmas": True, "sigma_min": 0.01, "sigma_max": 200}
    plain = from_config(karras_alone, "paper").plan(9)
    flow = from_config(karras_alone | {"use_flow_sigmas": True}, "paper").plan(9)
    np.testing.assert_allclose(
        [level_of(row) for row in flow.rows], [level_of(row) for row in plain.rows], atol=1e-12
    )
    np.testing.assert_allclose(flow.timesteps, 1000 * flow.column("sigma"))


def test_thousands_of_steps_are_planned_at_once():
    high = {"use_karras_sigmas": True, "solver_order": 3, "predictor_order": 4}
    for config in (DEIS, UNIPC, SA):
        sampler = from_config(config | high | {"corrector_order": 4})
        sampler.plan(10)
        begin = time.process_time()
        sampler.plan(1000)
        assert time.process_time() - begin < 0.05
