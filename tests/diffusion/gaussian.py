"""One Gaussian on the line, whose perfect denoiser is known: what several tests measure with.

For x0 ~ N(MEAN, SPREAD^2) the marginals are x_t ~ N(sqrt(a) MEAN, a SPREAD^2 + 1 - a), the best
eps is linear in x, and the probability flow takes each quantile to the same quantile.
"""

import numpy as np

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import Euler
from refdiff.diffusion.schedule import NoiseSchedule

MEAN, SPREAD, T = 0.7, 0.4, 4096
SCHEDULE = NoiseSchedule.linear(T, 1e-4 * 1000 / T, 0.02 * 1000 / T, dialect="paper")
STEPS = np.array([16, 32, 64, 128, 256])


def alpha_bar_at(t):
    return float(np.interp(t, np.arange(T), SCHEDULE.alphas_cumprod))


def best_eps(x, a):
    """E[eps | x] where x = sqrt(a) x0 + sqrt(1 - a) eps."""
    return (1 - a) ** 0.5 * (x - a**0.5 * MEAN) / (a * SPREAD**2 + 1 - a)


def marginal(quantile, a):
    return a**0.5 * MEAN + (a * SPREAD**2 + 1 - a) ** 0.5 * quantile


def error(sampler, steps, prediction="epsilon", until=None):
    """Distance from the exact flow at the end, or on arriving at time `until`."""
    plan = sampler.plan(steps)
    quantile = np.array([-1.5, 0.3, 2.0])
    if isinstance(sampler, Euler):
        # the levels of the plan itself: its times only name them
        levels = dict(zip(plan.timesteps, plan.column("sigma"), strict=True))
        a_of = {t: 1 / (1 + sigma**2) for t, sigma in levels.items()}
        x = marginal(quantile, a_of[plan.timesteps[0]]) / a_of[plan.timesteps[0]] ** 0.5
    else:
        a_of = dict(zip(plan.timesteps, plan.column("alpha_bar"), strict=True))
        x = marginal(quantile, a_of[plan.timesteps[0]])

    def model(x, t):
        a = float(a_of[t])
        eps = best_eps(x, a)
        if prediction == "epsilon":
            return eps
        return (eps - (1 - a) ** 0.5 * x) / a**0.5  # v

    records = list(sample(model, sampler, plan, x, noise=lambda i: None))
    if until is None:
        return np.max(np.abs(records[-1].x_prev - marginal(quantile, 1.0)))
    (i,) = (i for i, row in enumerate(plan.rows) if row.s == until and row.t == row.start)
    exact = marginal(quantile, float(SCHEDULE.alphas_cumprod[until]))
    return np.max(np.abs(records[i].x_prev - exact))


def order(make, prediction="epsilon", until=None, steps=STEPS):
    """Slope of the error over four halvings of the step."""
    errors = [error(make(prediction), int(n), prediction, until) for n in steps]
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0], errors
