"""Mistakes of normalisation: eps, variance, groups, scale and shift."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refdiff.op import Array
from refdiff.verify.mistakes.entry import family, mistake

Norm = Callable[..., Array]


def moments(x: Array, groups: int | None) -> tuple[Array, Array, int]:
    """x less its mean, its variance, and over how many numbers: of rows, or of groups [N,G,*]."""
    rows = x if groups is None else x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(-1, keepdims=True)
    return centred, np.square(centred).mean(-1, keepdims=True), rows.shape[-1]


def affine(y: Array, like: Array, gamma: Array, beta: Array, channels_first: bool) -> Array:
    """gamma y + beta, along the axis of the channels."""
    axes = (-1,) + (1,) * (like.ndim - 2) if channels_first else (-1,)
    return y.reshape(like.shape) * gamma.reshape(axes) + beta.reshape(axes)


for op in ("group_norm", "layer_norm"):

    @family(op, "eps", "eps is {value:.3g}", 1e-13, 1e-1)
    def _(norm: Norm, x: Array, g: Array, b: Array, *, value: float, **options: Any) -> Array:
        return norm(x, g, b, **{**options, "eps": value})

    for eps in (1e-3, 1e-5, 1e-6, 1e-12):

        @mistake(op, f"eps-{eps:g}", f"eps is {eps:g}")
        def _(
            norm: Norm,
            x: Array,
            g: Array,
            b: Array,
            *,
            eps: float = eps,
            _eps: float = eps,
            **o: Any,
        ) -> Array:
            return norm(x, g, b, eps=_eps, **o)

    @mistake(op, "unbiased", "the variance is divided by n - 1")
    def _(
        norm: Norm, x: Array, g: Array, b: Array, *, groups: int | None = None, eps: float = 1e-5
    ) -> Array:
        centred, variance, n = moments(x, groups)
        y = centred / np.sqrt(variance * n / (n - 1) + eps)
        return affine(y, x, g, b, groups is not None)

    @mistake(op, "eps-outside", "eps is added to the root, not below it")
    def _(
        norm: Norm, x: Array, g: Array, b: Array, *, groups: int | None = None, eps: float = 1e-5
    ) -> Array:
        centred, variance, _ = moments(x, groups)
        return affine(centred / (np.sqrt(variance) + eps), x, g, b, groups is not None)

    @mistake(op, "no-mean", "the mean is not taken off (RMS norm)")
    def _(
        norm: Norm, x: Array, g: Array, b: Array, *, groups: int | None = None, eps: float = 1e-5
    ) -> Array:
        rows = x if groups is None else x.reshape(len(x), groups, -1)
        y = rows / np.sqrt(np.square(rows).mean(-1, keepdims=True) + eps)
        return affine(y, x, g, b, groups is not None)

    @mistake(op, "no-root", "divides by the variance, not by its root")
    def _(
        norm: Norm, x: Array, g: Array, b: Array, *, groups: int | None = None, eps: float = 1e-5
    ) -> Array:
        centred, variance, _ = moments(x, groups)
        return affine(centred / (variance + eps), x, g, b, groups is not None)

    @mistake(op, "no-affine", "no scale and no shift")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return norm(x, np.ones_like(g), np.zeros_like(b), **options)

    @mistake(op, "no-shift", "the shift (bias) is left out")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return norm(x, g, np.zeros_like(b), **options)

    @mistake(op, "no-scale", "the scale (weight) is left out")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return norm(x, np.ones_like(g), b, **options)

    @mistake(op, "swapped", "scale and shift are swapped")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return norm(x, b, g, **options)

    @mistake(op, "one-plus", "scales by 1 + weight")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return norm(x, 1 + g, b, **options)

    @mistake(op, "skipped", "the norm is left out")
    def _(norm: Norm, x: Array, g: Array, b: Array, **options: Any) -> Array:
        return x


@mistake("group_norm", "one-group", "one group of all channels")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    return norm(x, g, b, groups=1, eps=eps)


@mistake("group_norm", "a-group-each", "a group for each channel (instance norm)")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    return norm(x, g, b, groups=x.shape[1], eps=eps)


@mistake("group_norm", "twice-the-groups", "twice as many groups")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    return norm(x, g, b, groups=2 * groups, eps=eps)


@mistake("group_norm", "half-the-groups", "half as many groups")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    return norm(x, g, b, groups=groups // 2, eps=eps)


@mistake("group_norm", "group-size", "the number of groups is taken for the channels in one")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    return norm(x, g, b, groups=x.shape[1] // groups, eps=eps)


@mistake("group_norm", "strided", "a group takes every G-th channel, not neighbours")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    order = np.arange(x.shape[1]).reshape(-1, groups).T.ravel()
    return norm(x[:, order], g[order], b[order], groups=groups, eps=eps)[:, np.argsort(order)]


@mistake("group_norm", "by-pixel", "normalises the channels of each pixel (layer norm)")
def _(norm: Norm, x: Array, g: Array, b: Array, *, groups: int, eps: float) -> Array:
    centred = x - x.mean(1, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + eps)
    return affine(y, x, g, b, channels_first=True)
