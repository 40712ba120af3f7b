"""Which names of a run are wanted: by level, by glob, by step.

io      what goes into and out of components, and the pipeline's own values
block   also blocks, their residual blocks, attentions and resamplers, and the ends of networks
layer   also every layer
op      also every operation's result, named `layer@op`
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from refdiff.errors import ConfigError

LEVELS = ("io", "block", "layer", "op")
MOST_STEPS = 100_000  # rows of a plan; an open range ends there

_EDGE = re.compile(
    r"(steps\.\d+\.)?(unet|vae|text_encoder)?|steps\.\d+\.\w+|(inputs|output|plan)\..+"
    r"|tokens|text_states|latents|z|picture|output"
)
_BLOCK = re.compile(
    r"(.*\.)?((down_blocks|up_blocks|resnets|attentions|downsamplers|upsamplers|layers)\.\d+"
    r"|time_proj|time_embedding|conv_in|mid_block|conv_norm_out|conv_out|quant_conv"
    r"|post_quant_conv|encoder|decoder|embeddings|final_layer_norm)"
)
_STEP = re.compile(r"steps\.(\d+)\.")


@dataclass(frozen=True)
class Selection:
    """Says of a name whether it is wanted; `include` and `exclude` are globs, * goes over dots.

    A name is wanted where its level is not finer than `level`, one of `include` matches it (or
    there is none), none of `exclude` does, and its step, if it has one, is one of `steps`.
    Raises ConfigError for a level that does not exist.
    """

    level: str = "layer"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    steps: Collection[int] | None = None

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ConfigError(f"unknown level {self.level!r}: choose one of {', '.join(LEVELS)}")

    def __call__(self, name: str) -> bool:
        step = _STEP.match(name)
        return (
            LEVELS.index(level_of(name)) <= LEVELS.index(self.level)
            and (not self.include or _matches(name, self.include))
            and not _matches(name, self.exclude)
            and (step is None or self.steps is None or int(step[1]) in self.steps)
        )


def level_of(name: str) -> str:
    """The coarsest level that a name belongs to; its count (`@2`) does not matter."""
    path, *marks = name.split("@")
    if not all(mark.isdecimal() for mark in marks):
        return "op"
    if _EDGE.fullmatch(path):
        return "io"
    return "block" if _BLOCK.fullmatch(path) else "layer"


def parse_steps(text: str) -> frozenset[int]:
    """ "0:3" -> {0, 1, 2}, "0,5,24" -> {0, 5, 24}; "20:" goes on to the end.

    Raises ConfigError for anything else.
    """
    found: set[int] = set()
    for part in text.split(","):
        span = re.fullmatch(r"(\d{1,5})(:(\d{1,5})?)?", part.strip(), re.ASCII)
        if span is None:
            raise ConfigError(f"{text!r:.60} names no steps: write 0:3 for 0, 1, 2, or 0,5,24")
        first = int(span[1])
        last = first + 1 if span[2] is None else int(span[3] or MOST_STEPS)
        found.update(range(first, last))
    return frozenset(found)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
