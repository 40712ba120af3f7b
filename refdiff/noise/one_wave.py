"""The much copied imitation of PyTorch's CUDA noise, which is right for one wave of threads.

As in torch_cuda.py, but element i is always the first number of thread i at a step that grows by 1
from draw to draw:

    w = philox(counter = (c, i), key = seed),  z = sqrt(-2 log u) sin v,
    u = 2^-32 w_0 + 2^-33,  v = 2π (2^-32 w_1 + 2^-33).

So it agrees with any GPU for draws that fit on it at once, such as 40960 numbers on a T4, and with
none above that. A1111's web UI, from which the others copied it, computes in float64 from a float32
2π and rounds to float32; so does this, equal in every bit. stable-diffusion.cpp computes in float32
like the GPU, Apple's Core ML pipeline in float64: they differ from it by about 1e-6, and float32
by up to 2^-12 where u is so near 1 that there is no number for it.

Sources: AUTOMATIC1111/stable-diffusion-webui, modules/rng_philox.py; leejet/stable-diffusion.cpp,
src/core/rng_philox.hpp; apple/ml-stable-diffusion, NvRandomSource.swift.
"""

import numpy as np

from .checks import checked_seed
from .philox import counters, philox
from .source import Floats, Source, narrowed
from .torch_cuda import TWO_PI_32, box_muller


class OneWave(Source):
    """The stream of A1111's Generator: a step of Philox for each draw, whatever its size."""

    def __init__(self, seed: int) -> None:
        self._seed = checked_seed(seed, 0)
        self._step = 0

    def _normals(self, count: int, dtype: str) -> Floats:
        first, second, _, _ = philox(counters(self._step, count), self._seed)
        self._step += 1
        scale = np.float64(TWO_PI_32)
        normals, _ = box_muller(first * 2.0**-32 + 2.0**-33, second * scale + scale / 2)
        return narrowed(normals, dtype)


def torch_cuda_one_wave(seed: int) -> OneWave:
    """The stream of A1111's modules.rng_philox.Generator(seed), and of its copies.

    `seed` is an integer from 0 to 2^64 - 1, else ConfigError.
    """
    return OneWave(seed)
