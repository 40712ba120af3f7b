"""How long a step takes beside diffusers', class by class, and a plan of 1000 steps.

    python -m tests.bench.samplers            # prints docs/performance.md's second table

A latent of [1,4,64,64], float32, 20 steps of each class with its defaults, the same model outputs
and noise for both; the runs must agree to 2e-6 before anything is timed. Rounds are interleaved in
one process; ratios are of medians, with the range over rounds.
"""

import contextlib
import inspect
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from refdiff.diffusion.samplers import from_config
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.draws import CLASSES, Case

STEPS, SHAPE, ROUNDS = 20, (1, 4, 64, 64), 5


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def our_steps(case: Case) -> Callable[[], Any]:
    """All rows of a plan, outputs and noise drawn beforehand."""
    sampler, plan = oracle.ours(case)
    draws = oracle.Draws(case, np.float32)
    outs = [draws.out(i, sampler.out_shape(case.shape)) for i in range(len(plan))]
    noise = [draws.noise(i) for i in range(len(plan))]
    start = draws.start() * sampler.init_noise_sigma(plan)

    def work() -> None:
        x, memory = start, None
        for i in range(len(plan)):
            sampler.scale_input(plan, i, x)
            x, memory = sampler.step(plan, i, x, outs[i], memory, noise[i])

    return work


def their_steps(case: Case) -> Callable[[], Any]:
    """The same walk by diffusers; its state is set back untimed, by planning anew."""
    scheduler = oracle.theirs(case)
    draws = oracle.Draws(case, np.float32)
    shape, times = oracle.ours_shape(case), scheduler.timesteps
    outs = [torch.from_numpy(draws.out(i, shape)) for i in range(len(times))]
    start = torch.from_numpy(draws.start()) * getattr(scheduler, "init_noise_sigma", 1.0)
    remembered = oracle.Remembered(draws, len(times))
    extra = oracle.arguments(scheduler.step, case)
    takes_next = "prev_timestep" in inspect.signature(scheduler.step).parameters

    def work() -> None:
        x = start
        with oracle.injected(scheduler, remembered) as row:
            for i, t in enumerate(times):
                row["i"] = i
                if hasattr(scheduler, "scale_model_input"):
                    scheduler.scale_model_input(x, t)
                if takes_next:
                    extra["prev_timestep"] = times[i + 1] if i + 1 < len(times) else None
                x = scheduler.step(outs[i], t, x, **extra).prev_sample

    return work


def row(class_name: str) -> str:
    """One class's line of the table."""
    case = Case({"_class_name": class_name}, STEPS, SHAPE, 1)
    gap = oracle.run_gap(oracle.our_run(case), oracle.their_run(case))
    if gap > oracle.BOUND:
        raise SystemExit(f"{class_name}: the runs differ by {gap:.1e}: not timed")
    mine, other, planning = [], [], []
    plan, sampler = oracle.ours(case)[1], from_config(case.config)
    thousand = Case(case.config, most(sampler), SHAPE, 1)
    for _ in range(ROUNDS):
        mine.append(timed(our_steps(case)))
        other.append(timed(their_steps(case)))
        planning.append(timed(lambda: sampler.plan(thousand.steps)))
    ratios = [a / b for a, b in zip(mine, other, strict=True)]
    return (
        f"| {class_name} | {1e6 * statistics.median(mine) / len(plan):.0f} µs "
        f"| {1e6 * statistics.median(other) / len(plan):.0f} µs "
        f"| {statistics.median(mine) / statistics.median(other):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) "
        f"| {1e3 * statistics.median(planning):.1f} ms ({thousand.steps}) |"
    )


def most(sampler: Any) -> int:
    """The most steps up to 1000 that the sampler can plan: of some, 1000 times come twice."""
    distilled = getattr(sampler, "original", 1000)
    for steps in (1000, 999, distilled, getattr(sampler, "T", 40)):
        with contextlib.suppress(ConfigError):
            return len(sampler.plan(steps)) and steps
    raise SystemExit(f"{type(sampler).__name__} plans no number of steps")


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| class | a step here | in diffusers | ratio (range) | planning 1000 steps |")
    print("|---|---|---|---|---|")
    for class_name in CLASSES:
        print(row(class_name), flush=True)


if __name__ == "__main__":
    main()
