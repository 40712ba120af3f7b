"""Tiles of a kernel, shared: each is done once, by whoever, whatever else goes on."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.kernels import crew
from refdiff.kernels.crew import Crew
from refdiff.kernels.jit import jit
from refdiff.kernels.lanes import fill
from refdiff.kernels.tiles import Tiled, count, within
from refdiff.op import Array
from refdiff.workers import threads


@Tiled
def visit(visits: Array, by: Array, room: Array, who: int, tile: int) -> None:
    """Count a visit, by way of room of one's own. visits, by [tiles], room [threads,n]"""
    fill(room[who], float(tile))
    total = 0.0
    for i in range(room.shape[1]):
        total += room[who, i]
    visits[tile] += total == tile * room.shape[1]
    by[tile] = who


def visited(tiles: int, helpers: int, size: int = 100) -> tuple[Array, Array]:
    visits, by = np.zeros(tiles, np.int64), np.full(tiles, -1)
    with threads(helpers):
        visit(tiles, visits, by, np.zeros((helpers, size)))
    return visits, by


@given(tiles=st.integers(0, 300), helpers=st.integers(1, 5), size=st.integers(1, 300))
@settings(max_examples=300)
def test_every_tile_is_done_once(tiles: int, helpers: int, size: int) -> None:
    visits, by = visited(tiles, helpers, size)
    assert (visits == 1).all()
    assert ((by >= 0) & (by < helpers)).all()


@Tiled
def number(x: Array, who: int, tile: int) -> None:
    """x [tiles]"""
    x[tile] = tile + 1


@Tiled
def total(x: Array, y: Array, who: int, tile: int) -> None:
    """x, y [tiles]"""
    y[tile] = x.sum()


every_number, every_total = within(number), within(total)


@jit
def both(crew: Array, x: Array, y: Array) -> None:
    """x, y [tiles]"""
    every_number(len(x), crew, x)
    every_total(len(x), crew, x, y)


@given(tiles=st.integers(0, 300), helpers=st.integers(1, 5))
@settings(max_examples=100)
def test_in_turn(tiles: int, helpers: int) -> None:
    """Every tile of the second sees all of the first's, compiled or not."""
    for run in (both, both.py_func):  # type: ignore[attr-defined]
        x, y = np.zeros((2, tiles), np.int64)
        with threads(helpers):
            run(crew.crew(tiles), x, y)
        assert (y == tiles * (tiles + 1) // 2).all()


def test_a_helper_that_slept_comes_back() -> None:
    """Calls that follow one another find it awake, and its own half is done by it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.05)
        for _ in range(20):
            _, by = visited(200, 2, 10_000)
            if by[0] == 0 and by[-1] == 1:
                return
    raise AssertionError("one thread did everything for a minute")


def test_two_callers_at_once() -> None:
    """Who finds the crew busy does its tiles alone."""
    wrong: list[Array] = []

    def call() -> None:
        for _ in range(300):
            visits, _ = visited(50, 3)
            if not (visits == 1).all():
                wrong.append(visits)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_who_is_called_while_falling_asleep_does_not_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that comes after the last look, and before the helper said that it sleeps."""
    made = Crew.__new__(Crew)  # without threads
    made.words = np.zeros((2, crew.ROW), np.int64)
    slept: list[int] = []

    class Bed:
        def get(self) -> None:
            slept.append(made.words[1, crew.CALL])
            made.words[1, crew.LEAVE] = True

    served = iter([crew.ASKED, crew.NONE])
    monkeypatch.setattr(
        crew, "serve", lambda words, helper, _: words[helper].__setitem__(crew.CALL, next(served))
    )
    made.beds = [Bed()]  # type: ignore[list-item]
    made.live(1)
    assert slept == [crew.NONE]
    assert not [*served]


ALONE = """
import os, numpy as np, refdiff
x = np.linspace(-3, 3, 1 << 17, dtype=np.float32)
def compute():
    with refdiff.engine("fast"), refdiff.threads(2):
        return refdiff.ops.silu(x)
first = compute()
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        raise SystemExit(0 if (compute() == first).all() else 3)
    assert os.waitpid(child, 0)[1] == 0
assert (compute() == first).all()
"""


def test_a_fork_has_a_crew_of_its_own_and_processes_end() -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ},
    )
    assert (told.returncode, told.stderr) == (0, "")


@given(total=st.integers(0, 1000), size=st.integers(1, 50))
def test_count(total: int, size: int) -> None:
    assert count(total, size) == len(range(0, total, size))
