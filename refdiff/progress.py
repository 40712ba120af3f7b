"""A progress bar for people: on a terminal only, on stderr only, gone when the work is done."""

import time
from typing import TextIO

WIDTH = 24  # characters of the bar itself


class Progress:
    """Call it with (steps done, steps in all); it rewrites one line of `stream`.

    The time of a step is the mean of those so far, the first left out where there are more: it
    compiles kernels.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._times = [time.monotonic()]

    def __call__(self, done: int, total: int) -> None:
        self._times.append(time.monotonic())
        if self._shown:
            self._stream.write("\r\x1b[K" + line(done, total, self.seconds_a_step()))
            self._stream.flush()

    def seconds_a_step(self) -> float:
        """Mean seconds between calls."""
        times = self._times[1:] if len(self._times) > 2 else self._times
        return (times[-1] - times[0]) / (len(times) - 1)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def line(done: int, total: int, seconds: float) -> str:
    """ "step 3/25 [###.....] 0.21 s/step, 5 s left" """
    filled = WIDTH * done // total
    bar = "#" * filled + "." * (WIDTH - filled)
    left = duration(seconds * (total - done))
    return f"step {done}/{total} [{bar}] {seconds:.2f} s/step, {left} left"


def duration(seconds: float) -> str:
    """ "8 s", "3 min 20 s", "2 h 5 min" """
    whole = round(seconds)
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    if hours:
        return f"{hours} h {m} min"
    return f"{m} min {s} s" if m else f"{s} s"
