"""What products and norms are made of, on sizes around those of registers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff.kernels import channels
from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import jit
from refdiff.kernels.lanes import ABREAST, deviations
from refdiff.kernels.panels import VECTORS, WIDTH, lay
from refdiff.kernels.scratch import aligned
from refdiff.op import Array

SEEDS = st.integers(0, 2**32 - 1)
U = {np.dtype(d): np.finfo(d).eps / 2 for d in (np.float32, np.float64)}
either = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@jit
def product(a: Array, w: Array, panels: Array, start: Array, c: Array, onward: bool) -> None:
    """c <- start + a wᵀ, or c += a wᵀ. a [T,K], w [O,K], panels [P,K,W], start [O]"""
    width = panels.shape[2]
    for panel in range(len(panels)):
        lay(w[panel * width : (panel + 1) * width], panels[panel])
    if onward:
        accumulate(a, panels, c, None)
    else:
        accumulate(a, panels, c, start)


@given(
    rows=st.integers(1, 30),
    inner=st.integers(0, 40) | st.integers(380, 390),
    columns=st.integers(1, 5 * WIDTH),
    width=st.integers(1, VECTORS).map(lambda vectors: vectors * WIDTH // VECTORS),
    left=st.integers(0, 20),
    onward=st.booleans(),
    seed=SEEDS,
)
def test_products(
    rows: int, inner: int, columns: int, width: int, left: int, onward: bool, seed: int
) -> None:
    """Within γ(K + 1) of the true sums (Higham 2002, §3.1), and nothing beside them is touched."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    a, w, start = some(rows, inner), some(columns, inner), some(columns)
    wide = some(rows, left + columns + 5)
    before, c = wide.copy(), wide[:, left : left + columns]
    began = (c if onward else np.broadcast_to(start, c.shape)).astype(np.float64)
    panels = np.full((-(-columns // width), inner, width), np.nan, np.float32)
    product(a, w, panels, start, c, onward)
    truth = began + a.astype(np.float64) @ w.T
    reach = abs(began) + abs(a).astype(np.float64) @ abs(w).T
    n = (inner + 1) * U[np.dtype(np.float32)]
    assert (abs(c - truth) <= n / (1 - n) * reach).all()
    before[:, left : left + columns] = c
    assert (wide == before).all()


@jit
def rows(x: Array, middle: Array, total: Array, squares: Array, past: bool, results: Array) -> None:
    channels.add_moments(x, middle, total, squares)
    channels.normalise(x, middle, middle, middle, False, past, results[0])
    channels.normalise(x, middle, middle, middle, True, past, results[3])
    channels.copy_rows(x, past, results[1])
    channels.add_to_rows(x, middle, results[2])


@either
@given(
    pixels=st.integers(1, 40),
    width=st.integers(1, 3 * channels.PART),
    beside=st.integers(0, 5),
    past=st.booleans(),
    lines=st.booleans(),
    seed=SEEDS,
)
def test_channels(
    dtype: Any, pixels: int, width: int, beside: int, past: bool, lines: bool, seed: int
) -> None:
    """Past the caches and into them; rows of the results begin with a line of caches, or not."""
    rng = np.random.default_rng(seed)
    whole, middle = rng.standard_normal((pixels, beside + width)), rng.standard_normal(width)
    x, middle = whole.astype(dtype)[:, beside:], middle.astype(dtype)
    total, squares = np.zeros((2, width), dtype)
    wide = -(-(width + 1) // ABREAST) * ABREAST if lines else width + 1
    results = aligned((4, pixels, wide), dtype)
    results[...] = np.nan
    rows(x, middle, total, squares, past, results[:, :, :width])
    y, copied, shifted, active = results[:, :, :width]
    exact, m = x.astype(np.float64), middle.astype(np.float64)
    n = (pixels + 2) * U[x.dtype]
    apart = abs(exact) + abs(m)
    assert (abs(total - (exact - m).sum(0)) <= n * apart.sum(0)).all()
    assert (abs(squares - ((exact - m) ** 2).sum(0)) <= n * (apart**2).sum(0)).all()
    reach = apart * abs(m) + abs(m)
    assert (abs(y - ((exact - m) * m + m)) <= 4 * U[x.dtype] * reach).all()
    assert (copied == x).all() and (shifted == x + middle).all()
    truth = y / (1 + np.exp(-y.astype(np.float64))) if dtype == np.float32 else y
    assert (abs(active - truth) <= 16 * U[x.dtype] * abs(truth)).all()
    assert np.isnan(results[:, :, width:]).all()


@jit
def spread(x: Array, middle: Any) -> Any:
    return deviations(x, middle)


@either
@given(lanes=st.integers(0, 5), middle=st.integers(-3, 3), seed=SEEDS)
def test_deviations(dtype: Any, lanes: int, middle: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(lanes * ABREAST).astype(dtype)
    total, squares = spread(x, dtype(middle))
    exact = x.astype(np.float64) - middle
    n = (len(x) + 3) * U[x.dtype]
    reach = abs(x.astype(np.float64)) + abs(middle)
    assert abs(total - exact.sum()) <= n * reach.sum()
    assert abs(squares - (exact**2).sum()) <= n * (reach**2).sum()
