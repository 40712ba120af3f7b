"""Interruptions that are held back while they would be lost."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from numba import types
from numba.core.caching import NullCache
from numba.extending import intrinsic

from refdiff.interrupts import held
from refdiff.kernels.jit import jit

IMPORT = """
import os, signal, sys, threading, time

def interrupt():
    while "numba" not in sys.modules:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt, daemon=True).start()
try:
    from refdiff.kernels import norm
    time.sleep(60)
except KeyboardInterrupt:
    print(hasattr(sys.modules["numba"], "njit"))
"""


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """A shell that runs the tests in the background has them ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_comes_at_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with held():
            interrupt()
            done.append("all")
        done.append("more")
    assert done == ["all"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_goes_wrong_meanwhile_is_told_too() -> None:
    with pytest.raises(KeyboardInterrupt) as told, held():
        interrupt()
        raise ValueError("one")
    assert isinstance(told.value.__context__, ValueError)


def test_nothing_comes_of_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_and_deaf_processes_are_left_alone() -> None:
    seen = []

    def look() -> None:
        with held():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        look()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [before, signal.SIG_IGN]


@intrinsic
def _interrupted(typing: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        interrupt()
        return context.get_constant(types.int64, 1)

    return types.int64(), code


@jit
def one() -> Any:
    return _interrupted()  # type: ignore[call-arg]


def test_while_a_kernel_is_compiled() -> None:
    """It is whole when the interruption comes, and works."""
    one._cache = NullCache()  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        one()
    assert len(one.signatures) == 1 and one() == 1  # type: ignore[attr-defined]


def test_while_numba_is_imported() -> None:
    told = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0 and told.stdout == "True\n", told.stderr
