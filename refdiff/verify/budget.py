"""What honest runs of a whole model are off by, tensor by tensor, with all that is handed down.

`refdiff trace --budget` writes this on the reference's page; then a dump can be judged where the
model is not at hand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refdiff.errors import CheckpointError
from refdiff.files import LARGEST_INDEX, read_json
from refdiff.op import Array
from refdiff.trace import Passenger
from refdiff.verify.formats import PROFILES, Profile
from refdiff.verify.metrics import Level, size_of_error
from refdiff.verify.models import run_free
from refdiff.verify.verdict import Noise
from refdiff.verify.walks import HONEST

Named = Mapping[str, Array]
KEY = "honest"  # on the page beside the trace: profile -> name -> [rms, 99.9 %, max]
FORMATS = ("float32", "float16", "bfloat16")


class Against(Passenger):
    """Measures what a run is off from the reference."""

    def __init__(self, reference: Named, profile: Profile) -> None:
        super().__init__()
        self.reference, self.profile = reference, profile
        self.levels: dict[str, Level] = {}

    def seen(self, name: str, value: Array) -> Array:
        """Measure it where the reference has it."""
        if name in self.reference and self.reference[name].shape == value.shape:
            self.levels[name] = size_of_error(self.reference[name], value)
        return value


def honest_runs(model: Any, reference: Named) -> dict[str, dict[str, list[float]]]:
    """Profile -> name -> the largest error of honest runs: rms, 99.9 % quantile, maximum."""
    told: dict[str, dict[str, list[float]]] = {}
    for name in FORMATS:
        levels: dict[str, Level] = {}
        for walk in HONEST[name]:
            against = Against(reference, PROFILES[name])
            run_free(model, reference, walk, against)
            for key, level in against.levels.items():
                levels[key] = level if key not in levels else levels[key].max(level)
        told[name] = {k: [v.rms, v.quantile, v.largest] for k, v in levels.items()}
    return told


@dataclass(frozen=True)
class Budget:
    """The honest errors on a reference's page; empty where it has none."""

    levels: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)

    @classmethod
    def beside(cls, reference: Named) -> "Budget":
        """Read from the page beside a trace's file. Raises CheckpointError for a damaged one."""
        path = getattr(reference, "path", None)
        page = None if path is None else Path(path).with_suffix(".json")
        if page is None or not page.is_file():
            return cls()
        try:
            found: Any = read_json(page, CheckpointError, LARGEST_INDEX).get(KEY, {})
            return cls({p: dict(_checked(levels)) for p, levels in found.items()})
        except (ValueError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"{page}: {KEY} is not profile -> name -> three numbers: make the trace anew"
            ) from error

    def noise(self, name: str, profile: Profile) -> Noise | None:
        """What honest runs are off by there, or None where the page does not say."""
        told = self.levels.get(profile.name, {}).get(name)
        if told is None:
            return None
        level = Level(*told)
        return Noise(level, level, profile, tuple(w.name for w in HONEST[profile.name]))


def _checked(levels: Any) -> Iterator[tuple[str, list[float]]]:
    for name, numbers in levels.items():
        if len(numbers) != 3 or not np.isfinite(numbers).all() or min(numbers) < 0:
            raise ValueError(name)
        yield name, [float(n) for n in numbers]
