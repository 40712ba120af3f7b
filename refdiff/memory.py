"""How much memory a picture may take: as it comes, or as little as it can, for some more time.

Small: weights are widened when they are used and the pages of their files given back at once, what
kernels need meanwhile is not kept, and the decoder computes large pictures some rows at a time.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from refdiff.errors import ConfigError

KINDS = ("normal", "small")
NORMAL, SMALL = 1 << 29, 1 << 20  # bytes of blocks that are used again
_small: ContextVar[bool] = ContextVar("refdiff small memory", default=False)


def is_small() -> bool:
    """Whether memory is to be saved."""
    return _small.get()


@contextmanager
def memory(kind: str) -> Iterator[None]:
    """Take "normal" or "small" memory inside. Raises ConfigError for another kind."""
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of memory {kind!r}: choose 'normal' or 'small'")
    before = _small.set(kind == "small")
    keep_what_is_freed(SMALL if kind == "small" else NORMAL)
    try:
        yield
    finally:
        _small.reset(before)
        keep_what_is_freed(SMALL if is_small() else NORMAL)


def keep_what_is_freed(most: int) -> None:
    """Where the C library is glibc: blocks of up to so many bytes are used again when they are
    freed, larger ones go back to the system (mallopt(3)).

    Of itself it keeps none above 32 MiB, and whoever gets a new one waits for its pages.
    """
    mmap_threshold, trim_threshold = -3, -1
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        if libc.mallopt(mmap_threshold, most):
            libc.mallopt(trim_threshold, 2 * most)
        if most == SMALL:
            libc.malloc_trim(0)
