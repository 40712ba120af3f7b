"""What the kit says of a vector's answer: its values, the noise of honest runs, known mistakes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from refdiff.op import Array
from refdiff.verify.bound_rules import bounding
from refdiff.verify.bounded import Bounded
from refdiff.verify.formats import FLOAT32, PROFILES
from refdiff.verify.kit.vector import Run, Vector, computed, negatives
from refdiff.verify.metrics import measure
from refdiff.verify.verdict import GATES, Noise, honest
from refdiff.verify.walks import HONEST, Walk

PRECISIONS = ("float32", "float16", "bfloat16")
NEAR = 1e-4  # relative: as far apart as float32 tables and exact ones take a sampler
BOUND = Walk("bound", Bounded.exact, lambda: bounding(FLOAT32), np.dtype(np.float64))


@dataclass(frozen=True)
class Output:
    """One output: its noise in each precision, its bound, how well the answer itself is known."""

    value: Array
    noise: Mapping[str, Noise]
    bound: float | None  # no float32 computation is off by more in any element
    uncertainty: float  # rms between two orders of summation in float64

    def told(self) -> dict[str, Any]:
        """As the manifest has it."""
        noise = {
            name: {
                "runs": len(n.runs),
                "noise": asdict(n.level),
                "floor": asdict(n.floor),
                "independent": n.independent if np.isfinite(n.independent) else None,
            }
            for name, n in self.noise.items()
        }
        bounds = None if self.bound is None else {"float32": self.bound}
        return {"noise": noise, "bound_max": bounds, "uncertainty": self.uncertainty}


@dataclass(frozen=True)
class Answer:
    """All outputs by name, and by each mistake's id its title and what comes out of it."""

    outputs: Mapping[str, Output]
    negatives: Mapping[str, tuple[str, Mapping[str, Array]]]


def answer(vector: Vector) -> Answer:
    """Run the vector in every way there is."""
    exact = {k: np.asarray(y) for k, y in computed(vector).items()}
    again = computed(vector, HONEST["float64"][0])
    others = [(run, computed(vector, run=run)) for run in vector.alternatives]
    runs = {p: honest_runs(vector, p) for p in PRECISIONS}
    bounds = computed(vector, BOUND) if vector.bounded else {}
    outputs = {}
    for name, y in exact.items():
        ways = [vector.run, *(run for run, other in others if agrees(y, np.asarray(other[name])))]
        noise = {
            p: honest([made[name] for way in ways for made in runs[p][way]], y, PROFILES[p])
            for p in PRECISIONS
        }
        uncertainty = measure(y, np.asarray(again[name])).rms
        outputs[name] = Output(y, noise, largest(bounds.get(name)), uncertainty)
    wrong = {}
    for mistake, found in negatives(vector, exact):
        kept = {n: y for n, y in found.items() if differs(y, outputs[n])}
        if kept:
            wrong[mistake.id] = (mistake.title, kept)
    return Answer(outputs, wrong)


def honest_runs(vector: Vector, precision: str) -> dict[Run, list[Mapping[str, Array]]]:
    """The outputs of the vector's run, and of each alternative, in that precision."""
    return {
        run: [computed(vector, walk, run=run) for walk in HONEST[precision]]
        for run in (vector.run, *vector.alternatives)
    }


def agrees(exact: Array, other: Array) -> bool:
    """Whether an alternative gives the same but for rounding: of tables, if of anything."""
    if exact.shape != other.shape:
        return False
    gap = measure(exact, other)
    return gap.rms <= NEAR * gap.reference_rms


def largest(bounded: Any) -> float | None:
    """The largest element of a bound; None where there is none, or a finite one."""
    if not isinstance(bounded, Bounded):
        return None
    most = float(bounded.error.max(initial=0.0))
    return most if np.isfinite(most) else None


def differs(y: Array, output: Output) -> bool:
    """Whether a mistake's outcome would not pass for rounding in float32."""
    unit = output.noise["float32"].unit.rms
    return measure(output.value, y).rms > GATES[-1] * unit
