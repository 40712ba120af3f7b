"""Whether the conformance kit sees every known mistake: docs/adequacy.md.

    python -m tests.bench.adequacy docs

For each mistake the vector and output that it changes most, in multiples of honest rounding.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from refdiff.verify.kit.answer import Answer, answer
from refdiff.verify.kit.catalogue import vectors
from refdiff.verify.kit.vector import known_mistakes
from refdiff.verify.metrics import measure, ratio
from refdiff.verify.mistakes.recipes import RECIPES

FLOORS = {"float32": 100.0, "float16": 10.0}  # times honest rounding
EXCUSED = {  # what cannot be seen in float16, and why
    "gelu/gelu-tanh": "the two differ by at most 5e-4, about what float16 keeps of a number near 1",
}

HEAD = """\
# What the conformance kit sees

Every mistake that refdiff knows of is made in every vector of the [conformance kit](kit.md) where
it can be made. Shown is the vector that it changes most, and by how much, as a multiple of what
honest rounding does there. Required is {float32:g} in float32 and {float16:g} in float16. Where
rounding does nothing at all (all numbers on the way are in the format), a multiple is infinite.
`python -m tests.bench.adequacy docs` writes this page.

{killed} of {count} mistakes are seen in float32, {killed16} in float16, by {vectors} vectors.
"""


class Kill(NamedTuple):
    """How plainly a mistake is seen, and in which vector in float32."""

    rho: float
    vector: str
    rho16: float


def kills(answered: Iterable[tuple[str, Answer]]) -> dict[str, Kill]:
    """The best of each mistake. answered: ids of vectors with their answers."""
    best: dict[str, Kill] = {}
    for id, found in answered:
        for mistake, (_, outputs) in found.negatives.items():
            for name, wrong in outputs.items():
                output = found.outputs[name]
                error = measure(output.value, wrong).rms
                rho, rho16 = (ratio(error, output.noise[p].unit.rms) for p in FLOORS)
                before = best.get(mistake, Kill(0, "", 0))
                shown = max((before.rho, before.vector), (rho, f"{id}.{name}"))
                best[mistake] = Kill(*shown, max(before.rho16, rho16))
    return best


def every() -> Iterator[tuple[str, Answer]]:
    """All vectors with their answers."""
    for vector in vectors():
        yield vector.id, answer(vector)


def titles() -> dict[str, str]:
    """All mistakes by id."""
    return {m.id: m.title for m in (*known_mistakes(), *RECIPES)}


def page(best: Mapping[str, Kill], count: int) -> str:
    """The page."""
    known = titles()
    found = {id: best.get(id, Kill(0, "none", 0)) for id in known}
    numbers = {
        "killed": sum(k.rho >= FLOORS["float32"] for k in found.values()),
        "killed16": sum(k.rho16 >= FLOORS["float16"] for k in found.values()),
    }
    rows = [
        f"| `{id}` | {known[id]} | `{k.vector}` | {power(k.rho)} | {power(k.rho16)} |"
        for id, k in found.items()
    ]
    head = HEAD.format(**FLOORS, **numbers, count=len(known), vectors=count)
    table = "| mistake | what is done | vector | float32 | float16 |\n|---|---|---|---|---|\n"
    why = [f"- `{id}`: {reason}." for id, reason in EXCUSED.items()]
    notes = "\nNot seen in float16:\n\n" + "\n".join(why) + "\n" if why else ""
    return head + "\n" + table + "\n".join(rows) + "\n" + notes


def power(rho: float) -> str:
    """One digit: the rest depends on the machine."""
    return (
        "infinite" if rho == float("inf") else f"{rho:.0e}".replace("e+0", "e").replace("e+", "e")
    )


if __name__ == "__main__":
    answered = list(every())
    text = page(kills(answered), len(answered))
    Path(sys.argv[1], "adequacy.md").write_text(text)
