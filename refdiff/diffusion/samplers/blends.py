"""How PNDM blends the slopes that it knows: one rule for each role that a row may have.

A rule takes x, the model's new output and the memory, and gives the blend to step along and the
memory that follows. All rules: x [N,C,H,W], out [N,C,H,W] -> blend [N,C,H,W], memory.
"""

from collections.abc import Callable
from typing import NamedTuple

from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError


class Memory(NamedTuple):
    """x where the step begins, the last four outputs kept, and a Runge-Kutta blend under way."""

    x: Array
    past: tuple[Array, ...] = ()
    blend: Array | None = None


# 2202.09778, eq. 12, and its lower orders for the first steps; latest output first
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def adams_bashforth(x: Array, out: Array, memory: Memory | None) -> tuple[Array, Memory]:
    """A new step from x, extrapolating from up to four outputs (2202.09778, eq. 12)."""
    past = (out, *(memory.past if memory else ()))[:4]
    weights = ADAMS_BASHFORTH[len(past) - 1]
    blend = sum((w * e for w, e in zip(weights[1:], past[1:], strict=True)), weights[0] * past[0])
    return blend, Memory(x, past)


def improve(x: Array, out: Array, memory: Memory | None) -> tuple[Array, Memory]:
    """The step before once more, with the mean of the slopes at its two ends."""
    assert memory is not None  # step sees to it
    return (out + memory.past[0]) / 2, memory


def stage_1(x: Array, out: Array, memory: Memory | None) -> tuple[Array, Memory]:
    """Runge-Kutta's first slope, at the start (2202.09778, eq. 13)."""
    past = (out, *(memory.past if memory else ()))[:4]
    return out, Memory(x, past, out / 6)


def stage_2_3(x: Array, out: Array, memory: Memory | None) -> tuple[Array, Memory]:
    """Runge-Kutta's second and third slope, at the middle (2202.09778, eq. 13)."""
    before, blend = _begun(memory)
    return out, before._replace(blend=blend + out / 3)


def stage_4(x: Array, out: Array, memory: Memory | None) -> tuple[Array, Memory]:
    """Runge-Kutta's last slope, at the end, which completes the blend (2202.09778, eq. 13)."""
    before, blend = _begun(memory)
    return blend + out / 6, before


Rule = Callable[[Array, Array, Memory | None], tuple[Array, Memory]]
ROLES: dict[str, Rule] = {
    "adams-bashforth": adams_bashforth,
    "improve": improve,
    "stage 1": stage_1,
    "stage 2": stage_2_3,
    "stage 3": stage_2_3,
    "stage 4": stage_4,
}


def _begun(memory: Memory | None) -> tuple[Memory, Array]:
    if memory is None or memory.blend is None:
        raise ConfigError(
            "a run starts in the middle of a Runge-Kutta step, which needs the stages before it: "
            'start at a row whose role is "stage 1" or "adams-bashforth"'
        )
    return memory, memory.blend
