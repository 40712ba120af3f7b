"""Convolution by tiles: its polynomials exactly, its results against PyTorch's own error."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.kernels import points, transforms, winograd
from refdiff.kernels.jit import jit
from refdiff.kernels.panels import WIDTH
from refdiff.op import Array
from tests.ops.cases import normal, size

SEEDS = st.integers(0, 2**32 - 1)
EXACT = {  # the constants of float32 as the fractions that they stand for
    "A": Fraction(2, 3),
    "B": Fraction(3, 2),
    "A2": Fraction(4, 9),
    "B2": Fraction(9, 4),
    "SUM": Fraction(4, 9) + Fraction(9, 4),
    "A3": Fraction(8, 27),
    "B3": Fraction(27, 8),
    "OVER_A": 1 / (2 * Fraction(4, 9) * (Fraction(4, 9) - Fraction(9, 4))),
    "OVER_B": 1 / (2 * Fraction(9, 4) * (Fraction(9, 4) - Fraction(4, 9))),
}


def test_the_constants_are_float32s_nearest() -> None:
    for name, exact in EXACT.items():
        assert getattr(points, name) == np.float32(float(exact)), name


@given(st.lists(st.fractions(max_denominator=50), min_size=9, max_size=9))
def test_one_row_is_the_sum_of_three_products(numbers: list[Fraction]) -> None:
    """The algorithm of one dimension, over the rationals: no error at all."""
    d, g = numbers[:6], numbers[6:]
    with pytest.MonkeyPatch.context() as patch:
        for name, exact in EXACT.items():
            patch.setattr(points, name, exact)
        both = points.evaluated(*d), points.filtered(*g)
        y = points.interpolated(*(a * b for a, b in zip(*both, strict=True)))
    assert list(y) == [sum(d[i + k] * g[k] for k in range(3)) for i in range(4)]


def matrices(a: float, b: float) -> tuple[Array, Array, Array]:
    """Bᵀ, G and Aᵀ for the points 0, ±a, ±b and infinity."""
    c, s, points = a * a * b * b, a * a + b * b, np.array([0, a, -a, b, -b])
    bt = np.array(
        [
            [c, 0, -s, 0, 1, 0],
            *([0, -p * b * b, -b * b, p, 1, 0] for p in (a, -a)),
            *([0, -p * a * a, -a * a, p, 1, 0] for p in (b, -b)),
            [0, c, 0, -s, 0, 1],
        ]
    )
    over = [c, *[2 * a * a * (a * a - b * b)] * 2, *[2 * b * b * (b * b - a * a)] * 2]
    g = np.vstack([points[:, None] ** np.arange(3) / np.array(over)[:, None], [0, 0, 1]])
    at = np.hstack([points ** np.arange(4)[:, None], [[0], [0], [0], [1]]])
    return bt, g, at


def test_the_points_round_less_than_the_customary() -> None:
    """The same sums in float32 with either: the mean square error beside that of float64."""
    ours = matrices(2 / 3, 3 / 2)
    for known, made in zip(points.FACTORS, ours, strict=True):
        np.testing.assert_allclose(known, abs(made), rtol=1e-6)
    rng = np.random.default_rng(0)
    d, g = normal(rng, 400, 64, 6, 6), normal(rng, 30, 64, 3, 3)

    def tiles(factors: tuple[Array, Array, Array], dtype: Any) -> Array:
        bt, turn, at = (m.astype(dtype) for m in factors)
        u, v = turn @ g.astype(dtype) @ turn.T, bt @ d.astype(dtype) @ bt.T
        return at @ np.einsum("ochw,tchw->tohw", u, v) @ at.T

    right = tiles(ours, np.float64)
    np.testing.assert_allclose(tiles(matrices(1, 2), np.float64), right, rtol=1e-9, atol=1e-9)
    errors = [np.mean(np.square(tiles(f, np.float32) - right)) for f in (ours, matrices(1, 2))]
    assert errors[0] < 0.6**2 * errors[1], np.sqrt(errors)


def draw(rng: np.random.Generator, most: int) -> tuple[Array, Array, Array | None, Any]:
    N, C, O = size(rng, 1, 3), size(rng, 1, most), size(rng, 1, most)  # noqa: E741
    padding = tuple(map(int, rng.integers(0, 3, 4)))
    H, W = size(rng, 3, 30), size(rng, 3, 30)
    x, w = normal(rng, N, C, H, W), normal(rng, O, C, 3, 3)
    return x, w, normal(rng, O) if rng.random() < 0.7 else None, padding


def by_torch(x: Array, w: Array, b: Array | None, padding: Any, dtype: Any) -> Array:
    top, bottom, left, right = padding
    tensors = [None if a is None else torch.tensor(a.astype(dtype)) for a in (x, w, b)]
    padded = torch.nn.functional.pad(tensors[0], (left, right, top, bottom))
    return np.asarray(torch.nn.functional.conv2d(padded, *tensors[1:]))


def by_tiles(x: Array, w: Array, b: Array | None, padding: Any) -> Array:
    top, bottom, left, right = padding
    shape = x.shape[2] + top + bottom - 2, x.shape[3] + left + right - 2
    x, w, b = (None if a is None else a.astype(np.float32) for a in (x, w, b))
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    return np.moveaxis(winograd.convolve(pixels, w, b, shape, (top, left)), -1, 1)


@given(SEEDS)
@settings(max_examples=60)
def test_within_its_bound(seed: int) -> None:
    """However tiles, channels and filters are divided."""
    rng = np.random.default_rng(seed)
    x, w, b, padding = draw(rng, int(rng.choice([9, 3 * WIDTH])))
    with pytest.MonkeyPatch.context() as patch:
        if rng.random() < 0.7:
            divided = {"FEW": 1, "MANY": int(rng.choice([3, 99])), "INNER": 2, "SHARES": 1}
            for name, value in divided.items():
                patch.setattr(winograd, name, value)
        y = by_tiles(x, w, b, padding)
    right = by_torch(x, w, b, padding, np.float64)
    u = np.finfo(np.float32).eps / 2
    top, _, left, _ = padding
    reach = points.reach(x, w, y.shape[2:], (top, left))
    allowed = (w.shape[1] + 40) * u * (reach + abs(right))
    assert (abs(y - right) <= allowed).all()
    y[0, 0, 0, 0] += 3 * allowed[0, 0, 0, 0] + 1e-30  # a bound that could not say no is none
    assert not (abs(y - right) <= allowed).all()


def test_its_error_beside_that_of_torch() -> None:
    """Over many draws: the mean square error is at most 4 times (8 by contract) PyTorch's."""
    ours = theirs = 0.0
    for seed in range(40):
        x, w, b, padding = draw(np.random.default_rng(seed), 60)
        right = by_torch(x, w, b, padding, np.float64)
        ours += float(np.mean(np.square(by_tiles(x, w, b, padding) - right)) / right.var())
        gap = by_torch(x, w, b, padding, np.float32) - right
        theirs += float(np.mean(np.square(gap)) / right.var())
    assert ours <= 16 * theirs


@jit
def transformed(
    x: Array, place: Any, v: Array, w: Array, c: int, u: Array, m: Array, y: Any
) -> None:
    first, across, top, left = place
    transforms.tiles_in(x, 1, first, across, top, left, v)
    transforms.filters_in(w, c, np.empty((u.shape[2], 3, 3, u.shape[3]), np.float32), u)
    transforms.tiles_out(m, y[1], first, across, y[0], y[2])


def off(made: Array, f: Array, squares: Array, added: Any = 0.0) -> float:
    """How far from F x Fᵀ + b, in what it may be. squares [s,s,T,n]

    A row of F x rounds within γ(8) of |F| |x| (Higham 2002, §3.1), F's own numbers included.
    """
    truth, reach = (
        np.einsum("ia,abtn,jb->ijtn", F, x, F) for F, x in ((f, squares), (abs(f), abs(squares)))
    )
    gamma = 17 * np.finfo(np.float32).eps / 2
    allowed = gamma / (1 - gamma) * (reach + abs(added)) + 1e-30
    return float((abs(made - truth - added) / allowed).max())


@given(n=st.integers(1, 70), tiles=st.integers(1, 5), seed=SEEDS)
def test_transforms(n: int, tiles: int, seed: int) -> None:
    """Compiled and not, anywhere in a picture: what is around it is 0, what is beside the result
    is not touched."""
    rng = np.random.default_rng(seed)
    first, across, top, left = place = size(rng, 0, 3), size(rng, 1, 3), *rng.integers(0, 3, 2)
    filters, channels, c = size(rng, 1, WIDTH), size(rng, 1, 5), size(rng, 0, 3)
    bt, g, at = matrices(2 / 3, 3 / 2)
    corners = [(4 * (t // across), 4 * (t % across)) for t in range(first, first + tiles)]
    h, width = corners[-1][0] + size(rng, 1, 4), 4 * across - size(rng, 0, 3)

    x = normal(rng, size(rng, 1, 20), size(rng, 1, 12), 1, n + 3).astype(np.float32)[..., 3:]
    around = np.pad(x[:, :, 0], [(top, 40), (left, 40), (0, 0)])
    squares = np.stack([around[i : i + 6, j : j + 6] for i, j in corners], 2)
    w = normal(rng, filters, 9 * (c + channels)).astype(np.float32)
    taps = np.pad(
        w.reshape(filters, -1, 3, 3)[:, c:].transpose(2, 3, 1, 0),
        [(0, 0)] * 3 + [(0, WIDTH - filters)],
    )
    m, b = (
        normal(rng, 6, 6, tiles + 1, n).astype(np.float32)[:, :, 1:],
        normal(rng, n).astype(np.float32),
    )
    to = normal(rng, int(rng.choice([0, 1, h * width])), n).astype(np.float32)
    shifts = np.zeros((h, width, n))
    shifts += to.reshape(h, width, n) if len(to) > 1 else to.sum(0)

    for run in (transformed, transformed.py_func):  # type: ignore[attr-defined]
        v, u = (
            np.full((6, 6, tiles, n + 1), np.nan, np.float32),
            np.full((6, 6, channels + 1, WIDTH), np.nan, np.float32),
        )
        y = np.full((h, width, 1, n + 1), np.nan, np.float32)
        out = y[..., :n], b, to
        run(x, tuple(map(int, place)), v[..., :n], w, c, u[:, :, :channels], m, out)
        assert off(v[..., :n], bt, squares) <= 1 and np.isnan(v[..., n:]).all()
        assert off(u[:, :, :channels], g, taps) <= 1 and np.isnan(u[:, :, channels:]).all()
        for t, (i, j) in enumerate(corners):
            some = y[i : i + 4, j : j + 4, :, :n]
            rows, columns = some.shape[:2]
            at_edge = np.zeros((4, 4, 1, n))
            at_edge[:rows, :columns] = some
            more = np.zeros((4, 4, 1, n))
            more[:rows, :columns, 0] = shifts[i : i + 4, j : j + 4]
            truth = np.einsum("ia,abtn,jb->ijtn", at, m[:, :, t : t + 1], at) + b
            at_edge[rows:], at_edge[:, columns:] = truth[rows:], truth[:, columns:]
            assert off(at_edge, at, m[:, :, t : t + 1], b + more) <= 1
            some[...] = np.nan
        assert np.isnan(y).all()
