"""How far rounding takes what evaluates functions: nonlinearities, softmax, sinusoids."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refdiff import ops
from refdiff.op import Array
from refdiff.verify.bounded import Bounded, Operand, current_profile, of, stored

# Each falls to its one minimum and rises from there; this is where.
MINIMUM = {
    "silu": -1.2784645427610738,
    "gelu": -0.7517915246935645,
    "gelu_tanh": -0.7524614220710162,
    "quick_gelu": -1.2784645427610738 / 1.702,
}


def gated(name: str, x: Operand) -> Bounded:
    """f(x) = x g(x) with a gate g in 0..1: f at the ends of the interval and at its lowest.

    The gate is known to 16 u absolutely (an erf, an exp or a tanh, a sum and a quotient) and to
    4 units of storage where it is built of ops that store their results.
    """
    x, profile = of(x), current_profile()
    f: Callable[[Array], Array] = getattr(ops, name).definition
    y = f(x.value)
    ends = (x.value - x.error, x.value + x.error)
    swing = np.max([abs(f(z) - y) for z in (*ends, np.clip(MINIMUM[name], *ends))], axis=0)
    gate = 16 * profile.u + 4 * profile.storage.unit
    return stored(Bounded(y, swing + gate * x.reach + profile.accumulation.normal, x.terms))


def softmax(x: Operand) -> Bounded:
    """x [*,L] -> [*,L]

    p_i moves by the factor exp(d_i) / sum_j p_j exp(d_j) where x_j moves by d_j, |d_j| <= e_j; its
    logarithm is at most e_i + log sum_j p_j exp(e_j), either way (Jensen). To e_j comes what the
    exponential rounds: 8 u, and 8 u of the size of its argument, which is rounded before (the
    difference from the maximum, the way to base 2, the rescaling of a streamed sum); 2 units of
    storage where these steps are stored.
    """
    x, profile = of(x), current_profile()
    p = ops.softmax.definition(x.value)
    seen = np.isfinite(x.value)
    size = np.where(seen, x.reach, 0)
    step = 8 * profile.u + 2 * profile.storage.unit
    e = np.where(seen, x.error + step * (1 + size + size.max(-1, keepdims=True)), 0)
    gamma = 3 * profile.gamma(x.shape[-1] + 4)
    tiny = np.finfo(np.float64).tiny  # a p too small for float64 may still grow
    rise = ((p + tiny) * np.expm1(e)).sum(-1, keepdims=True)
    factor = np.expm1(e + np.log1p(rise) + gamma)
    error = np.minimum((p + tiny) * factor, np.maximum(p, 1 - p) + gamma)
    error = np.where(seen, error + profile.accumulation.normal, 0)
    return stored(Bounded(p, error, max(x.terms, x.shape[-1])))


def timestep_embedding(t: Array, width: int, **options: Any) -> Bounded:
    """t [N] -> [N,width]

    With f = exp(-z) the phase t f has the relative error of the exponential, 4 u, of its rounded
    argument, 4 u z, and of the product: frameworks compute all three in float32 at best.
    """
    y = ops.timestep_embedding.definition(t, width, **options)
    half, u = width // 2, current_profile().u
    shift, period = options.get("freq_shift", 0.0), options.get("max_period", 10000.0)
    z = np.log(period) * np.arange(half) / (half - shift)
    phase = abs(np.asarray(t, np.float64)[:, None]) * np.exp(-z)
    error = np.minimum(phase * (4 * z + 8) * u, 2) + 8 * u
    error = np.pad(np.concatenate([error, error], -1), ((0, 0), (0, width % 2)))
    return stored(Bounded(y, error))
