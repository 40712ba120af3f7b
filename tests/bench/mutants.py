"""Whether compare names what is wrong: docs/mutants.md.

    python -m tests.bench.mutants docs [NAME...]

Each mutant is a copy of a diffusers or transformers model with one mistake planted on the torch
side, run by PyTorch in float32 and dumped by refdiff.record; refdiff sees nothing but the dump and
the checkpoint. Pairs are two mutants of one model at once.
"""

import copy
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import diffusers
import numpy as np
import torch

from refdiff.verify.compare import compare
from refdiff.verify.report import Report
from tests.verify.mutants import MUTANTS, Mutant
from tests.verify.tiny import Tiny, tiny

PAIRS = 40


class Trial(NamedTuple):
    """What was planted and what was found."""

    mutants: tuple[Mutant, ...]
    guilty: tuple[str, ...]
    report: Report

    def located(self, path: str) -> bool:
        """Whether a guilty layer is named: itself or one inside, or next after its own work."""
        return any(belongs(d.name, path) for d in self.report.diagnosed) or any(
            belongs(t.name, path) for t in self.report.tensors if t.state >= 2
        )

    def named(self, mutant: Mutant) -> bool:
        """Whether the best explanation somewhere is the mistake."""
        tops = [d.explanations[0] for d in self.report.diagnosed if d.explanations]
        return any(e.explains and set(e.id.split(" + ")) & set(mutant.ids) for e in tops)


def belongs(name: str, path: str) -> bool:
    """Whether a name is the layer, or a layer or a value inside it.

    transformers 5 names the text encoder's layers without the prefix that checkpoints have.
    """
    bare = name.split("@")[0].removeprefix("text_model.")
    return bare == path or bare.startswith(f"{path}.")


def trial(model: Tiny, mutants: Sequence[Mutant], rng: np.random.Generator) -> Trial:
    """Plant, run, compare."""
    wrong = copy.deepcopy(model.torch)
    guilty = tuple(mutant.plant(wrong, rng) for mutant in mutants)
    report = compare(model.reference(), model.candidate(wrong), model.ours)
    return Trial(tuple(mutants), guilty, report)


@cache
def models() -> dict[str, Tiny]:
    """One model of each kind; drawn once."""
    return {
        kind: tiny(kind, seed) for seed, kind in enumerate(("unet", "decoder", "encoder", "text"))
    }


def singles(names: Sequence[str]) -> Iterator[Trial]:
    """A trial for each mutant."""
    made = models()
    for i, mutant in enumerate(MUTANTS):
        if not names or mutant.name in names:
            yield trial(made[mutant.model], [mutant], np.random.default_rng([i, 1]))


def pairs(count: int) -> Iterator[Trial]:
    """Two mutants of the U-Net at once, drawn at random."""
    model, rng = models()["unet"], np.random.default_rng(7)
    own = [m for m in MUTANTS if m.model == "unet"]
    while count:
        both = [own[i] for i in rng.choice(len(own), 2, replace=False)]
        made = trial(model, both, rng)
        if len(set(made.guilty)) == 2:
            count -= 1
            yield made


def row(t: Trial) -> str:
    """One line of the table."""
    first, top = t.report.first, t.report.diagnosis
    told = f"{top[0].id}: {top[0].rho_before:.3g} -> {top[0].rho_after:.3g}" if top else "none"
    marks = [
        "yes" if all(map(t.located, t.guilty)) else "no",
        "yes" if all(map(t.named, t.mutants)) else "no",
    ]
    names = " and ".join(m.name for m in t.mutants)
    return f"| {names} | {' and '.join(t.guilty)} | {first.name if first else '-'} | {told} | " + (
        " | ".join(marks) + " |"
    )


def main(folder: Path, names: Sequence[str]) -> None:
    """Run all, write the page."""
    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    lines = {"singles": [], "pairs": []}
    counts = {}
    for kind, trials in (("singles", singles(names)), ("pairs", () if names else pairs(PAIRS))):
        done = []
        for t in trials:
            done.append(t)
            lines[kind].append(row(t))
            print(lines[kind][-1], file=sys.stderr, flush=True)
        where = sum(all(map(t.located, t.guilty)) for t in done)
        what = sum(all(map(t.named, t.mutants)) for t in done)
        counts[kind] = (len(done), where, what)
        print(kind, counts[kind], file=sys.stderr)
    if not names:
        (folder / "mutants.md").write_text(page(counts, lines))


HEAD = "| planted | in | first divergence | best explanation | layer named | mistake named |"


def page(counts: dict[str, tuple[int, int, int]], lines: dict[str, list[str]]) -> str:
    """The page."""
    (n, where, what), (m, both, named) = counts["singles"], counts["pairs"]
    text = [
        "# Planted mistakes, and what compare says of them",
        "",
        "Written by `python -m tests.bench.mutants docs`. Each line is a copy of a small diffusers "
        "or transformers model with a mistake planted on the torch side, run by PyTorch in float32 "
        "and dumped by `refdiff.record`. refdiff sees the dump and the weights.",
        "",
        f"One mistake: the layer is named in {where} of {n}, the mistake in {what}. Two mistakes: "
        f"both layers are named in {both} of {m}, both mistakes in {named}.",
        "",
        "## One mistake",
        "",
        HEAD,
        "|---|---|---|---|---|---|",
        *lines["singles"],
        "",
        "## Two mistakes",
        "",
        HEAD,
        "|---|---|---|---|---|---|",
        *lines["pairs"],
        "",
    ]
    return "\n".join(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
