"""What LCM and TCD share: keys, and times, which are some of those that a solver took."""

import numpy as np

from refdiff.diffusion.samplers.keys import (
    CLIP,
    EPS_X0_V,
    LEADING,
    THRESHOLD,
    ZERO_SNR,
    flag,
    integer,
    number,
    schedule_keys,
)
from refdiff.diffusion.samplers.timesteps import Times, check_steps, listed
from refdiff.diffusion.schedule import MAX_STEPS, NoiseSchedule
from refdiff.errors import ConfigError

# of LCM and TCD, whose times are neither spaced nor offset; TCD corrects no x0 and scales no times
DISTILLED = {
    **schedule_keys(0.00085, 0.012, "scaled_linear"),
    **ZERO_SNR,
    **EPS_X0_V,
    **CLIP,
    "clip_sample": flag(False),
    **THRESHOLD,
    **LEADING,
    "set_alpha_to_one": flag(True),
    "original_inference_steps": integer(50, 1, MAX_STEPS),
    "timestep_scaling": number(10.0, 0, 1e6),
}
STRENGTH = {"strength": number(1.0, 0, 1)}


def distilled(
    schedule: NoiseSchedule, steps: int, original: int, strength: float, times: tuple[int, ...] = ()
) -> Times:
    """Of k - 1, 2k - 1, ..., original * k - 1 with k = T // original, so many, falling: -> [steps]

    The last k below T or, with strength < 1, below that share of T, in equal strides of the list.
    Or the times that are given instead, with no strength.
    Raises ConfigError where the list is shorter than the steps, or the schedule than the list.
    """
    T = len(schedule)
    check_steps(steps, T)
    if times:
        if strength != 1:
            raise ConfigError(
                f"timesteps were given and a strength of {strength}, expected one of the two: "
                "leave the first times out instead"
            )
        return listed(times, steps, T).astype(np.int64)
    if original > T:
        raise ConfigError(
            f"original_inference_steps is {original}, expected at most num_train_timesteps, {T}: "
            "make it smaller"
        )
    solvers = np.arange(int(original * strength), 0, -1) * (T // original) - 1
    if steps > len(solvers):
        raise ConfigError(
            f"{steps} steps were asked of a model distilled from {len(solvers)}, expected no more: "
            "take fewer steps"
        )
    return solvers[np.floor(np.linspace(0, len(solvers), steps, endpoint=False)).astype(np.int64)]
