"""The k-diffusion family: churn, multistep weights, two-stage steps and their noise.

Data are Gaussian, x0 ~ N(MEAN, SPREAD^2), as in test_convergence.py.
"""

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.churn import Churn
from refdiff.diffusion.samplers.euler import Euler
from refdiff.diffusion.samplers.lms import Lms, weights
from refdiff.diffusion.samplers.respacing import karras
from refdiff.diffusion.samplers.sigmas import sigma_table
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError, ShapeError

MEAN, SPREAD, T = 0.7, 0.4, 1000
PAPER = NoiseSchedule.scaled_linear(T, dialect="paper")
OURS = NoiseSchedule.scaled_linear(T)
# low ends: the last step, to sigma 0, is of first order and leaves about sigma^2
STRAIGHT = NoiseSchedule.linear(T, 1e-8, 0.02, dialect="paper")
CHURN = Churn(s_churn=8.0, s_noise=1.0)


def denoised(x, sigma):
    """E[x0 | x] where x = x0 + sigma eps."""
    return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def said(x, row, prediction):
    """What a perfect model says of the unscaled x at the row's own sigma."""
    x0 = denoised(x, row.sigma)
    eps = (x - x0) / row.sigma
    scale = (row.sigma**2 + 1) ** 0.5
    return {"epsilon": eps, "sample": x0, "v_prediction": (eps - row.sigma * x0) / scale}[
        prediction
    ]


def walk(sampler, plan, x, noise=lambda i: None, start=0):
    """x after every row from `start`, with a perfect model."""
    memory, xs = None, []
    for i in range(start, len(plan)):
        row = plan.rows[i]
        out = said(sampler.scale_input(plan, i, x) * row.std, row, sampler.prediction)
        x, memory = sampler.step(plan, i, x, out, memory, noise(i))
        xs.append(x)
    return xs


def distribution(sampler, steps, noises=np.eye):
    """Mean and variance of what comes out, exactly: each noise's share is its impulse response.

    noises: count -> [count, count], column i is row i's noise in terms of independent ones.
    """
    plan = sampler.plan(steps)
    count = len(plan)
    impulses = np.zeros((count + 2, count))
    impulses[2:] = noises(count)
    sigma = plan.rows[0].sigma
    x = np.full(count + 2, MEAN)
    x[1] += (sigma**2 + SPREAD**2) ** 0.5
    end = walk(sampler, plan, x, lambda i: impulses[:, i])[-1]
    return end[0], np.sum((end[1:] - end[0]) ** 2)


@pytest.mark.parametrize("schedule", [PAPER, OURS], ids=["paper", "diffusers"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_a_churned_euler_arrives_at_the_data(schedule, prediction):
    """Of first order in both dialects, and nearer by the published algorithm."""
    sampler = Euler(schedule, prediction, respacing=karras, churn=CHURN)
    off = []
    for steps in (32, 128, 512):
        mean, variance = distribution(sampler, steps)
        off.append(abs(variance**0.5 - SPREAD))
        assert mean == pytest.approx(MEAN, abs=0.02)
    assert off[2] < off[1] < off[0] and off[2] < 0.01
    assert off[0] / off[2] > 8


def test_on_paper_churn_is_the_same_for_every_prediction():
    """Where diffusers converts v with the sigma before churn (DIALECTS)."""

    def end(schedule, prediction):
        sampler = Euler(schedule, prediction, respacing=karras, churn=CHURN)
        return distribution(sampler, 16)

    exact = end(PAPER, "epsilon")
    for prediction in ("sample", "v_prediction"):
        assert end(PAPER, prediction) == pytest.approx(exact, rel=1e-9)
    assert end(OURS, "v_prediction") != pytest.approx(end(OURS, "epsilon"), rel=1e-3)


@pytest.mark.parametrize("dialect", ["paper", "diffusers"])
def test_churn_where_it_is_asked_for(dialect):
    config = {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}
    options = {"s_churn": 3.0, "s_tmin": 0.5, "s_tmax": 40.0, "s_noise": 1.1}
    plain, plan = (from_config(config, dialect, **o).plan(12) for o in ({}, options))
    sigma, sigma_hat = plain.column("sigma"), plan.column("sigma_hat")
    within = (sigma >= 0.5) & (sigma <= 40)
    assert 0 < within.sum() < 12
    gamma = np.where(within, 3.0 / 12, 0.0)
    np.testing.assert_allclose(sigma_hat, sigma * (1 + gamma), rtol=1e-6)
    added = 1.1 * np.sqrt(sigma_hat**2 - sigma**2)
    if dialect == "diffusers":
        np.testing.assert_array_equal(plan.column("sigma"), sigma)
        np.testing.assert_allclose(plan.column("noise_before"), added, rtol=1e-6)
    else:
        np.testing.assert_array_equal(plan.column("sigma"), sigma_hat)
        np.testing.assert_allclose(plan.column("noise_after")[:-1], added[1:], rtol=1e-12)
        times = plan.timesteps - plain.timesteps
        assert np.all(times[within] > 0) and np.all(times[~within] == 0)
    sampler = from_config(config, dialect, **options)
    needs = [sampler.needs_noise(plan, i) for i in range(12)]
    assert needs == list(within if dialect == "diffusers" else [*within[1:], False])
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ShapeError, match="noise"):
        sampler.step(plan, needs.index(True), x, x, None, None)


@pytest.mark.parametrize("options", [{"s_churn": -1}, {"s_tmax": float("nan")}, {"s_noise": "1"}])
def test_refused_churn(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        from_config({"_class_name": "EulerDiscreteScheduler"}, **options)


def flow(sampler, steps, start=0):
    """Distance from the probability flow's end, of a run that starts on it in row `start`."""
    plan = sampler.plan(steps)
    quantile = np.array([-1.5, 0.3, 2.0])
    x = MEAN + (plan.rows[start].sigma ** 2 + SPREAD**2) ** 0.5 * quantile
    return np.max(np.abs(walk(sampler, plan, x, start=start)[-1] - (MEAN + SPREAD * quantile)))


def convergence(make, steps, start=lambda steps: 0):
    """Slope of the error over halvings of the step."""
    errors = [flow(make, n, start(n)) for n in steps]
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


STEPS = [64, 128, 256, 512]


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms_is_of_its_order(order, prediction):
    """From a start of lower order, whose share vanishes: at the largest sigma x0 hardly moves."""
    sampler = Lms(STRAIGHT, prediction, respacing=karras, order=order)
    assert convergence(sampler, STEPS) == pytest.approx(order, abs=0.25)


def test_lms_weights_are_the_integrals():
    rng = np.random.default_rng(3)
    nodes = np.sort(rng.uniform(0.5, 20, (4, 3)), axis=0)[::-1]
    end = nodes[0] * 0.9
    for k in range(1, 5):
        found = weights(nodes[:k], end)
        for j in range(k):
            for row in range(3):

                def basis(tau, j=j, row=row, k=k):
                    others = [nodes[m, row] for m in range(k) if m != j]
                    return np.prod([(tau - n) / (nodes[j, row] - n) for n in others])

                exact = quad(basis, nodes[0, row], end[row], epsabs=0, epsrel=1e-12)[0]
                assert found[j, row] == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_lms_from_the_middle_needs_no_past_on_paper():
    """DIALECTS: diffusers' weights of a past that is not there lead astray."""
    schedules = [NoiseSchedule.linear(T, 1e-6, dialect=d) for d in ("paper", "diffusers")]
    runs = [Lms(schedule, respacing=karras) for schedule in schedules]
    paper, theirs = (flow(run, 64, start=32) for run in runs)
    assert paper < 0.1 * theirs
    # and from the first row on, both are one
    paper, theirs = (flow(run, 64) for run in runs)
    assert paper == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "cosine"])
def test_the_table_of_sigmas_is_torchs(kind):
    """To one float32 step, which roots_rounded_once leaves out of the comparisons of runs."""
    schedule = getattr(NoiseSchedule, kind)(1000)
    a = torch.from_numpy(schedule.alpha_bar)
    theirs = (((1 - a) / a) ** 0.5).numpy()
    np.testing.assert_array_max_ulp(sigma_table(schedule), theirs, maxulp=1)
