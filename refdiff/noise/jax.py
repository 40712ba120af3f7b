"""Random numbers as JAX draws them: every draw is a pure function of a key.

    key         (s >> 32, s mod 2^32) of the 64-bit seed s. In JAX's usual 32-bit mode the upper
                word is 0.
    uniform     a random word of the dtype's width (of 8 bits in bfloat16), its leading bits the
                fraction f of a number 1.f; u = 1.f - 1 in [0, 1), of 2^-23 steps in float32.
    normal      z = √2 erf⁻¹(v), where v = 2u - (1 - ε) lies in (-1, 1) and 1 - ε is the number of
                the dtype below 1. float16 and bfloat16 take erf⁻¹ in float32, and round it before
                and after the multiplication by √2.

How words come from a key is threefry.py's matter, in two modes: "partitionable", JAX's default
since 0.5, and the original one. They make different numbers and different keys.

Words, uniforms, keys and normals of up to 32 bits are equal in every bit to those of JAX 0.10 on an
x86 CPU with FMA, whatever the machine here; those of an accelerator differ in the last bits.
JAX draws float64 only where 64-bit mode is on.

Sources: JAX 0.10, jax/_src/random/core.py, threefry2x32.py.
"""

from dataclasses import dataclass

import numpy as np

from .checks import checked_seed, checked_shape
from .erf_inv import erf_inv
from .source import Floats, Source, UniformSource, narrowed
from .threefry import (
    original_bits,
    original_words,
    partitionable_bits,
    partitionable_pairs,
    threefry,
)

# dtype -> bits of a random word, bits of the fraction
FORMATS = {"float16": (16, 10), "bfloat16": (8, 7), "float32": (32, 23), "float64": (64, 52)}


@dataclass(frozen=True)
class JaxKey(UniformSource):
    """A key of jax.random: two words. The same draw from the same key gives the same numbers."""

    words: tuple[int, int]
    partitionable: bool = True

    def split(self, count: int = 2) -> list["JaxKey"]:
        """New keys, as jax.random.split(key, count) makes them; a bad count is a ShapeError."""
        (count,) = checked_shape(count)
        if self.partitionable:
            pairs = np.stack(partitionable_pairs(self.words, count), axis=1)
        else:
            pairs = original_words(self.words, 2 * count).reshape(count, 2)
        return [JaxKey((int(a), int(b)), self.partitionable) for a, b in pairs]

    def fold_in(self, number: int) -> "JaxKey":
        """The key for a number from 0 to 2^32 - 1, as jax.random.fold_in makes it."""
        number = checked_seed(number, 0, 2**32 - 1)
        a, b = threefry(self.words, np.zeros(1, np.uint32), np.array([number], np.uint32))
        return JaxKey((int(a[0]), int(b[0])), self.partitionable)

    def _uniforms(self, count: int, dtype: str) -> Floats:
        width, fraction = FORMATS[dtype]
        draw = partitionable_bits if self.partitionable else original_bits
        bits = draw(self.words, count, width) >> (width - fraction)
        return narrowed(bits.astype(np.float64) * 2.0**-fraction, dtype)

    def _normals(self, count: int, dtype: str) -> Floats:
        below_one = 1 - 2.0 ** -(FORMATS[dtype][1] + 1)
        exact = 2 * self._uniforms(count, dtype).astype(np.float64) - below_one
        # where the sum rounds to -1, JAX takes the number above it
        v = np.maximum(narrowed(exact, dtype), -below_one)
        wide = "float64" if dtype == "float64" else "float32"
        x = narrowed(erf_inv(narrowed(v, wide)), dtype)
        root = narrowed(np.array(np.sqrt(2)), dtype)
        return narrowed(narrowed(root, wide) * narrowed(x, wide), dtype)


class Jax(Source):
    """A stream of normals over JAX's keys, for a loop that only knows streams.

    The first draw is normal(key), as Flax pipelines draw their latents. Each later one follows the
    idiom of JAX's loops: key, part = split(key), and the draw is normal(part).
    """

    def __init__(self, key: JaxKey) -> None:
        self._key = key
        self._drawn = False

    def _normals(self, count: int, dtype: str) -> Floats:
        part = self._key
        if self._drawn:
            self._key, part = self._key.split()
        self._drawn = True
        return part._normals(count, dtype)


def jax_key(seed: int, *, partitionable: bool = True, x64: bool = False) -> JaxKey:
    """The key jax.random.key(seed), in the mode jax_threefry_partitionable says.

    `seed` is an integer from -2^63 to 2^64 - 1, else ConfigError. Without `x64` only its low 32
    bits matter, as in JAX without 64-bit mode.
    """
    seed = checked_seed(seed) % 2**64
    return JaxKey((seed >> 32 if x64 else 0, seed & 0xFFFFFFFF), partitionable)


def jax(seed: int, *, partitionable: bool = True, x64: bool = False) -> Jax:
    """A stream that begins with jax.random.normal(jax.random.key(seed), ...); see Jax.

    Arguments as for jax_key.
    """
    return Jax(jax_key(seed, partitionable=partitionable, x64=x64))
