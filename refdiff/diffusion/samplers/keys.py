"""What the keys of a scheduler_config.json may hold, and the groups of keys that classes share.

Defaults are diffusers', and differ from class to class: a class takes a group and changes what
differs, as in `{**schedule_keys(0.00085, 0.012), **LINSPACE, **EPS_V}`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from refdiff.diffusion.schedule import MAX_STEPS

Values = Mapping[str, Any]


_FLAG = (None, True, False)


class Key(NamedTuple):
    """A key that is read: diffusers' default, what it may hold, and the check of that.

    words: all that it may hold, where these are few.
    """

    default: Any
    expected: str
    accepts: Callable[[Any], bool]
    words: tuple[Any, ...] = ()


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are neither here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(default: float | None, low: float, high: float, *, least: bool = False) -> Key:
    """A number in (low, high], or in [low, high] with `least`; null too where it is the default."""
    expected = f"a number {'of at least' if least else 'above'} {low:g}, at most {high:g}"
    return Key(
        default,
        expected + (" or null" if default is None else ""),
        lambda v: (
            v is default is None
            or (is_number(v) and (low < v or (least and v == low)) and v <= high)
        ),
    )


def integer(default: int | None, low: int, high: int) -> Key:
    """An integer in [low, high]; null too where null is the default."""
    return Key(
        default,
        f"an integer from {low} to {high}" + (" or null" if default is None else ""),
        lambda v: (
            v is default is None
            or (isinstance(v, int) and not isinstance(v, bool) and low <= v <= high)
        ),
    )


def flag(default: bool) -> Key:
    """true or false."""
    return Key(default, "true or false", lambda v: isinstance(v, bool), (True, False))


def optional_flag() -> Key:
    """null, true or false."""
    return Key(None, "null, true or false", lambda v: v is None or isinstance(v, bool), _FLAG)


def choice(default: str, *others: str) -> Key:
    """One of a few words, the default first."""
    words = (default, *others)
    return Key(default, f"one of {list(words)}", lambda v: isinstance(v, str) and v in words, words)


def optional_choice(*words: str) -> Key:
    """null or one of a few words."""
    return Key(
        None,
        f"null or one of {list(words)}",
        lambda v: v is None or (isinstance(v, str) and v in words),
        (None, *words),
    )


def _is_beta(value: Any) -> bool:
    return is_number(value) and 0 < value <= 1


BETAS = Key(
    None,
    f"null or a list of 1 to {MAX_STEPS} numbers in (0, 1]",
    lambda v: (
        v is None
        or (isinstance(v, list | tuple) and 1 <= len(v) <= MAX_STEPS and all(map(_is_beta, v)))
    ),
)

KINDS = ("linear", "scaled_linear", "squaredcos_cap_v2")


def schedule_keys(
    start: float = 0.0001, end: float = 0.02, kind: str = "linear", *more: str
) -> dict[str, Key]:
    """The keys of the noise schedule, with a class's defaults and kinds beyond the usual three."""
    return {
        "num_train_timesteps": integer(1000, 1, MAX_STEPS),
        "beta_start": number(start, 0, 1),
        "beta_end": number(end, 0, 1),
        "beta_schedule": choice(kind, *(k for k in (*KINDS, *more) if k != kind)),
        "trained_betas": BETAS,
    }


OFFSET = {"steps_offset": integer(0, 0, MAX_STEPS)}
LEADING = {"timestep_spacing": choice("leading", "trailing", "linspace"), **OFFSET}
LINSPACE = {"timestep_spacing": choice("linspace", "leading", "trailing"), **OFFSET}
ZERO_SNR = {"rescale_betas_zero_snr": flag(False)}
CLIP = {"clip_sample": flag(True), "clip_sample_range": number(1.0, 0, 1e6)}
THRESHOLD = {
    "thresholding": flag(False),
    "dynamic_thresholding_ratio": number(0.995, 0, 1),
    "sample_max_value": number(1.0, 0, 1e6),
}
RESPACED = {f"use_{name}_sigmas": flag(False) for name in ("karras", "exponential", "beta")}
SIGMA_ENDS = {"sigma_min": number(None, 0, 1e6), "sigma_max": number(None, 0, 1e6)}
END = {"final_sigmas_type": choice("zero", "sigma_min")}
EPS_V = {"prediction_type": choice("epsilon", "v_prediction")}
EPS_X0_V = {"prediction_type": choice("epsilon", "sample", "v_prediction")}
