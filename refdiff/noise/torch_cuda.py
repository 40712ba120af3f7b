"""Random numbers as PyTorch draws them on an NVIDIA GPU: cuRAND's Philox, a thread at a time.

A draw of n numbers runs on T threads, as many as fit on the GPU at once and no more than needed:

    T = 256 min(ceil(n / 256), SMs * floor(threads per SM / 256)).

Thread t asks cuRAND for k numbers at a time, k = 4 or in float64 2, made of the four words of

    w = philox(counter = (c, t), key = seed),  c = c_0, c_0 + 1, ...,

and writes them T apart: number j of its step c is element t + T (k (c - c_0) + j). The next draw
begins where the last step of this one ended, c_0 += ceil(n / (k T)).

Up to n = T the element i is the first number of thread i, on any GPU ("one wave"). Above it
depends on SMs and threads per SM which number is whose: other GPU, other noise.

    uniform     u = w 2^-32 + 2^-33 in float32, and where that is 1, 0;
                in float64 z 2^-53 + 2^-54, with z = w_a ^ 2^21 w_b of 53 bits.
    normal      of two uniforms u in (0, 1] and v, the second times 2π (Box and Muller 1958):
                z = sqrt(-2 log u) sin v and z' = sqrt(-2 log u) cos v, in this order.

float16 and bfloat16 are the float32 numbers rounded; a uniform that rounds to 1 is 0.

Words and uniforms are exact. Normals are exact for the GPU's float32 u and v. The GPU takes sin and
cos from a fast instruction with an absolute error of about 2^-21 (CUDA C++ Programming Guide,
Intrinsic Functions), so that its z is within 2^-20 sqrt(-2 log u) or so of this one.

Sources: PyTorch 2.13, aten/src/ATen/native/cuda/DistributionTemplates.h; cuRAND, curand_normal.h,
curand_uniform.h, curand_kernel.h, curand_globals.h.
"""

import math
from collections.abc import Callable

import numpy as np

from ..errors import ConfigError
from .checks import checked_seed
from .fused import fma
from .philox import Words, counters, philox
from .source import Floats, UniformSource, narrowed

BLOCK = 256
TWO_PI_32 = np.float32(np.float32(2**-32) * np.float32(2 * math.pi))
# name -> (SMs, threads per SM); docs/noise.md says by what each was confirmed
GPUS = {
    "a100": (108, 2048),
    "a10g": (80, 1536),
    "h100-pcie": (114, 2048),
    "h100-sxm": (132, 2048),
    "h20": (78, 2048),
    "l4": (58, 1536),
    "l40": (142, 1536),
    "l40s": (142, 1536),
    "rtx-4090d": (114, 1536),
    "rtx-a4000": (48, 1536),
    "t4": (40, 1024),
}

Make = Callable[[list[Words]], list[Floats]]


class TorchCuda(UniformSource):
    """The stream of a torch.Generator on a GPU of so many multiprocessors."""

    def __init__(self, seed: int, blocks: int) -> None:
        self._seed = checked_seed(seed) % 2**64
        self._blocks = blocks
        self._step = 0

    def _uniforms(self, count: int, dtype: str) -> Floats:
        single, double = (_single_uniforms, 4), (_double_uniforms, 2)
        drawn = self._drawn(count, *(double if dtype == "float64" else single))
        uniforms = narrowed(drawn, dtype)
        return np.where(uniforms == 1, uniforms.dtype.type(0), uniforms)

    def _normals(self, count: int, dtype: str) -> Floats:
        single, double = (_single_normals, 4), (_double_normals, 2)
        return narrowed(self._drawn(count, *(double if dtype == "float64" else single)), dtype)

    def _drawn(self, count: int, make: Make, each: int) -> Floats:
        """What the threads make of their words, `each` a step, in the order of the elements."""
        threads = BLOCK * min(max(1, -(-count // BLOCK)), self._blocks)
        steps = range(self._step, self._step - (-count // (each * threads)))
        self._step = steps.stop
        numbers = [x for c in steps for x in make(philox(counters(c, threads), self._seed))]
        return np.concatenate([np.empty(0, np.float32), *numbers])[:count]


def torch_cuda(seed: int, *, sms: int, threads_per_sm: int = 1536) -> TorchCuda:
    """The stream of torch.Generator("cuda").manual_seed(seed).

    `sms` and `threads_per_sm` are what torch.cuda.get_device_properties calls
    multi_processor_count and max_threads_per_multi_processor; they matter for draws of more than
    sms * threads_per_sm numbers. Both are from 1 to 2^16, of which `threads_per_sm` is at least
    256, and `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError.
    """
    for name, value, least in [("sms", sms, 1), ("threads_per_sm", threads_per_sm, BLOCK)]:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 2**16:
            raise ConfigError(
                f"{name} of a GPU is an integer from {least} to 65536, but got {value!r:.80}"
            )
    return TorchCuda(seed, sms * (threads_per_sm // BLOCK))


def _single_uniforms(words: list[Words]) -> list[Floats]:
    return [fma(w.astype(np.float32), np.float32(2**-32), np.float32(2**-33)) for w in words]


def _single_normals(words: list[Words]) -> list[Floats]:
    first, second = _single_uniforms(words[::2]), [w.astype(np.float32) for w in words[1::2]]
    return [
        z.astype(np.float32)
        for u, v in zip(first, second, strict=True)
        for z in box_muller(u, fma(v, TWO_PI_32, TWO_PI_32 / 2))
    ]


def _double_uniforms(words: list[Words]) -> list[Floats]:
    wide = [w.astype(np.uint64) for w in words]
    return [(a ^ b << np.uint64(21)) * 2.0**-53 + 2.0**-54 for a, b in (wide[:2], wide[2:])]


def _double_normals(words: list[Words]) -> list[Floats]:
    u, v = _double_uniforms(words)
    return box_muller(u, 2 * math.pi * v)


def box_muller(u: Floats, angle: Floats) -> list[Floats]:
    """Two normals of a uniform in (0, 1] and an angle, in float64: [n], [n] -> 2 of [n]."""
    radius, angle = np.sqrt(-2 * np.log(u.astype(np.float64))), angle.astype(np.float64)
    return [radius * np.sin(angle), radius * np.cos(angle)]
