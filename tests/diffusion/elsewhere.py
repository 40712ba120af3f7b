"""Samplers as k-diffusion and ComfyUI state them: on a denoiser D(x, sigma) and a list of sigmas.

Written anew for the tests, one scalar at a time, as an oracle for samplers that diffusers lacks.
All in float64.
"""

import itertools
import math

import numpy as np

from refdiff.diffusion.samplers.sigmas import DENOISED
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

    def noise(self):
        """The noise of the row that was asked last."""
        return self.draws.noise(len(self.xs) - 1)


def split(sigma, sigma_next, eta):
    """Down to, and noise up again: sigma_down^2 + up^2 = sigma_next^2, without cancellation."""
    down = sigma_next * math.sqrt(1 - eta**2 + (eta * sigma_next / sigma) ** 2)
    return down, eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)


def euler_cfg_pp(denoiser, x, sigmas, eta):
    """ComfyUI's sample_euler_cfg_pp, and with eta its ancestral form."""
    for sigma, sigma_next in itertools.pairwise(sigmas):
        uncond, guided = denoiser(x, sigma, halves=True)
        down, up = split(sigma, sigma_next, eta)
        x = guided + down * ((x - uncond) / sigma)
        if sigma_next > 0 and eta > 0:
            x = x + up * denoiser.noise()
    return x


def res_multistep(denoiser, x, sigmas, eta):
    """ComfyUI's res_multistep: the coefficients b_1 and b_2 of 2308.02157 from phi(-h)."""
    before, arrived = None, None  # x0 of the last call, sigma_down of the last step
    for i, sigma in enumerate(sigmas[:-1]):
        x0 = denoiser(x, sigma)
        down, up = split(sigma, sigmas[i + 1], eta)
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


def dpm_1(denoiser, x, start, end):
    """DPM-Solver-1 of 2206.00927 from lambda = start to lambda = end."""
    return x - sigma_at(end) * math.expm1(end - start) * eps_of(denoiser, x, start)


def dpm_2(denoiser, x, start, end, r1=1 / 2):
    """DPM-Solver-2, algorithm 1 of 2206.00927."""
    h, e = end - start, eps_of(denoiser, x, start)
    u1 = x - sigma_at(start + r1 * h) * math.expm1(r1 * h) * e
    e1 = eps_of(denoiser, u1, start + r1 * h)
    return x - sigma_at(end) * math.expm1(h) * (e + (e1 - e) / (2 * r1))


def dpm_3(denoiser, x, start, end, r1=1 / 3, r2=2 / 3):
    """DPM-Solver-3, algorithm 2 of 2206.00927."""
    h, e = end - start, eps_of(denoiser, x, start)
    s1, s2 = start + r1 * h, start + r2 * h
    u1 = x - sigma_at(s1) * math.expm1(r1 * h) * e
    d1 = eps_of(denoiser, u1, s1) - e
    bend = math.expm1(r2 * h) / (r2 * h) - 1
    u2 = x - sigma_at(s2) * (math.expm1(r2 * h) * e + r2 / r1 * bend * d1)
    d2 = eps_of(denoiser, u2, s2) - e
    return x - sigma_at(end) * (math.expm1(h) * e + (math.expm1(h) / h - 1) / r2 * d2)


def sigma_at(lambda_):
    """The level of lambda."""
    return math.exp(-lambda_)


def eps_of(denoiser, x, lambda_):
    """The noise in x."""
    return (x - denoiser(x, sigma_at(lambda_))) / sigma_at(lambda_)


def dpm_fast(denoiser, x, ends, calls, eta):
    """k-diffusion's sample_dpm_fast, from sigma ends[0] to ends[1]; x after every step."""
    start, end = (-math.log(sigma) for sigma in ends)
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    path = [start + (end - start) * k / count for k in range(count + 1)]
    xs = []
    for order, here, there in zip(orders, path[:-1], path[1:], strict=True):
        down, _ = split(sigma_at(here), sigma_at(there), eta)
        to = min(end, -math.log(down))
        x = (dpm_1, dpm_2, dpm_3)[order - 1](denoiser, x, here, to)
        if eta:
            up = math.sqrt(max(sigma_at(there) ** 2 - sigma_at(to) ** 2, 0))
            x = x + up * denoiser.noise()
        xs.append(x)
    return xs


def dpm_adaptive(denoiser, x, ends, noise, order=3, rtol=0.05, atol=0.0078, pid=(0, 1, 0), eta=0):
    """k-diffusion's sample_dpm_adaptive: x at last, and each attempt's end, error and verdict."""
    at, end = (-math.log(sigma) for sigma in ends)
    h, p = 0.05, 1.5 if eta else order
    powers = ((pid[0] + pid[1] + pid[2]) / p, -(pid[0] + 2 * pid[2]) / p, pid[2] / p)
    inverses, low_before, log = None, x, []
    while at < end - 1e-5:
        there = min(end, at + h)
        to = min(end, -math.log(split(sigma_at(at), sigma_at(there), eta)[0]))
        if order == 2:
            low, high = dpm_1(denoiser, x, at, to), dpm_2(denoiser, x, at, to)
        else:
            low, high = dpm_2(denoiser, x, at, to, 1 / 3), dpm_3(denoiser, x, at, to)
        allowed = np.maximum(atol, rtol * np.maximum(abs(low), abs(low_before)))
        error = np.linalg.norm((low - high) / allowed) / x.size**0.5
        inverses = inverses or [1 / (error + 1e-8)] * 3
        inverses[0] = 1 / (error + 1e-8)
        factor = 1 + math.atan(math.prod(v**k for v, k in zip(inverses, powers, strict=True)) - 1)
        log.append((there, error, factor >= 0.81))
        h *= factor
        if factor >= 0.81:
            inverses[1:] = inverses[:2]
            x = high + math.sqrt(max(sigma_at(there) ** 2 - sigma_at(to) ** 2, 0)) * noise()
            at, low_before = there, low
    return x, log
