"""Ctrl-C where it would be lost: what loads extension modules and machine code swallows it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held() -> Iterator[None]:
    """An interruption that comes meanwhile is there at the end.

    In other threads than the main one, which alone is interrupted, nothing is done.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    come: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda number, frame: come.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if come:
            before(signal.SIGINT, come[0])
