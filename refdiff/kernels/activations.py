"""Nonlinearities in one pass over memory; in float32 without a call, so that vector units do it.

    Phi(-|x|) = exp(-x^2 / 2) t P(t),   t = 1 / (1 + 0.39 |x|)

P is of degree 9, by least squares of the relative error at Chebyshev's points: in float32 it is
off by at most 4.5 units of roundoff, and exp by another x^2 / 2 of them.
"""

from collections.abc import Callable
from math import erfc, sqrt
from typing import Any

import numpy as np

from refdiff.kernels.crew import crew
from refdiff.kernels.exponential import exp32, sigma32
from refdiff.kernels.fma import fma
from refdiff.kernels.jit import inlined, jit
from refdiff.kernels.laid import in_order, in_pixels, like, numbers
from refdiff.kernels.scratch import result
from refdiff.kernels.tiles import Tiled, count, within
from refdiff.op import Array

TILE = 1 << 14  # numbers at a time
ONE, HALF = np.float32(1), np.float32(0.5)
SLOPE = np.float32(0.39)
P = tuple(
    np.float32(c)
    for c in (
        *(0.15558127, 0.155768367, 0.129650879, 0.1007764, -0.0476784168),
        *(0.180511653, -0.42781079, 0.39478898, -0.171322901, 0.0297345628),
    )
)
_ROOT_HALF = sqrt(0.5)


@inlined
def phi32(x: np.float32) -> np.float32:
    """The normal distribution function."""
    t = ONE / fma(SLOPE, abs(x), ONE)
    p = fma(fma(fma(fma(P[9], t, P[8]), t, P[7]), t, P[6]), t, P[5])
    p = fma(fma(fma(fma(fma(p, t, P[4]), t, P[3]), t, P[2]), t, P[1]), t, P[0])
    tail = p * t * exp32(-HALF * x * x)
    return ONE - tail if x > 0 else tail


def each(f: Callable[[Any], Any]) -> Any:
    """f(x) number by number; None where x has gaps. crew, x [*], size -> [*]"""
    name = f.__name__

    def by(f: Callable[[Any], Any]) -> Callable[..., None]:
        def some(x: Array, y: Array, size: int, who: int, tile: int) -> None:
            part, to = x[tile * size : (tile + 1) * size], y[tile * size : (tile + 1) * size]
            for i in range(len(to)):
                to[i] = f(part[i])

        some.__name__ = name
        return some

    all_of_them = within(Tiled(by(inlined(f)), by(f)))

    def every(crew: Array, x: Array, size: int) -> Array | None:
        if not (in_order(x) or in_pixels(x)):
            return None
        y = like(x)
        all_of_them(-(-x.size // size), crew, numbers(x), numbers(y), size)
        return y

    every.__qualname__ = f"activations.every{name}"
    return jit(every)


def gated(f: Callable[[Any], Any]) -> Tiled:
    """y <- value f(gate) for rows of values and their gates. x [R,2D], y [R,D]"""

    def by(f: Callable[[Any], Any], name: str = f"{f.__name__}_gated") -> Callable[..., None]:
        def every(x: Array, y: Array, rows: int, who: int, tile: int) -> None:
            D = y.shape[1]
            for r in range(tile * rows, min((tile + 1) * rows, len(x))):
                values, gates, to = x[r, :D], x[r, D:], y[r]
                for i in range(D):
                    to[i] = values[i] * f(gates[i])

        every.__name__ = name
        return every

    return Tiled(by(inlined(f)), by(f))


def _silu32(x: Any) -> Any:
    return x * sigma32(x)


def _silu64(x: Any) -> Any:
    return x / (1.0 + np.exp(-x))


def _quick_gelu32(x: Any) -> Any:
    return x * sigma32(np.float32(1.702) * x)


def _quick_gelu64(x: Any) -> Any:
    return x / (1.0 + np.exp(-1.702 * x))


def _gelu32(x: Any) -> Any:
    return x * phi32(x)


def _gelu64(x: Any) -> Any:
    return 0.5 * x * erfc(-_ROOT_HALF * x)


silu32, silu64 = each(_silu32), each(_silu64)
quick_gelu32, quick_gelu64 = each(_quick_gelu32), each(_quick_gelu64)
gelu32, gelu64 = each(_gelu32), each(_gelu64)
geglu32, geglu64 = gated(_gelu32), gated(_gelu64)
gelu_number = inlined(_gelu32)


def silu(x: Array) -> Array:
    """x sigma(x). x [*] -> [*]"""
    return _each_number(x, silu32, silu64)


def quick_gelu(x: Array) -> Array:
    """x sigma(1.702 x). x [*] -> [*]"""
    return _each_number(x, quick_gelu32, quick_gelu64)


def gelu(x: Array) -> Array:
    """x Phi(x). x [*] -> [*]"""
    return _each_number(x, gelu32, gelu64)


def geglu(x: Array) -> Array:
    """a gelu(g) for rows (a, g). x [*,2D] -> [*,D]"""
    D = x.shape[-1] // 2
    rows = np.ascontiguousarray(x).reshape(-1, 2 * D)
    y = result((len(rows), D), x.dtype)
    size = max(TILE // D, 1)
    kernel = geglu32 if x.dtype == np.float32 else geglu64
    kernel(count(len(rows), size), rows, y, size)
    return y.reshape(*x.shape[:-1], D)


def _each_number(x: Array, in32: Any, in64: Any) -> Array:
    kernel = in32 if x.dtype == np.float32 else in64
    y: Array | None = kernel(crew(count(x.size, TILE)), x, TILE)
    return y if y is not None else _each_number(np.ascontiguousarray(x), in32, in64)
