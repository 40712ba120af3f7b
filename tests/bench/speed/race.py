"""Runs in turn, so that whatever else the machine does falls on all alike."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

REST = 0.05  # seconds: the last one's threads may still wait for work, and take the processor
BURST = 0.2
Run = Callable[[], Any]


@dataclass(frozen=True)
class Times:
    """Seconds of the runs of one contender."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        unit, scale = ("ms", 1e3) if self.median < 1 else ("s", 1.0)
        low, high = (f"{scale * t:.3g}" for t in (min(self.seconds), max(self.seconds)))
        return f"{scale * self.median:.3g} {unit} ({low} to {high})"


class DisagreementError(AssertionError):
    """What is not the same is not compared by speed."""


def agree(results: Mapping[str, np.ndarray], tolerance: float = 1e-3) -> None:
    """Raises DisagreementError unless all are the first's, within `tolerance` of its largest."""
    (first, expected), *others = results.items()
    for name, y in others:
        if y.shape != expected.shape:
            raise DisagreementError(f"{name} gives {y.shape}, {first} {expected.shape}")
        gap = float(np.abs(y - expected).max() / np.abs(expected).max())
        if not gap <= tolerance:
            raise DisagreementError(f"{name} is off from {first} by {gap:.2g} of the largest value")


def race(runs: Mapping[str, Run], rounds: int = 5, tolerance: float = 1e-3) -> dict[str, Times]:
    """Each contender once, whose results must agree; then all in turn, `rounds` times."""
    agree({name: np.asarray(run()) for name, run in runs.items()}, tolerance)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(REST)
            seconds[name].append(burst(run))
    return {name: Times(tuple(s)) for name, s in seconds.items()}


def burst(run: Run) -> float:
    """Seconds of a run among others of its kind: the median of as many as fill BURST seconds.

    The first is not counted where there are more: it finds processors asleep and caches empty.
    """
    taken: list[float] = []
    while sum(taken) < BURST:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:] or taken)


def ratios(times: Mapping[str, Times], to: str) -> dict[str, tuple[float, float, float]]:
    """How many times as long as `to` each took: median and range over rounds."""
    told = {}
    for name, t in times.items():
        each = [a / b for a, b in zip(t.seconds, times[to].seconds, strict=True)]
        told[name] = statistics.median(each), min(each), max(each)
    return told


def machine() -> str:
    """What it ran on, in words."""
    told = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        key, _, value = line.partition(":")
        told[key.strip()] = value.strip()
    name = told.get("model name", platform.processor() or platform.machine())
    units = {"avx512f": "AVX-512", "avx2": "AVX2"}
    has = [words for flag, words in units.items() if flag in told.get("flags", "").split()]
    vectors = f" with {has[0]}" if has else ""
    return f"{name}{vectors}, {os.cpu_count()} cores, Python {platform.python_version()}"


def save(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """As JSON, for other programs."""
    plain = [{k: asdict(v) if isinstance(v, Times) else v for k, v in row.items()} for row in rows]
    path.write_text(json.dumps({"machine": machine(), "rows": plain}, indent=1) + "\n")
