"""Random numbers as PyTorch draws them on a CPU.

    word        w_0, w_1, ...: 32-bit words of MT19937 (Matsumoto and Nishimura 1998), whose state
                begins with the low 32 bits of the seed. A float32 takes one word; a float64 takes
                two, w = 2^32 w_i + w_{i+1}.
    uniform     u = (w mod 2^d) / 2^d in [0, 1), with d = 24 in float32 and d = 53 in float64.
    normal      Box and Muller 1958: two uniforms give two independent normals
                z = r cos θ and z' = r sin θ.

Sixteen or more normals are drawn in blocks of 16 uniforms, the first eight for the radius and the
last eight for the angle, in the dtype asked for:

    r_j = sqrt(-2 log(1 - u_j)),  θ_j = 2π u_{j+8},  z_j = r_j cos θ_j,  z_{j+8} = r_j sin θ_j.

All n uniforms come first. If 16 does not divide n, then 16 more are drawn after them, and the block
they make replaces the last 16 values, some of which belonged to the block before.

Fewer than 16 normals are drawn one by one, in float64 and rounded at the end:

    r = sqrt(-2 log(1 - u_2)),  θ = 2π u_1,

gives r cos θ, and the generator keeps r sin θ for the next such value, even if that is asked for in
a later call; blocks neither use nor drop it.

Words and uniforms are equal in every bit; normals depend on who rounds log, sin and cos, and how.
PyTorch's float32 blocks, built for AVX2, take them from the Cephes polynomials: over all 2^24
uniforms r is within 1.65 and sin θ or cos θ within 1.99 units of 2^-24, relative. (One angle stands
out: at u = 3/4, where cos θ is only 1e-8, the error is 17 units of that.) Here they are exact for
the same float32 1 - u and θ. With half a unit in the last place for each of the final roundings,
two values differ by at most 1.65 + 1.99 + 0.5 + 0.5, which makes 4 ulp. Builds that round θ
differently move z by up to 2^-21 r. In float64 each function is within 1 ulp, on both sides.

Sources: PyTorch 2.13, aten/src/ATen: core/MT19937RNGEngine.h, core/TransformationHelper.h,
core/DistributionsHelper.h, CPUGeneratorImpl.cpp, native/cpu/DistributionTemplates.h.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ConfigError, ShapeError

Floats = NDArray[np.floating[Any]]

BLOCK = 16
MOST_VALUES = 2**31
MOST_AXES = 64  # NumPy's own limit


class TorchCpu:
    """A stream of random numbers. Every draw continues where the one before stopped.

    The state is the Mersenne twister's, and at most one normal value kept from a small draw.
    """

    def __init__(self, seed: int) -> None:
        # NumPy promises never to change what a seeded RandomState returns.
        self._twister = np.random.RandomState(_checked_seed(seed) & 0xFFFFFFFF)
        self._kept: float | None = None

    def uniform(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Floats:
        """Draw like torch.rand: uniform in [0, 1), equal in every bit.

        `dtype` is float32 or float64, else ConfigError; a negative or absurd shape is a ShapeError.
        """
        shape, kind = _checked_shape(shape), _checked_dtype(dtype)
        return self._uniforms(math.prod(shape), kind).reshape(shape)

    def normal(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Floats:
        """Draw like torch.randn: normal with mean 0 and variance 1, equal to 4 ulp in float32.

        `dtype` is float32 or float64, else ConfigError; a negative or absurd shape is a ShapeError.
        """
        shape, kind = _checked_shape(shape), _checked_dtype(dtype)
        count = math.prod(shape)
        if count < BLOCK:
            return np.array([self._one_normal() for _ in range(count)], kind).reshape(shape)
        uniforms = self._uniforms(count, kind)
        whole = count - count % BLOCK
        normals = np.empty(count, kind)
        normals[:whole] = _box_muller(uniforms[:whole])
        if whole < count:
            normals[-BLOCK:] = _box_muller(self._uniforms(BLOCK, kind))
        return normals.reshape(shape)

    def _uniforms(self, count: int, kind: np.dtype[Any]) -> Floats:
        if kind == np.float32:
            words = self._words(count)
            return (words & np.uint32(2**24 - 1)).astype(kind) * np.float32(2**-24)
        high, low = self._words(2 * count).astype(np.uint64).reshape(-1, 2).T
        bits = (high << np.uint64(32) | low) & np.uint64(2**53 - 1)
        return bits.astype(kind) * 2.0**-53

    def _words(self, count: int) -> NDArray[np.uint32]:
        return self._twister.randint(0, 2**32, count, np.uint32)

    def _one_normal(self) -> float:
        if self._kept is not None:
            value, self._kept = self._kept, None
            return value
        u1, u2 = map(float, self._uniforms(2, np.dtype(np.float64)))
        radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self._kept = radius * math.sin(angle)
        return radius * math.cos(angle)


def torch_cpu(seed: int) -> TorchCpu:
    """The stream of torch.Generator().manual_seed(seed).

    `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError. Only its low 32 bits matter, of
    a negative one those of 2^64 + seed.
    """
    return TorchCpu(seed)


def _box_muller(uniforms: Floats) -> Floats:
    """Blocks of 16 uniforms to blocks of 16 normals, in float64: [16 M] -> [16 M]."""
    u1, u2 = uniforms.reshape(-1, 2, BLOCK // 2).swapaxes(0, 1)
    angle = (uniforms.dtype.type(2 * math.pi) * u2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((1 - u1).astype(np.float64)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise ConfigError(f"a seed must be an integer, but got {seed!r:.80}")
    seed = operator.index(seed)
    if not -(2**63) <= seed < 2**64:
        raise ConfigError(
            f"a seed of {seed.bit_length()} bits is out of range; choose one from -2^63 to 2^64 - 1"
        )
    return seed


def _checked_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(map(operator.index, [shape] if hasattr(shape, "__index__") else shape))
    except TypeError:
        raise ShapeError(f"a shape must be a row of integers, but got {shape!r:.80}") from None
    if len(sizes) > MOST_AXES:
        raise ShapeError(f"a shape of {len(sizes)} axes is too long; {MOST_AXES} is the most")
    for axis, size in enumerate(sizes):
        if not 0 <= size <= MOST_VALUES:
            raise ShapeError(
                f"axis {axis} of the shape is {'negative' if size < 0 else 'above 2^31'}; "
                "sizes are from 0 to 2^31"
            )
    if math.prod(sizes) > MOST_VALUES:
        raise ShapeError(f"the shape {sizes!r:.80} has more than 2^31 values; draw less at a time")
    return sizes


def _checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind not in (np.float32, np.float64):
        raise ConfigError(f"noise is drawn in float32 or float64, but got the dtype {dtype!r:.80}")
    return kind
