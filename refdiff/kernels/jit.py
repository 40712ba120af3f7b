"""One way to compile: cached on disk, never with fast-math, the interpreter's lock released."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(f: F) -> F:
    """Compile f on its first call for the types it gets; the machine code is kept on disk.

    Division by zero gives what IEEE says, and no exception, which vector units could not raise.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(f))


def inlined(f: F) -> F:
    """Compile f into those that call it: machine code from disk could only be called."""
    return cast(F, numba.njit(nogil=True, error_model="numpy")(f))
