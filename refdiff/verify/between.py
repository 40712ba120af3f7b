"""The values between a pipeline's networks, judged and diagnosed as layers are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from refdiff.op import Array
from refdiff.pipeline import Pipeline
from refdiff.verify.diagnose import GATE, REFUSALS, Explanation, ranked, rms
from refdiff.verify.formats import Profile
from refdiff.verify.judging import Finding
from refdiff.verify.metrics import measure
from refdiff.verify.mistakes.recipes import RECIPES
from refdiff.verify.models import Told, settings_of
from refdiff.verify.recipe import NOISE, Recipe, values
from refdiff.verify.shapes import fits
from refdiff.verify.verdict import State, honest, judge
from refdiff.verify.walks import EXACT, HONEST, Walk

Named = Mapping[str, Array]


@dataclass(frozen=True)
class Between:
    """A value that rounding does not explain, and the recipe that it should follow."""

    name: str
    exact: Array
    given: Array
    noise: float
    recipe: Recipe
    told: Named
    walk: Walk

    def honest(self) -> Array:
        """What an honest run gives."""
        return dict(values(self.recipe, Lifted(self.told, self.walk)))[self.name]

    def diagnose(self, most: int = 5) -> list[Explanation]:
        """Which wrong recipe explains it, the best first."""
        tried = []
        for wrong in RECIPES:
            y = self._made(wrong.change)
            if y is not None:
                tried.append((wrong.id, wrong.title, y))
        tried += [(fit.id, fit.title, fit.y) for fit in fits(self.exact, self.given)]
        return ranked(self.name, self.exact, self.given, self.noise, tried)[:most]

    def again(self, explanation: Explanation) -> bool:
        """Whether what was found elsewhere explains this, too."""
        changes = [wrong.change for wrong in RECIPES if wrong.id == explanation.id]
        made = [y for change in changes if (y := self._made(change)) is not None]
        same = [f.y for f in fits(self.exact, self.given) if f.title == explanation.title]
        return any(rms(self.given - y) <= GATE * self.noise for y in made + same)

    def _made(self, change: Callable[[Recipe], Recipe]) -> Array | None:
        try:
            with np.errstate(all="ignore"):
                made = dict(values(change(self.recipe), self.told))
        except REFUSALS:
            return None
        y = made.get(self.name)
        if y is None or y.shape != self.given.shape or not np.isfinite(y).all():
            return None
        return None if np.array_equal(y, self.exact) else y


class Lifted(dict[str, Array]):
    """Named arrays as a walk computes with them."""

    def __init__(self, arrays: Named, walk: Walk) -> None:
        super().__init__({name: walk.of(np.asarray(x)) for name, x in arrays.items()})


def judge_between(
    pipe: Pipeline,
    reference: Named,
    candidate: Named,
    profile: Profile,
    told: Callable[[Finding], None],
) -> None:
    """Tell of every value between the networks that the candidate gives."""
    if "latents" not in reference:
        return
    recipe, told_first = Recipe.of(pipe, settings_of(reference)), Told(candidate, reference)
    known = {name: told_first[name] for name in reference if is_between(name)}
    known[NOISE] = reference["latents"] / recipe.init_noise_sigma()
    exact = Lifted(known, EXACT)
    walks = HONEST[profile.name]
    runs = [dict(values(recipe, Lifted(known, walk))) for walk in walks]
    for name, y in values(recipe, exact):
        if name not in candidate or candidate[name].shape != y.shape:
            continue
        given = np.asarray(candidate[name], np.float64)
        noise = honest([run[name] for run in runs], y, profile, [walk.name for walk in walks])
        verdict = judge(measure(y, given), noise)
        scene = None
        if verdict.state >= State.UNEXPLAINED:
            scene = Between(name, y, given, noise.unit.rms, recipe, exact, walks[0])
        told(Finding(name, verdict, scene))


def is_between(name: str) -> bool:
    """Whether it is a value of the pipeline's own, or what a network gave it."""
    if name in ("latents", "z"):
        return True
    parts = name.split(".")
    return len(parts) == 3 and parts[0] == "steps"
