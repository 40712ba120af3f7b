"""Random numbers as NumPy draws them, by either of its two interfaces.

    numpy               np.random.RandomState(seed): MT19937 and the polar method (Marsaglia and
                        Bray 1964) in float64, of which the other dtypes are roundings. NumPy has
                        frozen these numbers (NEP 19).
    numpy_generator     np.random.default_rng(seed): PCG64 (O'Neill 2014) and the ziggurat method
                        (Marsaglia and Tsang 2000), in which float32 has tables and words of its
                        own. NumPy may change these numbers from release to release.

They are the real thing: nothing is computed here.
"""

import numpy as np

from .checks import checked_seed
from .source import Floats, Source, UniformSource


class NumpyLegacy(Source):
    """The stream of a RandomState."""

    dtypes = ("float16", "float32", "float64")

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(checked_seed(seed, 0, 2**32 - 1))

    def _normals(self, count: int, dtype: str) -> Floats:
        return self._state.standard_normal(count).astype(dtype)


class NumpyGenerator(UniformSource):
    """The stream of a Generator."""

    dtypes = ("float32", "float64")

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(checked_seed(seed, 0))

    def _uniforms(self, count: int, dtype: str) -> Floats:
        return self._generator.random(count, np.dtype(dtype).type)

    def _normals(self, count: int, dtype: str) -> Floats:
        return self._generator.standard_normal(count, np.dtype(dtype).type)


def numpy(seed: int) -> NumpyLegacy:
    """The stream of np.random.RandomState(seed).randn(...).astype(dtype).

    `seed` is an integer from 0 to 2^32 - 1, else ConfigError.
    """
    return NumpyLegacy(seed)


def numpy_generator(seed: int) -> NumpyGenerator:
    """The stream of np.random.default_rng(seed).standard_normal(shape, dtype).

    `seed` is an integer from 0 to 2^64 - 1, else ConfigError.
    """
    return NumpyGenerator(seed)
