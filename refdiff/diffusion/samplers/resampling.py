"""RePaint's walk down the steps and up again, and what a climb does to x (2201.09865)."""

import numpy as np

from refdiff.diffusion.samplers.timesteps import Times
from refdiff.diffusion.schedule import MAX_STEPS, NoiseSchedule
from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError


def walk(steps: int, jump: int, repeats: int) -> Times:
    """Which of the steps, from steps - 1 down to 0, each call is: -> [calls]

    Stretches of `jump` steps are gone `repeats` times, but for the topmost, which is gone once.
    Raises ConfigError for walks beyond all measure.
    """
    starts = np.arange(0, steps - jump, jump)[::-1]
    if (calls := steps + len(starts) * jump * (repeats - 1)) > MAX_STEPS:
        raise ConfigError(
            f"the walk has {calls} calls of the model, expected at most {MAX_STEPS}: "
            "take fewer steps or a smaller jump_n_sample"
        )
    stretch = np.tile(np.arange(jump)[::-1], repeats)
    above = np.arange(len(starts) * jump, steps)[::-1]
    return np.concatenate([above, (starts[:, None] + stretch).ravel()])


def climbs(schedule: NoiseSchedule, t: Times, s: Times, k: int) -> dict[str, Array]:
    """sqrt(r) and sqrt(1 - r) of the climb after each row, 1 and 0 where the next is lower.

    r = alpha_bar_up / alpha_bar_s, with the next row's t for up. diffusers goes k - 1 training
    steps too far, from t - 1 to up + k - 1. t, s [rows], steps of k -> [rows] each
    """
    with np.errstate(divide="ignore"):  # a last beta of 1 is never climbed by
        log_alpha_bar = np.append(np.cumsum(np.log1p(-schedule.betas)), 0.0)  # -1 is the data
    up = np.append(t[1:], -1)
    late = k - 1 if schedule.dialect == "diffusers" else 0
    low, high = (np.where(v < 0, -1, v + late) for v in (s, up))
    log_r = np.where(up >= t, log_alpha_bar[high] - log_alpha_bar[low], 0.0)
    return {"of_xs": np.exp(log_r / 2), "climb_std": np.sqrt(-np.expm1(log_r))}
