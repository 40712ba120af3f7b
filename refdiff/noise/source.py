"""What is asked for random numbers: a draw is checked, then taken flat, then shaped."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ShapeError
from .checks import checked_dtype, checked_shape

Floats = NDArray[np.floating[Any]]
HALVES = ("float16", "bfloat16")


class Source(ABC):
    """The random numbers of one program from one seed, in the formats that `dtypes` names.

    Most are streams, where a draw continues where the one before stopped.
    """

    dtypes: ClassVar[tuple[str, ...]] = (*HALVES, "float32", "float64")

    def normal(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Floats:
        """Draw numbers with mean 0 and variance 1.

        shape (N, C, H, W) -> [N,C,H,W] of `dtype`; "bfloat16" is float32 holding bfloat16 values.
        A dtype that is not among `dtypes` is a ConfigError; a negative or absurd shape, of more
        than 2^31 values, a ShapeError. Either way nothing is drawn.
        """
        sizes, name = checked_shape(shape), checked_dtype(dtype, self.dtypes)
        return self._normals(math.prod(sizes), name).reshape(sizes)

    @abstractmethod
    def _normals(self, count: int, dtype: str) -> Floats: ...


class UniformSource(Source):
    """A source of uniform numbers too."""

    def uniform(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Floats:
        """Draw numbers uniform in [0, 1).

        shape (N, C, H, W) -> [N,C,H,W] of `dtype`; errors as for normal.
        """
        sizes, name = checked_shape(shape), checked_dtype(dtype, self.dtypes)
        return self._uniforms(math.prod(sizes), name).reshape(sizes)

    @abstractmethod
    def _uniforms(self, count: int, dtype: str) -> Floats: ...


def per_sample(
    streams: Sequence[Source], shape: Sequence[int], dtype: DTypeLike = np.float32
) -> Floats:
    """A batch with a stream for each sample, so that no sample depends on the others.

    streams N, shape (N, C, H, W) -> [N,C,H,W]: row n is the next draw of stream n. As in diffusers,
    a single stream draws the whole batch. Another number of streams than N is a ShapeError.
    """
    sizes = checked_shape(shape)
    if len(streams) == 1:
        return streams[0].normal(sizes, dtype)
    if not sizes or not 0 < sizes[0] == len(streams):
        raise ShapeError(
            f"{len(streams)} streams cannot fill the shape {sizes!r:.80}; "
            "give one stream, or one for each index of the first axis"
        )
    return np.concatenate([stream.normal((1, *sizes[1:]), dtype) for stream in streams])


def narrowed(x: Floats, dtype: str) -> Floats:
    """The nearest numbers of `dtype`, ties to even; to a half format by way of float32.

    x [*] -> [*]. A bfloat16 is the upper 16 bits of a float32, so what is added below carries into
    them where the lower 16 are more than a half, or a half and the upper ones odd.
    """
    if dtype == "float64":
        return x.astype(np.float64)
    single = x.astype(np.float32)
    if dtype != "bfloat16":
        return single.astype(dtype)
    bits = single.view(np.uint32)
    odd = bits >> np.uint32(16) & np.uint32(1)
    return (bits + np.uint32(0x7FFF) + odd & np.uint32(0xFFFF0000)).view(np.float32)
