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


def scratch(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of any content, valid until this thread asks for the same name again."""
    if is_small():
        return aligned(shape, dtype)
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    held: Array | None = getattr(_own, name, None)
    if held is None or held.nbytes < size:
        held = aligned((size,), np.uint8)
        setattr(_own, name, held)
    return held[:size].view(dtype).reshape(shape)


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of any content that begins with a line of caches, which no vector of it crosses."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room: Any = np.empty(size + LINE, np.uint8)
    start = -addressof(c_char.from_buffer(room)) % LINE  # room.ctypes takes longer
    return np.ndarray(shape, dtype, room, start)
