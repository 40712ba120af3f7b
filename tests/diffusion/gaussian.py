"""One Gaussian on the line, whose perfect denoiser is known: what several tests measure with.

For x0 ~ N(MEAN, SPREAD^2) the marginals are x_t ~ N(sqrt(a) MEAN, a SPREAD^2 + 1 - a), the best
eps is linear in x, and the probability flow takes each quantile to the same quantile.
"""

import numpy as np

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
