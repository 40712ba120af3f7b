"""The polynomials of Winograd's minimal filtering F(4x4, 3x3), and what it rounds relative to.

    y = Aᵀ [(G g Gᵀ) * (Bᵀ d B)] A     (Lavin & Gray 2016, arXiv 1509.09308, eq. 8)

d is a tile of 6x6 pixels, g a filter, y the 4x4 pixels that come of them. G and B evaluate the
polynomials behind them at 0, ±a, ±b and infinity (Toom 1963): B's rows are the coefficients of
x (x^2 - a^2) (x^2 - b^2) without one of its factors, G's the powers of a point over that product's
derivative there. a = 2/3 and b = 3/2 make a b = 1, and round about half as much in float32 as the
customary 1 and 2 (tests/ops/test_winograd.py).
"""

from typing import Any

import numpy as np

from refdiff.op import Array

A, B = np.float32(2 / 3), np.float32(3 / 2)
A2, B2, SUM = np.float32(4 / 9), np.float32(9 / 4), np.float32(4 / 9 + 9 / 4)
A3, B3 = np.float32(8 / 27), np.float32(27 / 8)
OVER_A, OVER_B = (np.float32(1 / (2 * p * (p - q))) for p, q in ((4 / 9, 9 / 4), (9 / 4, 4 / 9)))
TILE, TAPS, SIDE = 4, 3, 6  # pixels that come of a tile, of a filter, of a tile: along a side


def evaluated(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> tuple[Any, ...]:
    """Bᵀ d"""
    even_a, odd_a = d4 - B2 * d2, A * (d3 - B2 * d1)
    even_b, odd_b = d4 - A2 * d2, B * (d3 - A2 * d1)
    first, last = d4 - SUM * d2 + d0, d5 - SUM * d3 + d1
    return first, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, last


def filtered(g0: Any, g1: Any, g2: Any) -> tuple[Any, ...]:
    """G g"""
    even_a, odd_a = OVER_A * (g0 + A2 * g2), OVER_A * (A * g1)
    even_b, odd_b = OVER_B * (g0 + B2 * g2), OVER_B * (B * g1)
    return g0, even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g2


def interpolated(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> tuple[Any, ...]:
    """Aᵀ m"""
    even_a, odd_a, even_b, odd_b = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    y0, y1 = m0 + even_a + even_b, A * odd_a + B * odd_b
    return y0, y1, A2 * even_a + B2 * even_b, A3 * odd_a + B3 * odd_b + m5


def factor(f: Any, n: int) -> Array:
    """The matrix that a function of n numbers multiplies by, without signs."""
    return np.abs(f(*np.eye(n)))


FACTORS = factor(evaluated, 6), factor(filtered, 3), factor(interpolated, 6)  # |Bᵀ|, |G|, |Aᵀ|


def reach(x: Array, w: Array, size: tuple[int, int], corner: tuple[int, int]) -> Array:
    """|Aᵀ| [(|G| |g| |Gᵀ|) * (|Bᵀ| |d| |B|)] |A|: what rounding is relative to.

    x [N,C,H,W], w [O,C,3,3] -> [N,O,h,v]
    """
    sides = [TILE * -(-n // TILE) + 2 for n in size]
    d = np.zeros((*x.shape[:2], *sides))
    inside = d[..., corner[0] : corner[0] + x.shape[2], corner[1] : corner[1] + x.shape[3]]
    inside[...] = abs(x)[..., : inside.shape[2], : inside.shape[3]]
    tiles = np.lib.stride_tricks.sliding_window_view(d, (6, 6), (2, 3))[..., ::TILE, ::TILE, :, :]
    bt, g, at = FACTORS
    products = np.einsum("ochw,nctshw->notshw", g @ abs(w) @ g.T, bt @ tiles @ bt.T)
    y = at @ products @ at.T
    y = y.swapaxes(3, 4).reshape(len(x), len(w), sides[0] - 2, sides[1] - 2)
    return y[..., : size[0], : size[1]]
