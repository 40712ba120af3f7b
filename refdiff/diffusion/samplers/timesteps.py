"""Which of the T training times the model is asked at: the spacings.

leading, trailing, linspace (2305.08891, table 2) are diffusers'. quad is of the original DDIM
(2010.02502, appendix D.2), simple and sgm_uniform of ComfyUI; sections.py has guided-diffusion's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.sections import is_section_spacing, kept
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError


class Listed(NamedTuple):
    """Times that are given one by one, instead of a spacing's."""

    times: tuple[int, ...]
    instead_of: str


Spacing = str | Listed
DIFFUSERS_SPACINGS = ("leading", "trailing", "linspace")
SPACINGS = (*DIFFUSERS_SPACINGS, "quad", "sgm_uniform", "simple")
Times = NDArray[np.int64]


def spaced(
    schedule: NoiseSchedule, steps: int, spacing: Spacing, offset: int
) -> NDArray[np.float64]:
    """Times in falling order: -> [steps] float64

    leading:  (steps-1)k + offset, ..., k + offset, offset, with k = T // steps
    trailing: T - 1, T - 1 - T/steps, ..., rounded
    linspace: from T - 1 to 0 in equal steps, not rounded
    quad:     from 0.8 T to 0 in equal steps of the root, truncated: early times may come twice
    sgm_uniform: as linspace with one step more, without the last
    simple:   T - 1, T - 1 - T/steps, ..., rounded up
    Times that are given instead of a spacing's name are taken as they are.
    Only leading heeds the offset.
    Raises ConfigError unless steps is an integer from 1 to T, and for times as `listed`.
    """
    check_steps(steps, len(schedule))
    return spread(schedule, steps, spacing, offset, len(schedule))


def check_steps(steps: int, T: int) -> None:
    """Raise ConfigError unless steps is an integer from 1 to T."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= T:
        raise ConfigError(
            f"{steps!r} steps were asked for, expected an integer from 1 to {T}, the length of "
            "the noise schedule: choose such a number"
        )


def spread(
    schedule: NoiseSchedule, steps: int, spacing: Spacing, offset: int, top: int
) -> NDArray[np.float64]:
    """As `spaced`, unchecked, and over the schedule's times below `top` only: -> [steps]

    diffusers' trailing times keep T/steps apart, and are fewer below a lower top.
    """
    if isinstance(spacing, Listed):
        return listed(spacing.times, steps, len(schedule))
    T = len(schedule)
    match spacing:
        case "leading":
            return np.arange(steps, dtype=np.float64)[::-1] * (top // steps) + offset
        case "trailing" if schedule.dialect == "diffusers":
            # the end point 0 slips in by rounding for some counts, 61 of 1000 say, as t = -1
            return np.round(np.arange(top, 0, -T / steps)) - 1
        case "trailing":
            return np.round(top - np.arange(steps) * (top / steps)) - 1
        case "linspace":
            return np.linspace(0, top - 1, steps)[::-1]
        case "quad":
            return np.trunc(np.linspace(0, np.sqrt(top * 0.8), steps)[::-1] ** 2)
        case "sgm_uniform":
            return np.linspace(top - 1, 0, steps + 1)[:-1]
        case "simple":
            return top - 1 - np.trunc(np.arange(steps) * (top / steps))
    if is_section_spacing(spacing):
        return kept(spacing, steps, top)
    raise ConfigError(
        f"timestep_spacing is {spacing!r}, expected one of {list(SPACINGS)}: choose one"
    )


def listed(times: tuple[int, ...], steps: int, T: int) -> NDArray[np.float64]:
    """Times that were given one by one, falling: -> [steps]

    Raises ConfigError where they are no `steps` times below T.
    """
    if len(times) != steps or times[0] >= T:
        raise ConfigError(
            f"timesteps are {len(times)} times from {times[0]} down and {steps} steps were asked "
            f"for, expected as many, below {T}: ask for {len(times)} steps, or leave them out"
        )
    return np.array(times, np.float64)


def whole(times: NDArray[np.float64], schedule: NoiseSchedule) -> NDArray[np.int64]:
    """Times rounded to rows of the schedule's tables: -> [len(times)] int64

    Raises ConfigError where a time lies beyond the schedule.
    """
    t = np.round(times).astype(np.int64)
    if t[0] >= len(schedule):
        raise ConfigError(
            f"the first timestep is {t[0]}, beyond the schedule's last, {len(schedule) - 1}: "
            "use fewer steps or a smaller steps_offset"
        )
    return t
