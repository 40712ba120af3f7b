"""How many threads compute, and work in tiles that come out the same whoever does them.

While definitions or tiles are computed BLAS has one thread: with more, the order of its sums
depends on how many there are. Kernels cut their work into tiles that do not change any sum, or
whose sizes depend on the shape of one sample alone, and threads only decide who does which. So
results are the same bit for bit with any number of threads and in any batch.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from refdiff.errors import ConfigError

T = TypeVar("T")
MOST = 256
_chosen: ContextVar[int | None] = ContextVar("refdiff threads", default=None)


def thread_count() -> int:
    """As chosen by `threads`, else by OMP_NUM_THREADS, else the processors of this process."""
    return _chosen.get() or _by_default()


@cache
def _by_default() -> int:
    """What a process is told when it begins: the environment is read once, as OpenMP reads it."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if outermost.isdecimal() and int(outermost):
        return min(int(outermost), MOST)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST)
    return min(os.cpu_count() or 1, MOST)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads inside. Raises ConfigError for fewer than 1 or too many."""
    if not 1 <= count <= MOST:
        raise ConfigError(f"{count} threads are asked for, expected 1 to {MOST}")
    token = _chosen.set(count)
    try:
        yield
    finally:
        _chosen.reset(token)


def each(work: Callable[[T], object], tiles: Sequence[T]) -> None:
    """work(tile) for every tile, by all threads; within a tile there is no other, nor in BLAS."""
    with one_thread_of_blas():
        _each(work, tiles)


def _each(work: Callable[[T], object], tiles: Sequence[T]) -> None:
    helpers = min(thread_count(), len(tiles)) - 1
    if helpers < 1:
        for tile in tiles:
            work(tile)
        return
    left, pool = deque(tiles), _pool(thread_count(), os.getpid())
    others = [pool.submit(copy_context().run, _share, work, left) for _ in range(helpers)]
    try:
        copy_context().run(_share, work, left)
    finally:
        wait(others)
    for other in others:
        other.result()


def _share(work: Callable[[T], object], left: deque[T]) -> None:
    """Take tiles and do them until none is left; where one fails, none is."""
    _chosen.set(1)
    try:
        while True:
            try:
                tile = left.popleft()
            except IndexError:
                return
            work(tile)
    finally:
        left.clear()


@cache
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """Of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(count, thread_name_prefix="refdiff")


def parts(total: int, size: int) -> list[slice]:
    """0..total in slices of `size`, the last of which may be smaller."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


_lock = Lock()
_nested = 0
_before: list[int] = []


@contextmanager
def one_thread_of_blas() -> Iterator[None]:
    """Matrix products inside are computed by the thread that asks for them, alone."""
    global _nested
    with _lock:
        if not _nested:
            _before[:] = [library.num_threads for library in _libraries()]
            for library in _libraries():
                library.set_num_threads(1)
        _nested += 1
    try:
        yield
    finally:
        with _lock:
            _nested -= 1
            if not _nested:
                for library, count in zip(_libraries(), _before, strict=True):
                    library.set_num_threads(count)


@cache
def _libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found
