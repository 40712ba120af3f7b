"""Small steps that the samplers share: reading alpha_bar, adding the row's noise."""

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.timesteps import DIFFUSERS_SPACINGS, Spacing
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Scale
from refdiff.errors import ConfigError, ShapeError


def alpha_bar_at(
    schedule: NoiseSchedule, t: NDArray[np.int64], final: float | None = None
) -> Array:
    """alpha_bar in the dialect's precision, and `final` where t < 0: t [rows] -> [rows]

    Without `final` a negative t counts from the schedule's end.
    """
    table = schedule.alpha_bar
    return table[t] if final is None else np.where(t < 0, table.dtype.type(final), table[t])


def following(
    schedule: NoiseSchedule, t: NDArray[np.int64], steps: int, spacing: Spacing = "leading"
) -> NDArray[np.int64]:
    """The time that each time is stepped to: t [rows] -> [rows], negative for the clean data

    On paper the next entry of the list. diffusers' DDIM and PNDM go T // steps down instead,
    which is another time with linspace, and with trailing where steps does not divide T.
    Spacings that are not its own it cannot be followed in.
    """
    if schedule.dialect == "diffusers" and spacing in DIFFUSERS_SPACINGS:
        return t - len(schedule) // steps
    return np.append(t[1:], -1)


def refuse_undefined(prediction: str, alpha_bar: Array) -> None:
    """Raise ConfigError if the model says what x alone tells nothing more from.

    eps where x is pure noise says nothing of the data, nor do the data where x is they of eps.
    """
    if prediction == "epsilon" and np.any(alpha_bar == 0):
        raise ConfigError(
            "the plan starts at zero terminal SNR, where epsilon says nothing of the picture: "
            "set prediction_type to v_prediction, or rescale_betas_zero_snr to false"
        )
    if prediction == "sample" and np.any(alpha_bar == 1):
        raise ConfigError(
            "the plan starts at the clean picture, where a predicted sample says nothing of the "
            "noise: set set_alpha_to_one to false"
        )


def with_noise(mean: Array, std: Scale, noise: Array | None) -> Array:
    """mean + std * noise; noise is not looked at where std is 0.

    mean [N,C,H,W], std a number or [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
    """
    if np.all(std == 0):
        return mean
    return mean + std * given_noise(noise, mean.shape)


def given_noise(noise: Array | None, shape: tuple[int, ...]) -> Array:
    """The noise, if there is some of that shape. Raises ShapeError if not."""
    if noise is None or noise.shape != shape:
        found = "no noise" if noise is None else f"noise of shape {list(noise.shape)}"
        raise ShapeError(
            f"{found} was given to a step that adds some, expected shape {list(shape)}: "
            "draw noise for every row where needs_noise is true"
        )
    return noise
