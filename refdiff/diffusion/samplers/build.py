"""From checked values of a config to the parts that samplers are built of."""

from functools import partial
from typing import Any

from refdiff.diffusion.samplers.correction import Clip, Correction, DynamicThreshold, keep
from refdiff.diffusion.samplers.keys import Values
from refdiff.diffusion.samplers.respacing import FLAGS, POWERS, RESPACINGS, Respacing
from refdiff.diffusion.samplers.timesteps import Listed, Spacing
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError


def schedule_of(c: Values, dialect: Dialect) -> NoiseSchedule:
    """The noise schedule, rescaled to zero terminal SNR where that is asked for."""
    T, ends = c["num_train_timesteps"], (c["beta_start"], c["beta_end"])
    if (betas := c["trained_betas"]) is not None:
        if len(betas) != T:
            raise ConfigError(
                f"trained_betas has {len(betas)} entries, expected num_train_timesteps, {T}: "
                "make the two agree"
            )
        schedule = NoiseSchedule.from_betas(betas, dialect=dialect)
    else:
        match c["beta_schedule"]:
            case "linear":
                schedule = NoiseSchedule.linear(T, *ends, dialect=dialect)
            case "scaled_linear":
                schedule = NoiseSchedule.scaled_linear(T, *ends, dialect=dialect)
            case "sigmoid":
                schedule = NoiseSchedule.sigmoid(T, *ends, dialect=dialect)
            case "laplace":
                schedule = NoiseSchedule.laplace(T, dialect=dialect)
            case "exp":
                schedule = NoiseSchedule.exponential(T, dialect=dialect)
            case _:
                schedule = NoiseSchedule.cosine(T, dialect=dialect)
    return schedule.rescale_zero_terminal_snr() if c.get("rescale_betas_zero_snr") else schedule


def correction_of(c: Values) -> Correction:
    """What is done to x0: thresholding goes before clipping, as in diffusers."""
    if c.get("thresholding"):
        return DynamicThreshold(c["dynamic_thresholding_ratio"], c["sample_max_value"])
    return Clip(c["clip_sample_range"]) if c.get("clip_sample") else keep


def respacing_of(c: Values) -> Respacing | None:
    """How sigma is spaced by itself, by the one flag or option that is set.

    Raises ConfigError for two, and for a rho of what has none.
    """
    chosen = {key: respacing for key, respacing in FLAGS.items() if c.get(key)}
    if chosen:
        refuse_times(c, next(iter(chosen)))
    name, rho = c.get("sigmas"), c.get("rho")
    if name is not None:
        chosen["sigmas"] = RESPACINGS[name]
    if len(chosen) > 1:
        raise ConfigError(
            f"{' and '.join(chosen)} are all set, each a spacing of sigma, expected one at most: "
            "leave the others out, or set them to false"
        )
    if name is not None and rho is not None:
        if name not in POWERS:
            raise ConfigError(
                f"rho is {rho!r} with sigmas={name!r}, expected sigmas that have one, of "
                f"{list(POWERS)}: choose one of these or leave rho out"
            )
        return partial(POWERS[name], rho=rho)
    return next(iter(chosen.values()), None)


def final_alpha_bar(c: Values, schedule: NoiseSchedule) -> float:
    """alpha_bar where the plan ends: the data's own, or the schedule's first."""
    return 1.0 if c["set_alpha_to_one"] else float(schedule.alphas_cumprod[0])


def refuse_times(c: Values, other: str) -> None:
    """Raise ConfigError if times are given beside what leads to times of its own."""
    if c.get("timesteps") is not None:
        raise ConfigError(
            f"timesteps were given and {other} is set, which leads to times of its own, expected "
            "one of the two: leave one out"
        )


def spacing_of(c: Values) -> Spacing:
    """The times that are given, or the spacing that the option or else the config names.

    Raises ConfigError for times and an option at once.
    """
    if (times := c.get("timesteps")) is None:
        return str(c.get("spacing") or c["timestep_spacing"])
    for key in ("spacing", "sigmas"):
        if c.get(key) is not None:
            raise ConfigError(
                f"timesteps and {key} were both given, expected one of them: leave the other out"
            )
    return Listed(tuple(times), c["timestep_spacing"])


def common(c: Values, dialect: Dialect) -> dict[str, Any]:
    """Schedule, prediction, spacing and offset: what nearly every sampler has."""
    return {
        "schedule": schedule_of(c, dialect),
        "prediction": c["prediction_type"],
        "spacing": spacing_of(c),
        "offset": c["steps_offset"],
    }
