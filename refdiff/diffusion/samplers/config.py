"""scheduler_config.json, translated once into a sampler, or refused loudly.

The tables in keys.py are the statement of scope: any other key, and any other value, is a
ConfigError that names key, value and class.
"""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from refdiff.diffusion.samplers.correction import Clip, Correction, DynamicThreshold, keep
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddpm import Ddpm
from refdiff.diffusion.samplers.euler import Euler
from refdiff.diffusion.samplers.euler_ancestral import EulerAncestral
from refdiff.diffusion.samplers.keys import IGNORED, NEUTRAL, READ
from refdiff.diffusion.samplers.plan import Sampler
from refdiff.diffusion.samplers.pndm import Pndm
from refdiff.diffusion.samplers.sigmas import exponential, karras
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError

AnySampler = Sampler[Any]
Values = Mapping[str, Any]


NAMES = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
}


def names() -> tuple[str, ...]:
    """The samplers' short names, as the command line takes them."""
    return tuple(NAMES)


def from_config(config: Mapping[str, Any], dialect: Dialect = "diffusers") -> AnySampler:
    """The sampler that a scheduler_config.json describes, by its `_class_name`.

    Raises ConfigError for a class, a key or a value that is unknown or unsupported.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"the scheduler config is {_short(config)}, expected a mapping of keys to values: "
            "give the contents of a scheduler_config.json"
        )
    class_name = config.get("_class_name")
    if not isinstance(class_name, str) or class_name not in READ:
        raise ConfigError(
            f"_class_name is {_short(class_name)} in the scheduler config, expected one of "
            f"{sorted(READ)}: choose another sampler by its name"
        )
    return BUILDERS[class_name](_values(config, class_name), dialect)


def from_config_as(
    config: Mapping[str, Any], name: str, dialect: Dialect = "diffusers"
) -> AnySampler:
    """Another sampler over the same schedule, as `OtherScheduler.from_config(scheduler.config)`.

    Keys that the other class reads are taken over, the rest keep that class's defaults.
    name: one of `names()` or a class name. Raises ConfigError as `from_config`.
    """
    class_name = NAMES.get(name, name)
    if class_name not in READ:
        raise ConfigError(
            f"sampler {_short(name)} is unknown, expected one of {list(NAMES)}: choose one"
        )
    return from_config({**config, "_class_name": class_name}, dialect)


def _values(config: Mapping[str, Any], class_name: str) -> Values:
    """Every key that the class reads, checked; keys listed as defaulted keep this class's own."""
    read, neutral = READ[class_name], NEUTRAL[class_name]
    defaulted = config.get("_use_default_values", [])
    if not isinstance(defaulted, list | tuple):
        raise _refusal(class_name, "_use_default_values", defaulted, "a list of keys")
    values = {key: spec.default for key, spec in read.items()}
    for key, value in config.items():
        if key in read and key not in defaulted:
            if not read[key].accepts(value):
                raise _refusal(class_name, key, value, read[key].expected)
            values[key] = value
        elif key in neutral and value != neutral[key]:
            raise _refusal(class_name, key, value, f"{neutral[key]!r}, all that is supported")
        elif key not in read and key not in neutral and key not in IGNORED[class_name]:
            raise ConfigError(
                f"key {_short(key)} of {class_name} is unknown, with value {_short(value)}: "
                "mend its spelling or remove it"
            )
    return values


def _refusal(class_name: str, key: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(
        f"{key} is {_short(value)} in the config of {class_name}, expected {expected}: "
        "change it or choose another sampler"
    )


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python will not print integers of thousands of digits
        return f"a huge {type(value).__name__}"


def _schedule(c: Values, dialect: Dialect) -> NoiseSchedule:
    T, ends = c["num_train_timesteps"], (c["beta_start"], c["beta_end"])
    if (betas := c["trained_betas"]) is not None:
        if len(betas) != T:
            raise ConfigError(
                f"trained_betas has {len(betas)} entries, expected num_train_timesteps, {T}: "
                "make the two agree"
            )
        schedule = NoiseSchedule.from_betas(betas, dialect=dialect)
    elif c["beta_schedule"] == "squaredcos_cap_v2":
        schedule = NoiseSchedule.cosine(T, dialect=dialect)
    elif c["beta_schedule"] == "scaled_linear":
        schedule = NoiseSchedule.scaled_linear(T, *ends, dialect=dialect)
    elif c["beta_schedule"] == "sigmoid":
        schedule = NoiseSchedule.sigmoid(T, *ends, dialect=dialect)
    else:
        schedule = NoiseSchedule.linear(T, *ends, dialect=dialect)
    return schedule.rescale_zero_terminal_snr() if c.get("rescale_betas_zero_snr") else schedule


def _correction(c: Values) -> Correction:
    if c["thresholding"]:
        return DynamicThreshold(c["dynamic_thresholding_ratio"], c["sample_max_value"])
    return Clip(c["clip_sample_range"]) if c["clip_sample"] else keep


def _common(c: Values, dialect: Dialect) -> dict[str, Any]:
    return {
        "schedule": _schedule(c, dialect),
        "prediction": c["prediction_type"],
        "spacing": c["timestep_spacing"],
        "offset": c["steps_offset"],
    }


def _final(c: Values, schedule: NoiseSchedule) -> float:
    return 1.0 if c["set_alpha_to_one"] else float(schedule.alphas_cumprod[0])


def _ddpm(c: Values, dialect: Dialect) -> Ddpm:
    return Ddpm(
        **_common(c, dialect),
        variance="large" if c["variance_type"] == "fixed_large" else "small",
        correction=_correction(c),
    )


def _ddim(c: Values, dialect: Dialect) -> Ddim:
    common = _common(c, dialect)
    return Ddim(**common, final=_final(c, common["schedule"]), correction=_correction(c))


def _pndm(c: Values, dialect: Dialect) -> Pndm:
    common = _common(c, dialect)
    return Pndm(**common, final=_final(c, common["schedule"]), runge_kutta=not c["skip_prk_steps"])


def _euler(c: Values, dialect: Dialect) -> Euler:
    if c["use_karras_sigmas"] and c["use_exponential_sigmas"]:
        raise ConfigError(
            "use_karras_sigmas and use_exponential_sigmas are both true in the config of "
            "EulerDiscreteScheduler, expected one at most: set one to false"
        )
    respaced = {"use_karras_sigmas": karras, "use_exponential_sigmas": exponential}
    return Euler(
        **_common(c, dialect),
        interpolation=c["interpolation_type"],
        respacing=next((how for key, how in respaced.items() if c[key]), None),
        sigma_min=c["sigma_min"],
        sigma_max=c["sigma_max"],
        final=c["final_sigmas_type"],
        continuous_time=c["timestep_type"] == "continuous"
        and c["prediction_type"] == "v_prediction",
    )


def _euler_ancestral(c: Values, dialect: Dialect) -> EulerAncestral:
    return EulerAncestral(**_common(c, dialect))


BUILDERS: dict[str, Callable[[Values, Dialect], AnySampler]] = {
    "DDPMScheduler": _ddpm,
    "DDIMScheduler": _ddim,
    "PNDMScheduler": _pndm,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _euler_ancestral,
}
