"""Samplers as k-diffusion and ComfyUI state them: on a denoiser D(x, sigma) and a list of sigmas.

Written anew for the tests, one scalar at a time, as an oracle for samplers that diffusers lacks.
All in float64, but for what says otherwise.
"""

import itertools
import math

import numpy as np

from refdiff.diffusion.samplers.sigmas import DENOISED
from refdiff.diffusion.schedule import PRECISION
from tests.diffusion import oracle


class Asked:
    """D(x, sigma), answered with the case's outputs one after another; says what it was asked."""

    def __init__(self, case, dialect):
        self.sampler, self.plan = oracle.ours(case, dialect)
        self.draws, self.xs, self.sigmas = oracle.Draws(case, np.float64), [], []

    def __call__(self, x, sigma, halves=False):
        i = len(self.xs)
        self.xs.append(x)
        self.sigmas.append(sigma)
        out = self.draws.out(i, self.sampler.out_shape(x.shape))
        n = len(x)
        outs = [out[:n], out[n:]] if halves else [out]
        row = self.plan.rows[i]
        said = [DENOISED[self.sampler.prediction](x, o, row) for o in outs]
        return said if halves else said[0]

    def split(self, sigma, sigma_next, eta):
        """Down to, and noise up again, in the tables' precision: its rounding decides much."""
        if eta == 0:
            return sigma_next, 0.0
        s, t = map(PRECISION[self.sampler.schedule.dialect], (sigma, sigma_next))
        up = eta * np.sqrt(t**2 * (s**2 - t**2) / s**2)
        return float(np.sqrt(max(t**2 - up**2, 0))), float(up)

    def noise(self):
        """The noise of the row that was asked last."""
        return self.draws.noise(len(self.xs) - 1)


def euler_cfg_pp(denoiser, x, sigmas, eta):
    """ComfyUI's sample_euler_cfg_pp, and with eta its ancestral form."""
    for sigma, sigma_next in itertools.pairwise(sigmas):
        uncond, guided = denoiser(x, sigma, halves=True)
        down, up = denoiser.split(sigma, sigma_next, eta)
        x = guided + down * ((x - uncond) / sigma)
        if sigma_next > 0 and eta > 0:
            x = x + up * denoiser.noise()
    return x


def res_multistep(denoiser, x, sigmas, eta):
    """ComfyUI's res_multistep: the coefficients b_1 and b_2 of 2308.02157 from phi(-h)."""
    before, arrived = None, None  # x0 of the last call, sigma_down of the last step
    for i, sigma in enumerate(sigmas[:-1]):
        x0 = denoiser(x, sigma)
        down, up = denoiser.split(sigma, sigmas[i + 1], eta)
        if down == 0 or before is None:
            x = x + (x - x0) / sigma * (down - sigma)
        else:
            h = math.log(sigma) - math.log(down)
            c2 = (math.log(arrived) - math.log(sigmas[i - 1])) / h
            phi1 = math.expm1(-h) / -h
            phi2 = (phi1 - 1) / -h
            x = math.exp(-h) * x + h * ((phi1 - phi2 / c2) * x0 + phi2 / c2 * before)
        if sigmas[i + 1] > 0 and eta > 0:
            x = x + up * denoiser.noise()
        before, arrived = x0, down
    return x
