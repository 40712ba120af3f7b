"""The times of models distilled from a solver's steps: some of the times that the solver took."""

import numpy as np

from refdiff.diffusion.samplers.timesteps import Times, check_steps
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError


def distilled(schedule: NoiseSchedule, steps: int, original: int, strength: float) -> Times:
    """Of k - 1, 2k - 1, ..., original * k - 1 with k = T // original, so many, falling: -> [steps]

    The last k below T or, with strength < 1, below that share of T, in equal strides of the list.
    Raises ConfigError where the list is shorter than the steps, or the schedule than the list.
    """
    T = len(schedule)
    check_steps(steps, len(schedule))
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
