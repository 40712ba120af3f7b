"""From where on compiling kernels pays within one picture: docs/performance.md's last table.

    python -m tests.bench.pays

Pictures of the shipped model, 25 steps with guidance, by definitions and by kernels in turn, of
growing size; and, each in a fresh process with nothing compiled, how much longer the first picture
by kernels takes than the next one while two processes compile, as `refdiff generate` has them.
`pipeline.PAYS` is where kernels save as much.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import refdiff
from refdiff.pipeline import PAYS
from tests.bench.speed.race import machine

SIDES = (64, 96, 128, 192, 256)
ROUNDS = 3
FIRST = """
import time, refdiff
from refdiff.warmup import compiling_beside
pipe = refdiff.load()
with refdiff.engine("fast"), compiling_beside():
    for _ in range(2):
        start = time.perf_counter()
        pipe("frogs on stilts", guidance=4.0)
        print(time.perf_counter() - start)
"""


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compiling() -> list[float]:
    """Seconds that a first picture takes longer than the next one."""
    longer = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            here = {**os.environ, "REFDIFF_CACHE_DIR": cache}
            argv = [sys.executable, "-c", FIRST]
            first, following = subprocess.check_output(argv, text=True, env=here).split()
        longer.append(float(first) - float(following))
    return longer


def pictures(pipe: refdiff.Pipeline, side: int) -> dict[str, float]:
    """Seconds of a picture by each engine."""
    taken: dict[str, list[float]] = {"reference": [], "fast": []}
    for _ in range(ROUNDS + 1):
        for name, times in taken.items():
            with refdiff.engine(name):
                size = (side, side)
                times.append(seconds(lambda: pipe("a cat", guidance=4.0, size=size)))  # noqa: B023
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def main() -> None:
    """Print the table and where it is even."""
    pipe = refdiff.load()
    print("| pixels | weights times latent pixels | definitions | kernels | saved by these |")
    print("|---|---|---|---|---|")
    for side in SIDES:
        times, (_, _, h, w) = pictures(pipe, side), pipe.latent_shape(1, (side, side))
        work, saved = pipe.unet.size * h * w, times["reference"] - times["fast"]
        told = (f"{s:.2f} s" for s in (times["reference"], times["fast"], saved))
        print(f"| {side}x{side} | {work:.2g} | {' | '.join(told)} |", flush=True)
    longer = compiling()
    middle = statistics.median(longer)
    print(
        f"\nCompiling takes {middle:.1f} s ({min(longer):.1f} to {max(longer):.1f}) of the first "
        f"picture by kernels; at {saved / work:.1e} s saved for a weight and latent pixel, as at "
        f"{side}x{side}, that is even at {middle * work / saved:.1e}; `PAYS` is {PAYS:.1e}. "
        f"On: {machine()}."
    )


if __name__ == "__main__":
    main()
