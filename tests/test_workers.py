"""Threads: how many there are, what they may not change, and what they leave as it was."""

import contextvars
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from refdiff import workers as room
from refdiff.errors import ConfigError
from refdiff.workers import each, one_thread_of_blas, parts, thread_count, threads


@pytest.fixture
def anew() -> Iterator[None]:
    """As a process that begins."""
    room._by_default.cache_clear()
    yield
    room._by_default.cache_clear()


@pytest.mark.parametrize(
    ("told", "count"), [("3", 3), ("3,2", 3), ("", None), ("many", None), ("0", None), ("999", 256)]
)
def test_the_count_is_chosen_or_told_or_of_this_process(
    told: str, count: int | None, anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert thread_count() == (count or len(os.sched_getaffinity(0)))
    with threads(5):
        assert thread_count() == 5
        with threads(1):
            assert thread_count() == 1


def test_without_affinity_the_processors_count(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert thread_count() == min(os.cpu_count() or 1, 256)


@pytest.mark.parametrize("count", [0, -1, 257])
def test_no_threads_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} threads"), threads(count):
        pass


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_tile_is_done_once_by_as_many(count: int) -> None:
    done, who = [], set()
    lock = threading.Lock()

    def work(tile: int) -> None:
        time.sleep(1e-3)
        with lock:
            done.append(tile)
            who.add(threading.get_ident())
            assert count == 1 or thread_count() == 1  # no tile makes threads of its own

    with threads(count):
        each(work, range(40))
    assert sorted(done) == list(range(40)) and len(who) == count


def test_tiles_know_what_their_caller_knows() -> None:
    told = contextvars.ContextVar("told", default=0)
    told.set(7)
    with threads(2):
        each(lambda _: contextvars.copy_context()[told], range(4))


def test_a_failure_in_a_tile_is_raised_and_ends_the_rest() -> None:
    done = []

    def work(tile: int) -> None:
        if tile == 3:
            raise ValueError("tile 3")
        time.sleep(1e-3)
        done.append(tile)

    with threads(2), pytest.raises(ValueError, match="tile 3"):
        each(work, range(500))
    assert len(done) < 499
    before = len(done)
    time.sleep(0.02)
    assert len(done) == before  # nothing goes on behind the caller's back


def test_blas_has_one_thread_inside_and_what_it_had_after() -> None:
    blas = room._libraries()  # those that NumPy had loaded
    assert blas

    def counts() -> list[int]:
        return [library.num_threads for library in blas]

    before = counts()
    try:
        for library in blas:
            library.set_num_threads(2)
        with ExitStack() as stack:
            stack.enter_context(one_thread_of_blas())
            with one_thread_of_blas():
                assert counts() == [1] * len(blas)
            assert counts() == [1] * len(blas)
        assert counts() == [2] * len(blas)
        with pytest.raises(ValueError), one_thread_of_blas():
            raise ValueError
        assert counts() == [2] * len(blas)
    finally:
        for library, count in zip(blas, before, strict=True):
            library.set_num_threads(count)


def test_parts_cover_all() -> None:
    for total in (0, 1, 6, 7):
        covered = [i for part in parts(total, 3) for i in range(total)[part]]
        assert covered == list(np.arange(total))
