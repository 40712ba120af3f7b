"""How PNDM begins, when there is no past to blend: which calls lead where, in which role."""

from refdiff.diffusion.samplers.timesteps import Times
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError

Call = tuple[int, int, int, str]  # t, start, s, role


def improved(t: Times, s: Times) -> list[Call]:
    """The first step, and the same step improved, if there is a second time to ask at."""
    first = (t[0], t[0], s[0], "adams-bashforth")
    if len(t) == 1:
        return [first]
    return [first, (t[1], t[1] + (t[0] - s[0]), t[1], "improve")]


def runge_kutta(t: Times, s: Times, dialect: Dialect) -> list[Call]:
    """Three steps of four stages. Where no time is the middle, diffusers' stage 1 misses stage 2's.

    Raises ConfigError for fewer than 4 steps.
    """
    if len(t) < 4:
        raise ConfigError(
            f"{len(t)} steps were asked of PNDM with Runge-Kutta, expected 4 or more, three for "
            "the start: take more steps, or set skip_prk_steps to true"
        )
    rows: list[Call] = []
    for start, s_start, end in zip(t[:3], s[:3], t[1:4], strict=True):
        half = (start - s_start) // 2
        middle = end + half
        rows += [
            (start, start, start - half if dialect == "diffusers" else middle, "stage 1"),
            (middle, start, middle, "stage 2"),
            (middle, start, end, "stage 3"),
            (end, start, end, "stage 4"),
        ]
    return rows
