"""Training by the clock: the learning rate follows the share of a time budget that is used up."""

from __future__ import annotations

import math
import time


class Clock:
    """Counts from zero, or from the seconds an interrupted run had already used."""

    def __init__(self, minutes: float, warm: float = 0.02, used: float = 0.0) -> None:
        self.start = time.time() - used
        self.seconds = minutes * 60
        self.warm = warm

    @property
    def used(self) -> float:
        return time.time() - self.start

    @property
    def fraction(self) -> float:
        return self.used / self.seconds

    @property
    def rate(self) -> float:
        return self.rate_at(self.fraction)

    def rate_at(self, fraction: float) -> float:
        """Factor on the learning rate: linear warm-up, then half a cosine down to 1 %."""
        if fraction < self.warm:
            return 0.02 + 0.98 * fraction / self.warm
        progress = min(1.0, (fraction - self.warm) / (1 - self.warm))
        return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


def log(*words: object) -> None:
    print(time.strftime("%H:%M:%S"), *words, flush=True)
