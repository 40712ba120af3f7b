"""Classifier-free guidance (2207.12598): a function from models to a model."""

import math
from collections.abc import Callable

import numpy as np

from refdiff.diffusion.types import Array, Model
from refdiff.errors import ConfigError, ShapeError


def combine(uncond: Array, cond: Array, scale: float) -> Array:
    """Beyond the unconditional towards the conditional: uncond + scale * (cond - uncond).

    uncond [N,C,H,W], cond [N,C,H,W] -> [N,C,H,W]
    Scale 1 is the conditional and 0 the unconditional; 2207.12598, eq. 6, has w = scale - 1.
    """
    return uncond + scale * (cond - uncond)


def rescale(guided: Array, cond: Array, phi: float) -> Array:
    """Guidance without overexposure: pull the spread back to that of cond (2305.08891, eqs. 14-16).

    guided [N,C,H,W], cond [N,C,H,W] -> [N,C,H,W]
    phi in [0, 1]: 0 changes nothing, 1 gives each sample the standard deviation of its cond.
    """
    if guided[0].size < 2:
        raise ShapeError(
            f"outputs of shape {list(guided.shape)} have one number a sample and no spread to "
            "rescale, expected two or more: set the guidance rescale to 0"
        )
    axes = tuple(range(1, guided.ndim))
    spread_cond = np.std(cond, axis=axes, ddof=1, keepdims=True)
    spread_guided = np.std(guided, axis=axes, ddof=1, keepdims=True)
    return phi * (guided * (spread_cond / spread_guided)) + (1 - phi) * guided


def classifier_free(both: Model, scale: float, phi: float = 0.0) -> Model:
    """The guided model: one call of `both` on cat([x, x]), the unconditional half first.

    The guided model: x [N,C,H,W], t [] -> [N,C,H,W]. `both` is shown x twice, 2N samples.
    At scale 1 the result is the conditional half itself; who knows this beforehand saves half the
    work by using the conditional model unguided, as diffusers does for every scale <= 1.
    Raises ConfigError for a scale that is not finite and a phi outside [0, 1].
    """
    halves = _halves(both, scale, phi)
    return lambda x, t: halves(x, t)[1]


def with_uncond(both: Model, scale: float, phi: float = 0.0) -> Model:
    """The guided model that says the unconditional too, as CFG++ wants (2406.08070, algorithm 2).

    That model: x [N,C,H,W], t [] -> [2N,C,H,W], cat([unconditional, guided]).
    CFG++'s scale is in [0, 1]: see samplers/euler_cfg_pp.py. Raises as `classifier_free`.
    """
    halves = _halves(both, scale, phi)
    return lambda x, t: np.concatenate(halves(x, t))


def _halves(both: Model, scale: float, phi: float) -> Callable[[Array, float], tuple[Array, Array]]:
    """The unconditional and the guided, from one call of `both`."""
    if not math.isfinite(scale):
        raise ConfigError(f"guidance scale is {scale}, expected a finite number: try 7.5")
    if not 0 <= phi <= 1:
        raise ConfigError(f"guidance rescale is {phi}, expected a number in [0, 1]: try 0.7")

    def halves(x: Array, t: float) -> tuple[Array, Array]:
        uncond, cond = np.split(both(np.concatenate([x, x]), t), 2)
        if scale == 1:
            return uncond, cond
        guided = combine(uncond, cond, scale)
        return uncond, rescale(guided, cond, phi) if phi else guided

    return halves
