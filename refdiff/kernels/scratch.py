"""Room for what tiles need while they are computed: each caller's own, used again and again.

Where memory is to be small it is given back at once.
"""

import math
import threading
from ctypes import addressof, c_char
from typing import Any

import numpy as np
import numpy.typing as npt

from refdiff.memory import NORMAL, is_small, keep_what_is_freed
from refdiff.op import Array

_own = threading.local()
if not is_small():
    keep_what_is_freed(NORMAL)
LINE = 64  # bytes
NEAR = 1 << 16  # numbers, below which vectors across lines do not matter
NOTHING: tuple[Array, Array] = (np.empty(0, np.uint8),) * 2


def scratch(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of any content, valid until this thread asks for the same name again."""
    if is_small():
        return aligned(shape, dtype)
    room, last = getattr(_own, name, NOTHING)
    if last.shape == shape and last.dtype == dtype:
        return last
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if room.nbytes < size:
        room = aligned((size,), np.uint8)
    view = room[:size].view(dtype).reshape(shape)
    setattr(_own, name, (room, view))
    return view


def result(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of any content for what an op gives; a large one begins with a line of caches.

    Of a small one it is not asked, which takes time itself.
    """
    return np.empty(shape, dtype) if math.prod(shape) < NEAR else aligned(shape, dtype)


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of any content that begins with a line of caches, which no vector of it crosses."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room: Any = np.empty(size + LINE, np.uint8)
    start = -addressof(c_char.from_buffer(room)) % LINE  # room.ctypes takes longer
    return np.ndarray(shape, dtype, room, start)
