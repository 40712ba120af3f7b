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

float16 and bfloat16 are float32 rounded at the end, with two differences: the words of an
incomplete block are not drawn at all, only the 16 that make the last block; and a uniform that
rounds to 1 is 0. Up to 2.11 PyTorch drew them differently: see torch_cpu_211.py.

Words, uniforms and float32 normals, and so their roundings, are equal in every bit to those of
PyTorch's x86 releases on a processor with AVX2; builds for others round log, sin and cos otherwise,
which moves a float32 by up to 4 ulp. In float64 the logarithm is the C library's, here and there.

Sources: PyTorch 2.13, aten/src/ATen: core/MT19937RNGEngine.h, core/TransformationHelper.h,
core/DistributionsHelper.h, CPUGeneratorImpl.cpp, native/cpu/DistributionTemplates.h.
"""

import math

import numpy as np
from numpy.typing import NDArray

from . import c_library, cephes
from .checks import checked_seed
from .source import HALVES, Floats, UniformSource, narrowed

BLOCK = 16


class TorchCpu(UniformSource):
    """The stream of a torch.Generator on the CPU.

    The state is the Mersenne twister's, and at most one normal value kept from a small draw.
    """

    def __init__(self, seed: int) -> None:
        # NumPy promises never to change what a seeded RandomState returns.
        self._twister = np.random.RandomState(checked_seed(seed) & 0xFFFFFFFF)
        self._kept: float | None = None

    def _uniforms(self, count: int, dtype: str) -> Floats:
        if dtype == "float64":
            return self._doubles(count)
        uniforms = narrowed(self._singles(count), dtype)
        return np.where(uniforms == 1, uniforms.dtype.type(0), uniforms)

    def _normals(self, count: int, dtype: str) -> Floats:
        if count < BLOCK:
            return narrowed(np.array([self._one_normal() for _ in range(count)]), dtype)
        draw = self._doubles if dtype == "float64" else self._singles
        whole = count - count % BLOCK
        uniforms = draw(whole if dtype in HALVES else count)
        normals = np.empty(count, uniforms.dtype)
        normals[:whole] = _box_muller(uniforms[:whole])
        if whole < count:
            normals[-BLOCK:] = _box_muller(draw(BLOCK))
        return narrowed(normals, dtype)

    def _singles(self, count: int) -> Floats:
        words = self._words(count) & np.uint32(2**24 - 1)
        return words.astype(np.float32) * np.float32(2**-24)

    def _doubles(self, count: int) -> Floats:
        high, low = self._words(2 * count).astype(np.uint64).reshape(-1, 2).T
        bits = (high << np.uint64(32) | low) & np.uint64(2**53 - 1)
        return bits.astype(np.float64) * 2.0**-53

    def _words(self, count: int) -> NDArray[np.uint32]:
        return self._twister.randint(0, 2**32, count, np.uint32)

    def _one_normal(self) -> float:
        if self._kept is not None:
            value, self._kept = self._kept, None
            return value
        u1, u2 = map(float, self._doubles(2))
        radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self._kept = radius * math.sin(angle)
        return radius * math.cos(angle)


def torch_cpu(seed: int) -> TorchCpu:
    """The stream of torch.Generator().manual_seed(seed), PyTorch 2.12 and later.

    `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError. Only its low 32 bits matter, of
    a negative one those of 2^64 + seed.
    """
    return TorchCpu(seed)


def _box_muller(uniforms: Floats) -> Floats:
    """Blocks of 16 uniforms to blocks of 16 normals, in the uniforms' dtype: [16 M] -> [16 M]."""
    u1, u2 = uniforms.reshape(-1, 2, BLOCK // 2).swapaxes(0, 1)
    log, (sin, cos) = _functions(1 - u1, uniforms.dtype.type(2 * math.pi) * u2)
    radius = np.sqrt(-2 * log)
    # Like the multiplication by a spread and addition of a mean there, + 0 makes -0 a 0.
    return np.stack([radius * cos, radius * sin], axis=1).ravel() + uniforms.dtype.type(0)


def _functions(x: Floats, angle: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    """log x, (sin angle, cos angle)."""
    if x.dtype == np.float32:
        return cephes.log(x), cephes.sincos(angle)
    return c_library.log(x), (np.sin(angle), np.cos(angle))
