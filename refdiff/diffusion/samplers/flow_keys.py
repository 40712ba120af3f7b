"""The keys that the samplers of rectified flow share, and the path that is built of them."""

from refdiff.diffusion.samplers.build import respacing_of
from refdiff.diffusion.samplers.flow import LEAST_SHIFT, FlowPath, dynamic_shift
from refdiff.diffusion.samplers.keys import RESPACED, Values, choice, flag, integer, number
from refdiff.diffusion.schedule import MAX_STEPS
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError

SHIFT = {
    "num_train_timesteps": integer(1000, 1, MAX_STEPS),
    "shift": number(1.0, LEAST_SHIFT, 1e6, least=True),
}
# the mean of log-odds that a picture of so many tokens is sampled at: a line through two points
DYNAMIC = {
    "use_dynamic_shifting": flag(False),
    "time_shift_type": choice("exponential", "linear"),
    "base_shift": number(0.5, 0, 20, least=True),
    "max_shift": number(1.15, 0, 20, least=True),
    "base_image_seq_len": integer(256, 1, 10**9),
    "max_image_seq_len": integer(4096, 1, 10**9),
}
FLOW = {
    **SHIFT,
    **DYNAMIC,
    **RESPACED,
    "shift_terminal": number(None, 0, 0.999, least=True),
    "invert_sigmas": flag(False),
}
# mu is heeded with use_dynamic_shifting only, as in diffusers; image_seq_len gives it by the line
MU = {"mu": number(None, -20, 20, least=True), "image_seq_len": integer(None, 1, 10**9)}
# models of eps, x0 or v are none of these samplers'
VELOCITY = {"prediction_type": "flow_prediction"}


def path_of(c: Values, dialect: Dialect) -> FlowPath:
    """The path that a config with the keys of FLOW and MU, or of SHIFT alone, describes."""
    dynamic = c.get("use_dynamic_shifting", False)
    return FlowPath(
        T=c["num_train_timesteps"],
        shift=_picture_shift(c) if dynamic else c["shift"],
        dynamic=dynamic,
        terminal=c.get("shift_terminal"),
        respacing=respacing_of(c),
        inverted=c.get("invert_sigmas", False),
        dialect=dialect,
    )


def _picture_shift(c: Values) -> float | None:
    mu, tokens = c["mu"], c["image_seq_len"]
    if mu is not None and tokens is not None:
        raise ConfigError(
            f"mu is {mu!r} and image_seq_len {tokens!r}, which gives another mu, expected one of "
            "the two: leave one out"
        )
    if tokens is not None:
        mu = _mu(c, tokens)
    return None if mu is None else dynamic_shift(mu, c["time_shift_type"])


def _mu(c: Values, tokens: int) -> float:
    """The line through (base_image_seq_len, base_shift) and (max_image_seq_len, max_shift)."""
    start, end = c["base_image_seq_len"], c["max_image_seq_len"]
    if start == end:
        raise ConfigError(
            f"base_image_seq_len and max_image_seq_len are both {start}, expected two lengths to "
            "draw a line through: mend one, or give mu itself"
        )
    w = (tokens - start) / (end - start)
    return (1 - w) * c["base_shift"] + w * c["max_shift"]
