"""One way to compile: never with fast-math, the interpreter's lock released, kept on disk."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba import types
from numba.core import config as numba_config
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from refdiff.interrupts import held
from refdiff.kernels.kept import Kept, folder, locked
from refdiff.kernels.parts import PART

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS = {"nogil": True, "error_model": "numpy"}
config: Any = numba_config
_features = binding.get_host_cpu_features()
if config.CPU_NAME is config.CPU_FEATURES is None and _features.get("avx512f"):
    # LLVM makes vectors half as long as they could be, for processors that ran slower with them
    config.CPU_FEATURES = f"{_features.flatten()},-prefer-256-bit"
compiling: Any = global_compiler_lock
if hasattr(os, "register_at_fork"):  # what another thread has locked stays so in a new process
    os.register_at_fork(
        before=compiling.acquire,
        after_in_parent=compiling.release,
        after_in_child=compiling.release,
    )
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
    made.compile = alone(f, made.compile)
    _made.append(made)
    return cast(F, made)


def compiled() -> int:
    """How often this process has compiled what it did not find on disk."""
    missed = sum(sum(made.stats.cache_misses.values()) for made in _made)
    return missed + sum(not made._cache_hits for made in _natives)


def inlined(f: F) -> F:
    """Compile f into those that call it: machine code from disk could only be called."""
    options: Any = {**OPTIONS, **PART}
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
        alone(f, made.compile)()
        _natives.append(made)
        binding.add_symbol(name, made.address)
        return types.ExternalFunction(name, signature)

    return named


def alone(f: Callable[..., Any], compile: Callable[..., Any]) -> Callable[..., Any]:
    """compile, while no other process compiles f; what one has kept the next one reads."""

    @wraps(compile)
    def compiled(*args: Any, **options: Any) -> Any:
        with locked(f"{f.__module__}.{f.__qualname__}"), held(), compiling, uncollected():
            return compile(*args, **options)

    return compiled


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave garbage alone meanwhile: a compiler makes much that is none, to be looked through."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def fixed(x: Any) -> Any:
    """x as what is only read, its rows contiguous.

    Compiled code is another for such arrays: it is made once if weights always are, wherever from.
    """
    flags = x.flags
    if flags.c_contiguous and not flags.writeable and type(x) is np.ndarray:
        return x
    view = np.ascontiguousarray(x).view()
    view.setflags(write=False)
    return view


def bias_or_zeros(b: Any, size: int) -> Any:
    """b as what is only read. b [size] or None -> [size]"""
    return fixed(np.zeros(size, np.float32) if b is None else b)
