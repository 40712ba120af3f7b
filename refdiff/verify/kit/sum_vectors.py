"""Vectors of the ops that sum: attention, matrix products, convolution, norms.

N, C, H, W all differ, samples of a batch do too, gamma is not 1 and beta not 0.
"""

import numpy as np

from refdiff.op import Array
from refdiff.verify.kit.op_vector import at
from refdiff.verify.kit.vector import Draw, Vector, Vectors


def softmax(op: str) -> Vectors:
    draw = Draw(op)
    masked = draw.normal(7, 7, scale=2) + np.triu(np.full((7, 7), -np.inf, np.float32), 1)
    yield at(op, "attention", {"x": draw.normal(2, 3, 5, 7, scale=2)}, "which-axis", "batch")
    yield at(op, "large", {"x": draw.normal(3, 11, scale=30)}, "large-logits")
    yield at(op, "offset", {"x": draw.normal(3, 11, mean=100)}, "maximum-first")
    yield at(op, "masked", {"x": masked}, "minus-infinity")
    yield at(op, "one", {"x": draw.normal(4, 1)}, "one-column")
    yield at(op, "long", {"x": draw.normal(2, 77)}, "long")


def attention(op: str) -> Vectors:
    draw = Draw(op)

    def qkv(
        N: int, h: int, L: int, S: int, d: int, e: int | None = None, q: float = 2.0
    ) -> dict[str, Array]:
        sizes = {"q": (L, d), "k": (S, d), "v": (S, e or d)}
        scales = {"q": q, "k": 1.0, "v": 1.0}
        return {n: draw.normal(N, h, *sizes[n], scale=scales[n]) for n in sizes}

    causal = np.triu(np.full((9, 9), -np.inf, np.float32), 1)
    yield at(op, "self", qkv(2, 3, 7, 7, 5), "scale", "batch", "heads!=width")
    yield at(op, "cross", qkv(2, 3, 5, 9, 4), "L!=S", "batch")
    yield at(op, "large-logits", qkv(2, 3, 7, 7, 5, q=8.0), "large-logits", "scale")
    yield at(op, "causal", {**qkv(2, 3, 9, 9, 5), "mask": causal}, "mask")
    yield at(op, "even", qkv(2, 4, 7, 7, 6), "heads!=width", "head-split")
    yield at(op, "other-width", qkv(2, 3, 5, 9, 4, 7), "v-width")
    yield at(op, "one-key", qkv(2, 3, 5, 1, 4), "one-key")
    yield at(op, "text", qkv(1, 2, 12, 77, 8), "long")


def conv2d(op: str) -> Vectors:
    draw = Draw(op)

    def xwb(C: int, O: int, *kernel: int, bias: bool = True, groups: int = 1) -> dict[str, Array]:  # noqa: E741
        fan_in = C // groups * kernel[0] * kernel[-1]
        w = draw.normal(O, C // groups, kernel[0], kernel[-1], scale=fan_in**-0.5)
        given = {"x": draw.normal(2, C, 7, 5), "w": w}
        return {**given, "b": draw.normal(O, scale=0.3)} if bias else given

    yield at(op, "3x3", xwb(4, 6, 3), "H!=W", "batch", padding=1)
    yield at(op, "square", xwb(6, 6, 3), "transposed-weight", "flipped-kernel", padding=1)
    yield at(op, "1x1", xwb(6, 4, 1), "pixelwise")
    yield at(op, "1x1-square", xwb(6, 6, 1), "pixelwise", "transposed-weight")
    yield at(op, "no-bias", xwb(4, 6, 3, bias=False), "no-bias", padding=1)
    yield at(op, "down", xwb(4, 6, 3), "stride", "odd-size", stride=2, padding=1)
    yield at(op, "down-below", xwb(4, 6, 3), "one-sided-padding", stride=2, padding=(0, 1, 0, 1))
    yield at(op, "unpadded", xwb(4, 6, 3), "no-padding")
    yield at(op, "oblong", xwb(4, 6, 3, 2), "kernel-height!=width", padding=(1, 1, 0, 1))
    yield at(op, "dilated", xwb(4, 6, 3), "dilation", padding=2, dilation=2)
    yield at(op, "grouped", xwb(6, 4, 3, groups=2), "groups", padding=1, groups=2)


def linear(op: str) -> Vectors:
    draw = Draw(op)

    def xwb(O: int, *x: int, bias: bool = True) -> dict[str, Array]:  # noqa: E741
        given = {"x": draw.normal(*x), "w": draw.normal(O, x[-1], scale=x[-1] ** -0.5)}
        return {**given, "b": draw.normal(O, scale=0.3)} if bias else given

    yield at(op, "tokens", xwb(8, 2, 7, 12), "batch")
    yield at(op, "square", xwb(12, 2, 7, 12), "transposed-weight")
    yield at(op, "no-bias", xwb(8, 2, 7, 12, bias=False), "no-bias")
    yield at(op, "row", xwb(9, 5), "one-axis")
    yield at(op, "one-output", xwb(1, 3, 12), "width-1")
    yield at(op, "long-sum", xwb(5, 2, 640), "long-sum")


def group_norm(op: str) -> Vectors:
    draw = Draw(op)

    def g(*shape: int, groups: int = 4, eps: float = 1e-5, flags: str, **how: float) -> Vector:
        C = shape[1]
        x = draw.normal(*shape, **how)
        gamma, beta = draw.normal(C, scale=0.3, mean=1.0), draw.normal(C, scale=0.3)
        given = {"x": x, "gamma": gamma, "beta": beta}
        return at(op, flags.split()[0], given, *flags.split(), groups=groups, eps=eps)

    yield g(2, 8, 5, 7, flags="picture batch H!=W", mean=0.5)
    yield g(2, 8, 5, 7, flags="small-variance eps", scale=2.0**-8, mean=2.0**-6)
    yield g(2, 8, 5, 7, flags="small-variance-1e-6 eps", scale=2.0**-9, eps=1e-6)
    yield g(2, 8, 5, 7, flags="offset cancellation", mean=16.0)
    yield g(2, 12, 3, 2, groups=2, flags="few-groups groups!=size", mean=0.5)
    yield g(2, 6, 15, groups=3, flags="tokens three-axes", mean=0.5)
    yield g(2, 8, 1, 1, flags="one-pixel few-elements")
    yield g(2, 6, 5, 7, groups=1, flags="one-group", mean=0.5)
    yield g(2, 6, 5, 7, groups=6, flags="a-group-each", mean=0.5)


def layer_norm(op: str) -> Vectors:
    draw = Draw(op)

    def n(*shape: int, eps: float = 1e-5, flags: str, **how: float) -> Vector:
        D = shape[-1]
        x = draw.normal(*shape, **how)
        gamma, beta = draw.normal(D, scale=0.3, mean=1.0), draw.normal(D, scale=0.3)
        given = {"x": x, "gamma": gamma, "beta": beta}
        return at(op, flags.split()[0], given, *flags.split(), eps=eps)

    yield n(2, 7, 12, flags="tokens batch", mean=0.5)
    yield n(2, 7, 12, flags="small-variance eps", scale=2.0**-8)
    yield n(2, 7, 12, flags="small-variance-1e-6 eps", scale=2.0**-9, eps=1e-6)
    yield n(2, 7, 12, flags="offset cancellation", mean=16.0)
    yield n(3, 2, flags="narrow few-elements", scale=2)
    yield n(2, 3, 96, flags="wide", mean=0.5)
