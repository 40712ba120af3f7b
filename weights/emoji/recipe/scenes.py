"""Scenes: what a picture shows, drawn at random, and the captions that say it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .subjects import COLOURS, HATS, PLURALS, SIZES, SUBJECTS, held_out

# The subjects a reader will try first, and those a first training run drew worst, come more often.
FREQUENT = {
    **dict.fromkeys(["frog", "cat", "dog", "penguin", "red apple"], 1.5),
    **dict.fromkeys(["whale", "pizza", "rocket", "pumpkin", "giraffe"], 1.3),
}
WEIGHTS = [FREQUENT.get(subject, 1.0) for subject in SUBJECTS]
FILLERS = ["cute", "happy", "funny", "lovely", "nice"]
OPENINGS = ["a picture of ", "a photo of ", "a drawing of ", "an emoji of "]
SIZE_WORDS = {"tiny": ["tiny", "small", "little"], "big": ["big", "large", "giant"]}
BACKGROUNDS = [
    " on {a} background",
    " on {a} background",
    " on {c}",
    ", {c} background",
    " with {a} background",
]


@dataclass(frozen=True)
class Scene:
    """One or two subjects and what is done to them; `size` applies to a single subject only."""

    subjects: tuple[str, ...]
    stilts: bool = False
    hat: str | None = None
    size: str | None = None
    background: str = "white"

    @property
    def twins(self) -> bool:
        return len(self.subjects) == 2 and self.subjects[0] == self.subjects[1]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """All (subject, modifier) pairs that the picture shows."""
        stilts = "stilts" if self.stilts else None
        modifiers = [stilts, self.hat, self.size, f"bg:{self.background}"]
        return {(s, m) for s in self.subjects for m in modifiers if m}

    @property
    def held_out(self) -> bool:
        return any(held_out(*pair) for pair in self.pairs)


def _draw(rng: Random) -> Scene:
    one, other = rng.choices(SUBJECTS, WEIGHTS, k=2)
    colour = "white" if rng.random() < 0.42 else rng.choice(list(COLOURS)[1:])
    hat, size = rng.choice(HATS), rng.choice(SIZES)
    kinds: list[tuple[float, Scene]] = [
        (0.28, Scene((one,), background=colour)),
        (0.13, Scene((one, one), background=colour)),
        (0.14, Scene((one, other), background=colour)),
        (0.11, Scene((one,), stilts=True, background=colour)),
        (0.06, Scene((one, one), stilts=True, background=colour)),
        (0.13, Scene((one,), hat=hat, background=colour)),
        (0.03, Scene((one, one), hat=hat, background=colour)),
        (0.02, Scene((one,), stilts=True, hat=hat, background=colour)),
        (0.10, Scene((one,), size=size, background=colour)),
    ]
    return rng.choices([scene for _, scene in kinds], [weight for weight, _ in kinds])[0]


def random_scene(rng: Random, *, held: bool | None = False) -> Scene:
    """A scene that shows no held-out pair (False: training), at least one (True), or any (None)."""
    while True:
        scene = _draw(rng)
        if held is None or scene.held_out == held:
            return scene


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def caption(scene: Scene, rng: Random | None = None) -> str:
    """The scene in words; one of many wordings drawn from rng, the plainest one without."""
    text = _pair(scene, rng) if len(scene.subjects) == 2 else _single(scene, rng)
    if scene.background != "white" or _chance(rng, 0.1):
        colour = scene.background
        text += _pick(rng, BACKGROUNDS).format(a=article(colour), c=colour)
    return _pick(rng, OPENINGS) + text if _chance(rng, 0.2) else text


def _single(scene: Scene, rng: Random | None) -> str:
    size = [_pick(rng, SIZE_WORDS[scene.size])] if scene.size else []
    noun = " ".join([*size, *_filler(rng), scene.subjects[0]])
    text = noun if _chance(rng, 0.12) else article(noun)
    if scene.stilts:
        text += " on stilts"
    if scene.hat:
        text += _pick(rng, [" wearing a ", " in a ", " with a "]) + scene.hat
    return text


def _pair(scene: Scene, rng: Random | None) -> str:
    one, other = scene.subjects
    if not scene.twins:
        link = _pick(rng, [" and ", " and ", " next to "])
        return article(" ".join([*_filler(rng), one])) + link + article(other)
    count = _pick(rng, ["two ", "two ", "a pair of ", ""])
    text = count + " ".join([*_filler(rng), PLURALS[one]])
    if scene.stilts:
        text += " on stilts"
    if scene.hat:
        text += _pick(rng, [" wearing ", " in ", " with "]) + scene.hat + "s"
    return text


def _chance(rng: Random | None, probability: float) -> bool:
    return rng is not None and rng.random() < probability


def _pick(rng: Random | None, options: list[str]) -> str:
    return options[0] if rng is None else rng.choice(options)


def _filler(rng: Random | None) -> list[str]:
    return [_pick(rng, FILLERS)] if _chance(rng, 0.05) else []
