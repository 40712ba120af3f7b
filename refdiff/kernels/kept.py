"""Machine code on disk, and processes that make it at the same time.

It is kept in a folder of the user's, REFDIFF_CACHE_DIR or ~/.cache/refdiff, for one state of all
sources here together, since code of one file is compiled into that of others; Numba tells
processors apart, and writes whole files only. Where nothing can be written, nothing is kept. What
one process compiles another one waits for, and reads.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import numba
from numba.core import caching

fcntl: Any = import_module("fcntl") if os.name == "posix" else None


@cache
def folder() -> Path | None:
    """Where machine code is kept; None where it cannot be."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(os.environ.get("REFDIFF_CACHE_DIR") or Path(base) / "refdiff") / sources()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return path if os.access(path, os.W_OK) else None


@cache
def sources() -> str:
    """The state of all kernels, and of what compiles them."""
    told = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Wait for other processes that have locked this name in the folder, where that can be."""
    file, byte = lock(), crc32(name.encode())
    try:
        if file is not None:
            fcntl.lockf(file, fcntl.LOCK_EX, 1, byte)
    except OSError:  # a disk that knows no locks
        file = None
    try:
        yield
    finally:
        if file is not None:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)


@cache
def lock() -> int | None:
    """The file whose bytes are locked; None where there is none. It stays open: closing unlocks."""
    place = folder()
    if place is None or fcntl is None:
        return None
    try:
        return os.open(place.parent / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError:
        return None


class _Locator(caching._CacheLocator):
    """One folder for all."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file = file

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> str:
        return sources()

    def get_disambiguator(self) -> str | None:
        return None

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Locator":
        return cls(function, file)


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class Kept(caching.FunctionCache):
    """Numba's own way to keep machine code, in our place; what is damaged is made anew."""

    _impl_class = _Impl

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """The types alone: the file says which function, the folder which state of the code."""
        return sig, codegen.magic_tuple()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What was compiled for a signature, or None."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # whatever reading a damaged file may raise
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep what was compiled, if there is room."""
        with suppress(OSError):
            super().save_overload(signature, data)
