"""Random numbers as C++ programs draw them that are built with GCC: normal_distribution on mt19937.

    canonical   u = w 2^-32 in float, (w_i + 2^32 w_{i+1}) 2^-64 in double, in that arithmetic; a 1
                becomes the number below.
    normal      Marsaglia's polar method (Marsaglia and Bray 1964): x = 2u - 1 and y = 2u' - 1 are
                drawn until 0 < s = x² + y² <= 1; then with m = sqrt(-2 log(s) / s)

                    z = y m, and the distribution keeps z' = x m for the next call.

The standard prescribes the words of std::mt19937 but not what a distribution makes of them; libc++
and Microsoft's library make something else. float32 is std::normal_distribution<float> and float64
that of double, each with a kept value of its own, on one engine.

Source: GCC 12, libstdc++-v3/include/bits/random.tcc.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import c_library
from .checks import checked_seed
from .source import Floats, Source


class Libstdcxx(Source):
    """The stream of a std::mt19937 with a distribution for each dtype."""

    dtypes = ("float32", "float64")

    def __init__(self, seed: int) -> None:
        # NumPy promises never to change what a seeded RandomState returns.
        self._twister = np.random.RandomState(checked_seed(seed) & 0xFFFFFFFF)
        self._kept: dict[str, Floats] = {}

    def _normals(self, count: int, dtype: str) -> Floats:
        kept = self._kept.get(dtype, np.empty(0, dtype))[:count]
        missing = count - len(kept)
        drawn = self._pairs(-(-missing // 2), np.dtype(dtype)).ravel()
        if count:
            self._kept[dtype] = drawn[missing:]
        return np.concatenate([kept, drawn[:missing]])

    def _pairs(self, count: int, kind: np.dtype[Any]) -> Floats:
        """Normals in the order of the calls: [count,2]."""
        found = [np.empty((0, 2), kind)]
        while count:
            # as many as are still missing, so that no word is drawn that the loop would not draw
            xy = 2 * self._canonical(2 * count, kind).reshape(count, 2) - 1
            x, y = xy.T
            s = x * x + y * y
            inside = (s <= 1) & (s != 0)
            s = s[inside]
            log = c_library.log(s).astype(kind)
            m = np.sqrt(-2 * log / s)
            found.append(np.stack([y[inside] * m, x[inside] * m], axis=1) + kind.type(0))
            count -= len(s)
        return np.concatenate(found)

    def _canonical(self, count: int, kind: np.dtype[Any]) -> Floats:
        if kind == np.float32:
            u = self._words(count).astype(np.float32) * np.float32(2**-32)
        else:
            low, high = self._words(2 * count).astype(np.float64).reshape(count, 2).T
            u = (low + high * 2.0**32) * 2.0**-64
        return np.minimum(u, np.nextafter(kind.type(1), kind.type(0)))

    def _words(self, count: int) -> NDArray[np.uint32]:
        return self._twister.randint(0, 2**32, count, np.uint32)


def libstdcxx(seed: int) -> Libstdcxx:
    """The stream of std::normal_distribution on std::mt19937(seed), as GCC's library has it.

    `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError; only its low 32 bits matter.
    """
    return Libstdcxx(seed)
