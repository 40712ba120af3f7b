"""Consistency models, score SDEs and Stable Audio's sampler: their own facts.

Data are Gaussian, x0 ~ N(MEAN, SPREAD^2), for which every perfect network is linear in x. So what
comes out is Gaussian too, and known from the answers to one unit of each noise alone.
"""

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from refdiff.diffusion.samplers import from_config
from refdiff.errors import ConfigError, ShapeError
from tests.diffusion import oracle
from tests.diffusion.draws import Case

MEAN, SPREAD = 0.7, 0.4
DIALECTS = ("paper", "diffusers")
CM = {"_class_name": "CMStochasticIterativeScheduler", "clip_denoised": False}
VE = {"_class_name": "ScoreSdeVeScheduler", "sigma_max": 50.0, "correct_steps": 0}
VP = {"_class_name": "ScoreSdeVpScheduler"}
COSINE = {"_class_name": "CosineDPMSolverMultistepScheduler", "sigma_min": 0.02, "sigma_max": 50}


def consistent(x, row, sampler):
    """F of the perfect consistency model, which takes each quantile to itself at sigma_min."""
    ratio = (SPREAD**2 + sampler.sigma_min**2) / (SPREAD**2 + row.sigma**2)
    f = MEAN + (x * row.std - MEAN) * ratio**0.5
    return (f - row.c_skip * x * row.std) / row.c_out if row.c_out else 0 * x


def ve_score(x, row, sampler):
    return (MEAN - x) / (SPREAD**2 + row.sigma**2)


def vp_eps(x, row, sampler):
    a = row.alpha_bar
    return (1 - a) ** 0.5 * (x - a**0.5 * MEAN) / (a * SPREAD**2 + 1 - a)


def cosine_f(x, row, sampler):
    x = x * row.std
    x0 = (SPREAD**2 * x + row.sigma**2 * MEAN) / (SPREAD**2 + row.sigma**2)
    return (x0 - row.c_skip * x) / row.c_out


def distribution(sampler, steps, best):
    """Mean and variance of what comes out, from the first row's exact marginal."""
    plan, memory = sampler.plan(steps), None
    impulses = np.zeros((len(plan) + 2, len(plan)))
    impulses[2:] = np.eye(len(plan))
    x = np.full(len(plan) + 2, sampler.add_noise(plan, 0, MEAN, 0.0))
    share = (sampler.add_noise(plan, 0, *of) for of in ((SPREAD, 0.0), (0.0, 1.0)))
    x[1] += sum(s**2 for s in share) ** 0.5
    for i, row in enumerate(plan.rows):
        out = best(sampler.scale_input(plan, i, x), row, sampler)
        x, memory = sampler.step(plan, i, x, out, memory, impulses[:, i])
    return x[0], np.sum((x[1:] - x[0]) ** 2)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_a_perfect_consistency_model_needs_one_round(steps):
    """And any number of rounds gives the data again, with sigma_min of noise left in them."""
    sampler = from_config(CM, "paper")
    mean, variance = distribution(sampler, steps, consistent)
    assert mean == pytest.approx(MEAN, abs=1e-12)
    assert variance == pytest.approx(SPREAD**2 + sampler.sigma_min**2, rel=1e-9)
    plan = sampler.plan(steps)
    assert sampler.needs_noise(plan, 0) == (steps > 1)


def test_a_consistency_model_is_the_identity_at_sigma_min():
    row = from_config(CM, "paper").plan(40).rows[-1]
    assert row.sigma == pytest.approx(0.002) and row.c_skip == 1 and abs(row.c_out) < 1e-15


@pytest.mark.parametrize(("config", "best"), [(VE, ve_score), (VP, vp_eps)])
def test_the_reversed_sdes_arrive_at_the_data(config, best):
    sampler = from_config(config, "paper")
    off = []
    for steps in (64, 256, 1024):
        mean, variance = distribution(sampler, steps, best)
        off.append(max(abs(mean - MEAN), abs(variance**0.5 - SPREAD)))
    assert off[2] < off[1] < off[0] and off[2] < 0.01
    assert off[0] / off[2] > 8  # first order


@pytest.mark.parametrize(("order", "method"), [(1, "midpoint"), (2, "midpoint"), (2, "heun")])
def test_stable_audios_sampler_has_its_order(order, method):
    """Of the standard deviation at sigma_min, where the last step has no length."""
    more = {"solver_order": order, "solver_type": method, "final_sigmas_type": "sigma_min"}
    sampler = from_config(COSINE | more, "paper")
    steps, off = np.array([32, 64, 128, 256]), []
    for n in steps:
        mean, variance = distribution(sampler, int(n), cosine_f)
        assert mean == pytest.approx(MEAN, abs=1e-9)
        off.append(abs(variance**0.5 - (SPREAD**2 + sampler.sigma_min**2) ** 0.5))
    assert -np.polyfit(np.log(steps), np.log(off), 1)[0] == pytest.approx(order, abs=0.25)


@pytest.mark.filterwarnings("ignore:Should have")  # the path ends at 50, and 50 is rounded
def test_a_brownian_path_fits_the_rows():
    """refdiff asking torchsde's path from noise_from to noise_to is diffusers by that seed."""
    config = COSINE | {"final_sigmas_type": "sigma_min", "euler_at_final": True}
    case = Case(config, 9, (2, 3, 4, 5), 7)
    scheduler, (sampler, plan) = oracle.theirs(case), oracle.ours(case)
    draws = oracle.Draws(case, np.float32)
    x = draws.start() * np.float32(scheduler.init_noise_sigma)
    theirs, mine, memory = torch.from_numpy(x), x, None
    ends = scheduler.config.sigma_min, scheduler.config.sigma_max
    path = BrownianTreeNoiseSampler(theirs, *ends, seed=5)
    generator = torch.Generator().manual_seed(5)
    for i, row in enumerate(plan.rows):
        out = draws.out(i)
        step = scheduler.step(torch.from_numpy(out), scheduler.timesteps[i], theirs, generator)
        theirs, z = step.prev_sample, None
        if sampler.needs_noise(plan, i):
            z = path(torch.tensor(row.noise_from), torch.tensor(row.noise_to)).numpy()
        mine, memory = sampler.step(plan, i, mine, out, memory, z)
        if sampler.needs_noise(plan, i):  # a step of no length has 0 / 0 of noise in diffusers
            assert oracle.gap(mine, theirs.numpy()) < 2e-6
    assert i == 8


def test_a_correction_has_the_ratio_of_signal_to_noise_that_was_asked_for():
    """|e score| = snr |sqrt(2 e) z| (2011.13456, algorithm 4), whatever the score's size."""
    sampler = from_config(VE | {"correct_steps": 2, "snr": 0.2})
    plan = sampler.plan(5)
    rng = np.random.default_rng(0)
    x, score, z = rng.standard_normal((3, 1, 2, 3, 4))
    for size in (1e-3, 1.0, 30.0):
        after, _ = sampler.step(plan, 0, x, size * score, None, z)
        push, _ = sampler.step(plan, 0, x, -size * score, None, z)
        drift, noise = (after - push) / 2, (after + push) / 2 - x
        assert np.linalg.norm(drift) / np.linalg.norm(noise) == pytest.approx(0.2)
    with pytest.raises(ShapeError, match="noise"):
        sampler.step(plan, 0, x, score, None, None)


def test_a_late_end_misses_levels_in_diffusers_only():
    """Times down to sampling_eps count levels that go further down (DIALECTS)."""
    early = VE | {"sampling_eps": 0.1}
    paper, theirs = (from_config(early, d).plan(30).column("sigma") for d in DIALECTS)
    assert len(set(paper)) == 30 and paper[-1] == pytest.approx(0.01)
    assert len(set(theirs)) < 30 and theirs[-1] > 0.01


@pytest.mark.parametrize("config", [CM, VE, COSINE])
def test_exchanged_ends_are_refused(config):
    with pytest.raises(ConfigError, match="sigma_min"):
        from_config(config | {"sigma_min": 3.0, "sigma_max": 0.1})


def test_where_diffusers_gives_nan_refdiff_does_not():
    """MENDED: the root of what rounding made negative, and steps of no length."""
    cm = [Case(CM | {"sigma_min": 0.01 + k / 1000}, 3, (2, 3), 0) for k in range(20)]
    last = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
    cosine = [
        Case(COSINE | last | {"solver_type": "heun", "sigma_min": 0.3 + k / 100}, 20, (2, 3), 0)
        for k in range(20)
    ]
    for cases in (cm, cosine):
        theirs = [np.isfinite(oracle.their_run(case).xs[-1]).all() for case in cases]
        assert not all(theirs)
        assert all(np.isfinite(oracle.our_run(case).xs).all() for case in cases)


def test_one_step_of_stable_audios_starts_at_the_top_on_paper():
    rows = [from_config(COSINE, dialect).plan(1).rows[0] for dialect in DIALECTS]
    assert [round(row.sigma, 6) for row in rows] == [50, 0.02]
