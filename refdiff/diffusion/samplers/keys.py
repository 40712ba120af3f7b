"""The keys of scheduler_config.json: what each class reads, and what each key may hold.

Three tables for each class state the scope: READ (key to its default and what it may hold),
NEUTRAL (key to the one value supported), IGNORED (keys without effect on the numbers, and keys
that only other classes read). Defaults are diffusers', and differ from class to class.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refdiff.diffusion.schedule import MAX_STEPS


class Key(NamedTuple):
    """A key that is read: diffusers' default, what it may hold, and the check of that."""

    default: Any
    expected: str
    accepts: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(default: float | None, low: float, high: float) -> Key:
    """A number in (low, high], and so never NaN; null too where null is the default."""
    expected = f"a number above {low:g}, at most {high:g}"
    return Key(
        default,
        expected + (" or null" if default is None else ""),
        lambda v: v is default is None or (_is_number(v) and low < v <= high),
    )


def integer(default: int, low: int, high: int) -> Key:
    """An integer in [low, high]."""
    return Key(
        default,
        f"an integer from {low} to {high}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
    )


def flag(default: bool) -> Key:
    """true or false."""
    return Key(default, "true or false", lambda v: isinstance(v, bool))


def choice(default: str, *others: str) -> Key:
    """One of a few words, the default first."""
    words = (default, *others)
    return Key(default, f"one of {list(words)}", lambda v: isinstance(v, str) and v in words)


BETAS = Key(
    None,
    f"null or a list of 1 to {MAX_STEPS} numbers in (0, 1]",
    lambda v: (
        v is None
        or (isinstance(v, list | tuple) and 1 <= len(v) <= MAX_STEPS and all(map(_is_beta, v)))
    ),
)


def _is_beta(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


SCHEDULE = {
    "num_train_timesteps": integer(1000, 1, MAX_STEPS),
    "beta_start": number(0.0001, 0, 1),
    "beta_end": number(0.02, 0, 1),
    "beta_schedule": choice("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"),
    "trained_betas": BETAS,
    "steps_offset": integer(0, 0, MAX_STEPS),
}
ZERO_SNR = {"rescale_betas_zero_snr": flag(False)}
CORRECTION = {
    "clip_sample": flag(True),
    "clip_sample_range": number(1.0, 0, 1e6),
    "thresholding": flag(False),
    "dynamic_thresholding_ratio": number(0.995, 0, 1),
    "sample_max_value": number(1.0, 0, 1e6),
}
LEADING = {"timestep_spacing": choice("leading", "trailing", "linspace")}
LINSPACE = {"timestep_spacing": choice("linspace", "leading", "trailing")}
EPS_V = {"prediction_type": choice("epsilon", "v_prediction")}
EPS_X0_V = {"prediction_type": choice("epsilon", "sample", "v_prediction")}

READ: dict[str, dict[str, Key]] = {
    "DDPMScheduler": {
        **SCHEDULE,
        **ZERO_SNR,
        **CORRECTION,
        **LEADING,
        **EPS_X0_V,
        "variance_type": choice("fixed_small", "fixed_small_log", "fixed_large"),
    },
    "DDIMScheduler": {
        **SCHEDULE,
        **ZERO_SNR,
        **CORRECTION,
        **LEADING,
        **EPS_X0_V,
        "set_alpha_to_one": flag(True),
    },
    "PNDMScheduler": {
        **SCHEDULE,
        **LEADING,
        **EPS_V,
        "set_alpha_to_one": flag(False),
        "skip_prk_steps": flag(False),
    },
    "EulerDiscreteScheduler": {
        **SCHEDULE,
        **ZERO_SNR,
        **LINSPACE,
        **EPS_X0_V,
        "interpolation_type": choice("linear", "log_linear"),
        "use_karras_sigmas": flag(False),
        "use_exponential_sigmas": flag(False),
        "sigma_min": number(None, 0, 1e6),
        "sigma_max": number(None, 0, 1e6),
        "timestep_type": choice("discrete", "continuous"),
        "final_sigmas_type": choice("zero", "sigma_min"),
    },
    "EulerAncestralDiscreteScheduler": {**SCHEDULE, **ZERO_SNR, **LINSPACE, **EPS_V},
}
NEUTRAL: dict[str, dict[str, Any]] = {
    "DDPMScheduler": {},
    "DDIMScheduler": {},
    "PNDMScheduler": {},
    "EulerDiscreteScheduler": {"use_beta_sigmas": False},
    "EulerAncestralDiscreteScheduler": {},
}
BOOKKEEPING = {"_class_name", "_diffusers_version", "_use_default_values", "_name_or_path"}
# read only by diffusers' other schedulers, whose saved configs pass from class to class
ELSEWHERE = {
    *("algorithm_type", "disable_corrector", "euler_at_final"),
    *("flow_shift", "lambda_min_clipped", "lower_order_final", "noise_sampler_seed"),
    *("original_inference_steps", "predict_x0", "predictor_order", "corrector_order"),
    *("rho", "shift_terminal", "sigma_data", "sigma_schedule", "solver_order", "solver_p"),
    *("solver_type", "time_shift_type", "timestep_scaling", "use_dynamic_shifting"),
    *("use_flow_sigmas", "use_lu_lambdas"),
}
_ALL_KEYS = {key for table in (*READ.values(), *NEUTRAL.values()) for key in table}
IGNORED: dict[str, set[str]] = {
    name: (BOOKKEEPING | ELSEWHERE | _ALL_KEYS) - READ[name].keys() - NEUTRAL[name].keys()
    for name in READ
}
