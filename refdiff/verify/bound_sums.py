"""How far rounding takes what sums: matrix products, convolution, normalisation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refdiff import ops
from refdiff.op import Array
from refdiff.verify.bounded import Bounded, Operand, current_profile, of, rounded, stored


def bilinear(f: Callable[[Array, Array], Array], x: Operand, w: Operand, terms: int) -> Bounded:
    """f(x, w), each element of it a sum of `terms` products of an x and a w.

    |f(x^, w^) - f(x, w)| <= f(e_x, |w| + e_w) + f(|x|, e_w)
    and the sum itself       gamma_n f(|x| + e_x, |w| + e_w)                   Higham 2002, eq. 3.5
    """
    profile, x, w = current_profile(), factor(x), factor(w)
    gamma = profile.gamma(terms + 1)
    error = f(x.error + gamma * x.reach, w.reach) + terms * profile.accumulation.subnormal
    if w.error.any():
        error = error + f(abs(x.value), w.error)
    return Bounded(f(x.value, w.value), error, max(x.terms, w.terms, terms))


def factor(x: Operand) -> Bounded:
    """x as it enters a matrix product."""
    format = current_profile().factors
    return rounded(of(x), format) if format else of(x)


def product(x: Operand, w: Operand) -> Bounded:
    """The matrix product x w. x [*,L,n], w [*,n,S] -> [*,L,S]"""
    x = of(x)
    return stored(bilinear(np.matmul, x, w, x.shape[-1]))


def biased(y: Bounded, b: Array | None, terms: int) -> Bounded:
    """y + b, b one of the sum's terms or added to what is stored."""
    y = stored(y)
    gamma = current_profile().gamma(terms + 1)
    return y if b is None else y + Bounded(b, gamma * abs(b))


def linear(x: Operand, w: Array, b: Array | None = None) -> Bounded:
    """x [*,I], w [O,I], b [O] -> [*,O]"""
    terms = w.shape[1]
    return biased(bilinear(ops.linear.definition, x, w, terms), b, terms)


def conv2d(x: Operand, w: Array, b: Array | None = None, **options: Any) -> Bounded:
    """x [N,C,H,W], w [O,C/g,k,l], b [O] -> [N,O,H',W']"""
    terms = w[0].size
    y = bilinear(partial(ops.conv2d.definition, **options), x, w, terms)
    return biased(y, None if b is None else b[:, None, None], terms)


def normalised(x: Bounded, eps: float) -> Bounded:
    """(x - mean) / sqrt(var + eps) along the last axis. x [*,n] -> [*,n]

    The mean moves by mean(e) and its own rounding. The variance of moved numbers moves by
    2 mean(|x - mean| e) + mean(e^2), as the deviations sum to zero; computed in one pass, as
    mean(x^2) - mean^2 held above zero, it rounds by at most 4 gamma_n mean(x^2), in two passes or
    by updates by less (Chan, Golub & LeVeque 1983). The last term covers gamma / sqrt(..) and
    mean gamma / sqrt(..) multiplied out beforehand.
    """
    profile = current_profile()
    gamma, few = profile.gamma(x.shape[-1] + 4), profile.gamma(8)
    mean = x.value.mean(-1, keepdims=True)
    centred = x.value - mean
    variance = average(np.square(centred))
    d_mean = average(x.error + gamma * x.reach)
    d_variance = average(2 * abs(centred) * x.error + np.square(x.error))
    d_variance += 4 * gamma * average(np.square(x.reach)) + profile.accumulation.normal
    scale = 1 / np.sqrt(variance + eps)
    below = np.minimum(d_variance, variance)
    d_scale = np.maximum(
        root_gap(variance - below + eps, below), root_gap(variance + eps, d_variance)
    )
    d_scale = d_scale + few * (scale + d_scale)
    moved = x.error + d_mean + few * (x.reach + abs(mean) + d_mean)
    error = moved * (scale + d_scale) + abs(centred) * d_scale
    return Bounded(centred * scale, error, max(x.terms, x.shape[-1]))


def average(x: Array) -> Array:
    return x.mean(-1, keepdims=True)


def root_gap(a: Array, d: Array) -> Array:
    """1 / sqrt(a) - 1 / sqrt(a + d), without cancellation."""
    low, high = np.sqrt(a), np.sqrt(a + d)
    return d / (low * high * (low + high))


def affine(y: Bounded, gamma: Array, beta: Array) -> Bounded:
    """gamma y + beta, each step stored or none."""
    few = current_profile().gamma(8)
    return stored(y) * gamma + Bounded(beta, few * abs(beta))


def group_norm(x: Operand, gamma: Array, beta: Array, *, groups: int, eps: float) -> Bounded:
    """x [N,C,*], gamma [C], beta [C] -> [N,C,*]"""
    x = of(x)
    channel = (-1,) + (1,) * (x.ndim - 2)
    y = normalised(x.reshape(len(x), groups, -1), eps).reshape(x.shape)
    return affine(y, gamma.reshape(channel), beta.reshape(channel))


def layer_norm(x: Operand, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Bounded:
    """x [*,D], gamma [D], beta [D] -> [*,D]"""
    return affine(normalised(of(x), eps), gamma, beta)
