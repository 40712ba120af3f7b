"""Half precision as PyTorch up to 2.11 drew it on a CPU: coarser uniforms, and shorter tails.

As in torch_cpu.py, but float16 and bfloat16 have uniforms of their own 11 or 8 bits,

    u = (w mod 2^d) / 2^d,  d = 11 in float16 and d = 8 in bfloat16,

and every function and product of the Box-Muller transform is rounded to the format. So there is no
|z| above sqrt(2 d log 2), which is 3.91 in float16 and 3.33 in bfloat16, and the words of an
incomplete block are drawn as for float32. Draws of fewer than 16 numbers, and the other dtypes, are
those of later releases (PyTorch issue #166853).

Source: PyTorch 2.11, aten/src/ATen/native/cpu/DistributionTemplates.h.
"""

import math

import numpy as np

from .source import HALVES, Floats, narrowed
from .torch_cpu import BLOCK, TorchCpu

DIGITS = {"float16": 11, "bfloat16": 8}


class TorchCpu211(TorchCpu):
    """The stream of a torch.Generator on the CPU, up to release 2.11."""

    def _uniforms(self, count: int, dtype: str) -> Floats:
        if dtype not in HALVES:
            return super()._uniforms(count, dtype)
        words = self._words(count) & np.uint32(2 ** DIGITS[dtype] - 1)
        return narrowed(words * 2.0 ** -DIGITS[dtype], dtype)

    def _normals(self, count: int, dtype: str) -> Floats:
        if count < BLOCK or dtype not in HALVES:
            return super()._normals(count, dtype)
        whole = count - count % BLOCK
        normals = _box_muller(self._uniforms(count, dtype)[:whole], dtype)
        if whole == count:
            return normals
        kept = normals[: count - BLOCK]
        return np.concatenate([kept, _box_muller(self._uniforms(BLOCK, dtype), dtype)])


def torch_cpu_211(seed: int) -> TorchCpu211:
    """The stream of torch.Generator().manual_seed(seed) in PyTorch up to 2.11.

    `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError.
    """
    return TorchCpu211(seed)


def _box_muller(uniforms: Floats, dtype: str) -> Floats:
    """Blocks of 16 uniforms to blocks of 16 normals, each step rounded: [16 M] -> [16 M]."""
    u1, u2 = uniforms.astype(np.float64).reshape(-1, 2, BLOCK // 2).swapaxes(0, 1)
    angle = _half(2 * math.pi * u2, dtype)
    radius = _half(np.sqrt(-2 * _half(np.log(1 - u1), dtype)), dtype)
    normals = np.stack([radius * _half(np.cos(angle), dtype), radius * _half(np.sin(angle), dtype)])
    return narrowed(normals.swapaxes(0, 1).ravel() + 0.0, dtype)


def _half(x: Floats, dtype: str) -> Floats:
    """x rounded to the format, in float64."""
    return narrowed(x, dtype).astype(np.float64)
