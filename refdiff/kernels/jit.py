"""One way to compile: never with fast-math, the interpreter's lock released, kept on disk.

Machine code is kept in a folder of the user's, REFDIFF_CACHE_DIR or ~/.cache/refdiff, for one state
of all sources here together, since code of one file is compiled into that of others; Numba tells
processors apart, and writes whole files only. Where nothing can be written, nothing is kept.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba import types
from numba.core import caching
from numba.core import config as numba_config
from numba.core.ccallback import CFunc

from refdiff.interrupts import held

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS = {"nogil": True, "error_model": "numpy"}
config: Any = numba_config
_features = binding.get_host_cpu_features()
if config.CPU_NAME is config.CPU_FEATURES is None and _features.get("avx512f"):
    # LLVM makes vectors half as long as they could be, for processors that ran slower with them
    config.CPU_FEATURES = f"{_features.flatten()},-prefer-256-bit"
_made: list[Any] = []
_natives: list[Any] = []


def jit(f: F) -> F:
    """Compile f on its first call for the types it gets, or read what was compiled before.

    Division by zero gives what IEEE says, and no exception, which vector units could not raise.
    """
    options: Any = {"no_cfunc_wrapper": True, **OPTIONS}
    made: Any = numba.njit(**options)(f)
    if folder() is not None:
        made._cache = Kept(f)
    made.compile = held()(made.compile)
    _made.append(made)
    return cast(F, made)


def compiled() -> int:
    """How often this process has compiled what it did not find on disk."""
    missed = sum(sum(made.stats.cache_misses.values()) for made in _made)
    return missed + sum(not made._cache_hits for made in _natives)


def inlined(f: F) -> F:
    """Compile f into those that call it: machine code from disk could only be called."""
    options: Any = {"no_cfunc_wrapper": True, "no_cpython_wrapper": True, **OPTIONS}
    return cast(F, numba.njit(**options)(f))


def native(*arguments: Any) -> Callable[[F], Any]:
    """Compile f once, for numbers and addresses alone; compiled code calls it by a name.

    What is inlined is compiled anew in every kernel that calls it; this is not.
    """

    def named(f: F) -> Any:
        signature, name = types.void(*arguments), f"refdiff.{f.__name__}"
        made: Any = CFunc(f, (signature.args, signature.return_type), {}, OPTIONS)
        if folder() is not None:
            made._cache = Kept(f)
        with held():
            made.compile()
        _natives.append(made)
        binding.add_symbol(name, made.address)
        return types.ExternalFunction(name, signature)

    return named


def fixed(x: Any) -> Any:
    """x as what is only read, its rows contiguous.

    Compiled code is another for such arrays: it is made once if weights always are, wherever from.
    """
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return view


def bias_or_zeros(b: Any, size: int) -> Any:
    """b as what is only read. b [size] or None -> [size]"""
    return fixed(np.zeros(size, np.float32) if b is None else b)


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
