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
_small: ContextVar[bool] = ContextVar("refdiff small memory", default=False)


def is_small() -> bool:
    """Whether memory is to be saved."""
    return _small.get()


@contextmanager
def memory(kind: str) -> Iterator[None]:
    """Take "normal" or "small" memory inside. Raises ConfigError for another kind."""
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of memory {kind!r}: choose 'normal' or 'small'")
    if kind == "small":
        _return_what_is_freed()
    token = _small.set(kind == "small")
    try:
        yield
    finally:
        _small.reset(token)


def _return_what_is_freed() -> None:
    """Where the C library is glibc: it keeps freed blocks up to the largest that it has seen freed,
    32 MiB at most; from now on those of a MiB and more go back to the system (mallopt(3))."""
    mmap_threshold = -3
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(mmap_threshold, 1 << 20)
