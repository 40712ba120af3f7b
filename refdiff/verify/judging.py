"""Each layer's own error, held against honest rounding from the same inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import numpy as np

from refdiff.op import Array
from refdiff.verify.bound_rules import bounding
from refdiff.verify.bounded import Bounded, Excess
from refdiff.verify.diagnose import Explanation, Scene
from refdiff.verify.formats import FLOAT32, Profile
from refdiff.verify.metrics import measure
from refdiff.verify.replay import Replay, Site
from refdiff.verify.verdict import Noise, State, Verdict, honest, judge
from refdiff.verify.walks import HONEST, Walk

SCENES = 1 << 28  # bytes of guilty arrays that are kept for a diagnosis
SMALL = 1 << 20  # bytes of a tensor for which mistakes are tried where rounding could do it
SUSPICIOUS = 2.0  # times careful rounding, from which mistakes are tried


class Guilty(Protocol):
    """What is not explained by rounding: what it should be, what it is, and ways to find out."""

    @property
    def exact(self) -> Array: ...

    @property
    def given(self) -> Array: ...

    def honest(self) -> Array:
        """What an honest run gives."""

    def diagnose(self, most: int = 5) -> list[Explanation]:
        """Which mistakes explain it, the best first."""

    def again(self, explanation: Explanation) -> bool:
        """Whether what was found elsewhere explains this, too."""


@dataclass(frozen=True)
class Finding:
    """What a layer gave, judged; where rounding does not explain it, the scene of the mistake."""

    name: str
    verdict: Verdict
    scene: Guilty | None = None


Told = Callable[[Finding], None]


class Judge:
    """Examines the sites of a replay, and tells of every layer in the order of computation."""

    def __init__(self, told: Told, profile: Profile = FLOAT32) -> None:
        self.told, self.profile = told, profile
        self._kept = 0

    def __call__(self, replay: Replay, site: Site, exact: Mapping[str, Array]) -> None:
        """Judge what a site's layers gave: by careful rounding, and where that is not enough by
        hasty rounding, which is run when it is first asked for."""
        walks = HONEST[self.profile.name]
        if replay.is_large(site) and any(walk.kernels for walk in walks):
            walks = tuple(walk for walk in walks if walk.kernels)
        targets = None if len(exact) > 1 else [*exact]

        @cache
        def runs(hasty: bool) -> list[tuple[str, dict[str, Array]]]:
            chosen = [walk for walk in walks if walk.hasty == hasty]
            return [(walk.name, replay.run(site, walk, targets)) for walk in chosen]

        def noise(name: str, hasty: bool) -> Noise:
            made = [run[name] for _, run in runs(hasty)]
            return honest(made, exact[name], self.profile, [label for label, _ in runs(hasty)])

        for name, y in exact.items():
            care = noise(name, hasty=False)
            verdict = judge(measure(y, replay.values[name]), care)
            if verdict.state > State.EXPLAINED:
                verdict = judge(verdict.metrics, care.joined(noise(name, hasty=True)))
            elif verdict.metrics.rms <= SUSPICIOUS * care.unit.rms:
                self.told(Finding(name, verdict))
                continue
            self.told(self._doubted(replay, site, y, verdict, care, name))

    def _doubted(
        self, replay: Replay, site: Site, exact: Array, verdict: Verdict, care: Noise, name: str
    ) -> Finding:
        """What careful rounding does not explain well, held against bounds and mistakes.

        A small mistake may hide below what hasty implementations round. If it leaves no more than
        careful rounding does, it is the better explanation. In large layers this is not tried.
        """
        wrong = verdict.state >= State.UNEXPLAINED
        if not wrong and exact.nbytes > SMALL:
            return Finding(name, verdict)
        given = np.asarray(replay.values[name])
        near, walk = replay.narrowed(site, name), HONEST[self.profile.name][0]
        if wrong:
            excess = beyond(replay, near, name, given, self.profile)
            verdict = judge(verdict.metrics, verdict.noise, excess)
        if self._kept and self._kept + 2 * exact.nbytes > SCENES:
            return Finding(name, verdict)
        unit = (verdict.noise if wrong else care).unit.rms
        scene = Scene(replay, near, name, exact, given.astype(np.float64), unit, walk)
        if not wrong:
            known = scene.known()
            if known is None:
                return Finding(name, verdict)
            made = judge(verdict.metrics, care)
            verdict = replace(made, state=State.UNEXPLAINED, known=known.id)
        self._kept += 2 * exact.nbytes
        return Finding(name, verdict, scene)

    def tapped(self, name: str, exact: Array, given: Array) -> None:
        """Judge what is handed on outside of layers, where nothing is rounded but to be stored."""
        noise = honest((), exact, self.profile)
        self.told(Finding(name, judge(measure(exact, given), noise)))


def _bounded(x: Array) -> Any:
    """As an exact value; times, [] or [N], are numbers that no op rounds."""
    return Bounded.exact(x) if x.ndim > 1 else x


def beyond(replay: Replay, site: Site, name: str, given: Array, profile: Profile) -> Excess | None:
    """How many elements lie beyond what any rounding of the profile can do."""
    walk = Walk("bound", _bounded, lambda: bounding(profile), np.dtype(np.float64))
    bounded = replay.run(site, walk, (name,)).get(name)
    return bounded.excess(given) if isinstance(bounded, Bounded) else None
