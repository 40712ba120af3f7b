"""Samplers as k-diffusion and ComfyUI state them: on a denoiser D(x, sigma) and a list of sigmas.

Written anew for the tests, one scalar at a time, as an oracle for samplers that diffusers lacks.
"""

import itertools
import math

from refdiff.diffusion.samplers.sigmas import DENOISED
from tests.diffusion import oracle


class Asked:
    """D(x, sigma), answered with the case's outputs one after another; says what it was asked."""

    def __init__(self, case, dtype, dialect):
        self.sampler, self.plan = oracle.ours(case, dialect)
        self.draws, self.xs, self.sigmas = oracle.Draws(case, dtype), [], []

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

    def noise(self):
        """The noise of the row that was asked last."""
        return self.draws.noise(len(self.xs) - 1)


def split(sigma, sigma_next, eta):
    """Down to, and noise up again."""
    up = eta * math.sqrt(sigma_next**2 * max(sigma**2 - sigma_next**2, 0) / sigma**2)
    return math.sqrt(max(sigma_next**2 - up**2, 0)), up


def euler_cfg_pp(denoiser, x, sigmas, eta):
    """ComfyUI's sample_euler_cfg_pp, and with eta its ancestral form."""
    for sigma, sigma_next in itertools.pairwise(sigmas):
        uncond, guided = denoiser(x, sigma, halves=True)
        down, up = split(sigma, sigma_next, eta)
        x = guided + down * ((x - uncond) / sigma)
        if sigma_next > 0 and eta > 0:
            x = x + up * denoiser.noise()
    return x
