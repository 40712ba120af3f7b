"""Threads that share a kernel's tiles in compiled code, without the interpreter.

Helpers watch for calls for a while after the last one, then sleep; a call waits for those alone
that took part. So a hand-over costs neither the interpreter's lock nor a thread's waking up, which
take longer than many an op.

A crew is an array: for the caller and each helper a row of words. A caller that finds it busy does
all tiles alone.
"""

import atexit
import os
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refdiff.kernels.jit import inlined, jit, native
from refdiff.kernels.panels import INDEX, INT
from refdiff.kernels.words import WORDS, advance, exchange, look, rest, tell
from refdiff.op import Array
from refdiff.workers import thread_count

ROW = 16  # words of a row: each in cache lines of its own
NEXT, END = 0, 1  # of everyone's own tiles
BUSY, WORK, ARGUMENTS = 2, 3, 4  # words of the caller
CALL, AWAKE, LEAVE = 2, 3, 4  # words of a helper
NONE, ASKED, TAKEN = range(3)  # what CALL may be
PATIENCE = 1 << 14  # looks at CALL before a helper sleeps
POLITE = 1 << 8  # looks between two offers of the processor to somebody else


def _call(typing: Any, work: Any, arguments: Any, who: Any, tile: Any) -> Any:
    """Do a tile: the code at that address, for the arguments at that one."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(builder.inttoptr(args[0], KIND.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(INDEX, INDEX, INDEX, INDEX), code


KIND = ir.FunctionType(ir.VoidType(), [INT, INT, INT])
call: Any = intrinsic(_call)


@inlined
def take(crew: Any, who: int, threads: int) -> None:
    """Do one's own tiles, then what others have not begun."""
    work, arguments = look(crew, WORK), look(crew, ARGUMENTS)
    for i in range(threads):
        other = (who + i) % threads * ROW
        end = look(crew, other + END)
        tile = advance(crew, other + NEXT)
        while tile < end:
            call(work, arguments, who, tile)
            tile = advance(crew, other + NEXT)


@native(INDEX, INDEX, INDEX, WORDS, INDEX)
def shared(work: int, arguments: int, tiles: int, crew: Any, threads: int) -> None:
    """Have all tiles done, by whoever is free.

    Whoever can begins with the same part of them every time, which is still in its cache.
    """
    if threads < 2 or tiles < 2 or not exchange(crew, BUSY, 0, 1):
        for tile in range(tiles):
            call(work, arguments, 0, tile)
        return
    tell(crew, WORK, work)
    tell(crew, ARGUMENTS, arguments)
    for who in range(threads):
        tell(crew, who * ROW + NEXT, tiles * who // threads)
        tell(crew, who * ROW + END, tiles * (who + 1) // threads)
    for helper in range(1, threads):
        tell(crew, helper * ROW + CALL, ASKED)
    take(crew, 0, threads)
    for helper in range(1, threads):
        if not exchange(crew, helper * ROW + CALL, ASKED, NONE):
            looks = 0
            while look(crew, helper * ROW + CALL) != NONE:
                looks += 1
                rest(looks % POLITE == 0)
    tell(crew, BUSY, 0)


@jit
def serve(crew: Array, helper: int, patience: int) -> None:
    """Take part in calls until there has been none for a while."""
    words, mine, idle = crew.ctypes, helper * ROW + CALL, 0
    while idle < patience:
        if look(words, mine) == ASKED and exchange(words, mine, ASKED, TAKEN):
            take(words, helper, len(crew))
            tell(words, mine, NONE)
            idle = 0
        else:
            idle += 1
            rest(idle % POLITE == 0)


class Crew:
    """The threads that help one process, and what they are told by."""

    def __init__(self, count: int) -> None:
        self.words = np.zeros((count, ROW), np.int64)
        self.asleep = False  # whether somebody is, or was
        self.beds: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(count - 1)]
        self.threads = [
            Thread(target=self.live, args=(i,), name=f"refdiff helper {i}", daemon=True)
            for i in range(1, count)
        ]
        for thread in self.threads:
            thread.start()
        atexit.register(self.leave)

    def live(self, helper: int) -> None:
        """What a helper does; who is called while it falls asleep wakes up again."""
        mine, bed = self.words[helper], self.beds[helper - 1]
        while not mine[LEAVE]:
            serve(self.words, helper, PATIENCE)
            mine[AWAKE] = False
            self.asleep = True
            if mine[CALL] == NONE:
                bed.get()
            mine[AWAKE] = True

    def wake(self) -> None:
        """Whoever sleeps; it may come too late for the next call."""
        self.asleep = False
        for helper, bed in enumerate(self.beds, 1):
            if not self.words[helper, AWAKE]:
                self.words[helper, AWAKE] = True
                bed.put(None)

    def leave(self) -> None:
        """Before the interpreter ends: a thread must not come back to it later."""
        self.words[1:, LEAVE] = True
        for bed, thread in zip(self.beds, self.threads, strict=True):
            bed.put(None)
            thread.join()


@cache
def _of(count: int) -> Crew:
    return Crew(count)


if hasattr(os, "register_at_fork"):  # threads do not survive it
    os.register_at_fork(after_in_child=_of.cache_clear)


def crew(tiles: int) -> Array:
    """The words of those who are to compute now: [threads, ROW]"""
    made = _of(thread_count())
    if made.asleep and tiles > 1:
        made.wake()
    return made.words
