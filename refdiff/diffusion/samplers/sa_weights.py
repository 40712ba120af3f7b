"""SA-Solver's step: the polynomial through the values, integrated exactly (2309.05019, section 5).

From s to t, with h = lambda_t - lambda_s, noise z and tau as in `sa_solver`,

    x0:  x_t = std_t / std_s e^(-tau^2 h) x_s + std_t sqrt(1 - e^(-2 tau^2 h)) z
               + (1 + tau^2) std_t e^(-tau^2 lambda_t) sum_i I_i m_i
    eps: x_t = alpha_t / alpha_s x_s + tau std_t sqrt(e^(2h) - 1) z
               - (1 + tau^2) alpha_t sum_i I_i m_i

    I_i = integral of e^(c lambda) l_i(lambda) over lambda from lambda_s to lambda_t

l_i is Lagrange's polynomial, 1 at node i and 0 at the others, and c = 1 + tau^2 where the values m
are x0, -1 where they are eps. Everything here is computed in the order in which diffusers does,
powers of lambda itself and all, whose differences magnify rounding.
"""

import math
from itertools import combinations

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.adams import Steps
from refdiff.diffusion.types import Array


def linear(steps: Steps, tau: Array, data: bool) -> tuple[Array, Array]:
    """of_x and noise_std, of x0 with `data`, else of eps: tau in float64 [rows] -> [rows] each"""
    s, t, h = steps.start, steps.end, steps.h
    tau1, tau2, minus_2_tau2 = (v.astype(h.dtype) for v in (tau, tau**2, -2 * tau**2))
    if data:
        of_x = rounded.exp(-tau2 * h) * (t.std / s.std)
        return of_x, t.std * np.sqrt(1 - rounded.exp(minus_2_tau2 * h))
    return t.alpha / s.alpha, tau1 * t.std * np.sqrt(rounded.exp(2 * h) - 1)


def weights(steps: Steps, nodes: Array, tau: Array, data: bool, halved: bool) -> Array:
    """Those of the values at the nodes; halved: of two of x0, with h^2 / 2 for its integral.

    nodes [values,rows], tau in float64 [rows] -> [values,rows]
    """
    start, end, c = steps.start.lambda_, steps.end.lambda_, 1 + tau**2
    share, tau2 = c.astype(end.dtype), (tau**2).astype(end.dtype)
    if not data:
        return -share * steps.end.alpha * integrals(nodes, start, end, -np.ones_like(c))
    of_m = integrals(nodes, start, end, c)
    if halved and len(nodes) == 2:
        traded = curvature(start, end, c) / (nodes[0] - nodes[1])
        of_m = np.stack([of_m[0] + traded, of_m[1] - traded])
    return share * steps.end.std * rounded.exp(-tau2 * end) * of_m


def integrals(nodes: Array, start: Array, end: Array, c: Array) -> Array:
    """I of each node: nodes [values,rows], start, end, c in float64 [rows] -> [values,rows]

    Not finite where two nodes are the same.
    """
    count = len(nodes)
    J = [moment(n, start, end, c) for n in range(count)]
    return np.stack([sum(a * J[n] for n, a in lagrange(nodes, i)) for i in range(count)])


def moment(n: int, start: Array, end: Array, c: Array) -> Array:
    """Integral of e^(c lambda) lambda^n, for n up to 3: start, end, c [rows] -> [rows]"""
    a, b, power = (v.astype(start.dtype) for v in (c * start, c * end, c ** (n + 1)))
    return rounded.exp(b) * (_by_parts(n, b) - _by_parts(n, a) * rounded.exp(-(b - a))) / power


def _by_parts(n: int, x: Array) -> Array:
    """The polynomial p for which e^x p is an integral of e^x x^n: x [rows] -> [rows]"""
    match n:
        case 0:
            return np.ones_like(x)
        case 1:
            return x - 1
        case 2:
            return x**2 - 2 * x + 2
    return x * x * x - 3 * x**2 + 6 * x - 6


def lagrange(nodes: Array, i: int) -> list[tuple[int, Array]]:
    """l_i by its powers of lambda, highest first: nodes [values,rows] -> (power, factor [rows])"""
    others = [node for j, node in enumerate(nodes) if j != i]
    below = math.prod((nodes[i] - node for node in others), start=np.ones_like(nodes[i]))
    factors = []
    for m in range(len(nodes)):
        # the sum of all products of m of the other nodes (Vieta)
        e = sum((math.prod(some, start=1) for some in combinations(others, m)), start=0)
        factors.append((len(others) - m, (-1) ** m * e / below))
    return factors


def curvature(start: Array, end: Array, c: Array) -> Array:
    """What two I trade, times their nodes' distance, so that they hold h^2 / 2: -> [rows]

    Of order h^3; UniPC's weight 1/2 in place of the integral.
    """
    h = end - start
    c1, c2 = c.astype(h.dtype), (c**2).astype(h.dtype)
    grown = h * c1 - 1 + rounded.exp(c1 * (-h))
    return rounded.exp(c1 * end) * (h**2 / 2 - grown / c2)
