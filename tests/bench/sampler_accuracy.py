"""How far samplers are from diffusers', class by class: docs/sampler-accuracy.md.

    python -m tests.bench.sampler_accuracy docs

Over configs drawn from all keys of a class, as the tests draw them, of up to 24 steps in float32:
the same model outputs and noise for both, every row's x and scaled input compared. Two figures of
runs beyond the bound: against diffusers as it is, and with torch's roots, exps and logs of a plan's
coefficients rounded once, which its vectorised functions do not do in the last place.
"""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings

from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.draws import CLASSES, cases

DRAWS = 60
FUNCTIONS = ("exp", "log", "sqrt", "expm1")


@contextlib.contextmanager
def rounded_once() -> Iterator[None]:
    """torch's roots, exps and logs in float64, rounded to float32: one rounding each."""
    power = torch.Tensor.__pow__

    def once(name: str) -> Any:
        exact = getattr(torch.Tensor, name)
        return lambda x, *a: exact(x.double(), *a).to(x.dtype)

    def root(x: torch.Tensor, exponent: Any) -> torch.Tensor:
        if not (isinstance(exponent, float) and exponent == 0.5):
            return power(x, exponent)
        # the level of pure noise, which refdiff has as torch does: see sigma_table
        pure = x == 2.0**24 - 1
        return torch.where(pure, torch.tensor(2.0**12), power(x.double(), 0.5).to(x.dtype))

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch.Tensor, "__pow__", root))
        for name in FUNCTIONS:
            replacement = once(name)
            stack.enter_context(mock.patch.object(torch.Tensor, name, replacement))
            stack.enter_context(mock.patch.object(torch, name, replacement))
        yield


def gaps(class_name: str) -> tuple[list[float], list[float], int]:
    """Of each compared run the gap as it is and with functions rounded once; how many refused."""
    plain: list[float] = []
    once: list[float] = []
    refused = 0

    @settings(
        max_examples=DRAWS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(class_name))
    def compare(case: Any) -> None:
        nonlocal refused
        try:
            with mock.patch.object(oracle, "roots_rounded_once", contextlib.nullcontext):
                pair = oracle.our_run(case), oracle.their_run(case)
            with rounded_once():  # ours too: it starts from diffusers' rescaled betas
                again = oracle.our_run(case), oracle.their_run(case)
        except (ConfigError, ValueError, NotImplementedError, RuntimeError, IndexError):
            refused += 1
            return
        if all(np.isfinite(x).all() for x in (*pair[1].xs, *again[1].xs)):
            plain.append(oracle.run_gap(*pair))
            once.append(oracle.run_gap(*again))

    compare()
    return plain, once, refused


def row(class_name: str) -> str:
    """One line of the table."""
    plain, once, refused = (np.array(v) for v in gaps(class_name))
    over = [int((v > oracle.BOUND).sum()) for v in (plain, once)]
    return (
        f"| {class_name} | {len(plain)} | {refused} | {np.median(plain):.0e} "
        f"| {np.percentile(plain, 90, method='higher'):.0e} | {over[0]} | {over[1]} |"
    )


def main(folder: Path) -> None:
    """Measure, write."""
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    lines = [
        "# How far samplers are from diffusers",
        "",
        "Written by `python -m tests.bench.sampler_accuracy docs` against diffusers "
        f"{diffusers.__version__}, PyTorch {torch.__version__}. {DRAWS} configs drawn from all "
        "keys of each class, whole runs of up to 24 steps in float32, the same model outputs and "
        "noise. The gap is the largest difference in any row, relative to the row's largest "
        "number; it is inf where times differ by 2^-20 or more, as those of respaced sigmas can, "
        "which are read back from a table of roots and then truncated by some.",
        "",
        f"The last two columns count runs with a gap above {oracle.BOUND:.0e}: against diffusers "
        "as it is, and with PyTorch's square roots, exps and logs rounded once. PyTorch's own are "
        "a step of the last place off in every fifth, hundredth and twelfth float32, as the CPU "
        "has it, and a steep schedule or the differences of a high-order solver magnify that.",
        "",
        "| class | compared | refused | median gap | 90 % | above | above, rounded once |",
        "|---|---|---|---|---|---|---|",
    ]
    for class_name in CLASSES:
        lines.append(row(class_name))
        print(lines[-1], file=sys.stderr, flush=True)
    (folder / "sampler-accuracy.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
