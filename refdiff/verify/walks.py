"""Ways of computing the same graph: exactly, and as an honest implementation would."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from refdiff.op import Array, Op, Wrapper, around, engine, round_to
from refdiff.params import Params
from refdiff.workers import parts

LOGITS = 1 << 19


@dataclass(frozen=True)
class Walk:
    """What arrays become before they are computed with, and what stands around the computing."""

    name: str
    lift: Callable[[Array], Any]
    within: Callable[[], AbstractContextManager[Any]]
    dtype: np.dtype[Any]  # of weights
    kernels: bool = False  # whether ops are computed by them
    hasty: bool = False  # rounds more than care would, as fast implementations do

    def of(self, value: Any) -> Any:
        """Whatever a layer is called with, lifted: arrays, and what holds arrays."""
        if isinstance(value, Params):
            return replace(value, dtype=self.dtype, weights=value.weights.passing)
        if isinstance(value, np.ndarray):
            return self.lift(value) if value.dtype.kind == "f" else value
        if type(value) in (list, tuple):
            return type(value)(map(self.of, value))
        if isinstance(value, partial):
            named = {key: self.of(v) for key, v in value.keywords.items()}
            return partial(value.func, *map(self.of, value.args), **named)
        return value


def in_format(
    dtype: type[np.floating[Any]],
    kind: str,
    rounding: str | None = None,
    wrapper: Wrapper | None = None,
) -> Walk:
    """Arrays of a dtype, rounded to a narrower format before an op and after it."""

    def lift(x: Array) -> Array:
        cast = x.astype(dtype, copy=False)
        return cast if rounding is None else round_to(cast, rounding)

    @contextmanager
    def within() -> Iterator[None]:
        also = around(wrapper) if wrapper else nullcontext()
        blocks = around(lean) if kind == "reference" else nullcontext()  # kernels make their own
        with engine(kind, rounding, plain=True), blocks, around(phase_in(dtype)), also:
            yield

    name = np.dtype(dtype).name if rounding is None else rounding
    name += f", {kind if wrapper is None else wrapper.__name__.replace('_', ' ')}"
    return Walk(name, lift, within, np.dtype(dtype), kind == "fast", wrapper is not None)


def lean(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
    """Attention in blocks, so that its logits never leave the cache, let alone fill the memory.

    What a query gets depends on no other query and no other head, whatever mistake is tried.
    """
    inside = partial(in_blocks, compute) if op.name == "attention" else compute
    return inside(*args, **options)


def in_blocks(
    attend: Callable[..., Array], q: Array, k: Array, v: Array, mask: Array | None = None
) -> Array:
    """Attention for so many queries of one head at a time that there are at most LOGITS logits."""
    heads, shape = q.shape[:-2], (q.shape[-2], k.shape[-2])
    if math.prod((*heads, *shape)) <= LOGITS:
        return attend(q, k, v, mask)
    if mask is not None:
        mask = np.broadcast_to(mask, (*heads, *shape))
    y = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    rows = max(LOGITS // shape[1], 1)
    for i in np.ndindex(heads):
        for start in range(0, shape[0], rows):
            part = slice(start, start + rows)
            y[i][part] = attend(q[i][part], k[i], v[i], mask if mask is None else mask[i][part])
    return y


def phase_in(dtype: type[np.floating[Any]]) -> Callable[..., Array]:
    """The time's waves with frequencies and phases of that dtype, as frameworks compute them."""

    def wrapper(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        if op.name != "timestep_embedding" or dtype is np.float64:
            return compute(*args, **options)
        t, width, half = np.asarray(args[0], dtype), args[1], args[1] // 2
        shift, period = options.get("freq_shift", 0.0), options.get("max_period", 1e4)
        exponent = dtype(-np.log(period)) * np.arange(half, dtype=dtype) / dtype(half - shift)
        phase = t[:, None] * np.exp(exponent)
        waves = [np.cos(phase), np.sin(phase)]
        waves = waves if options.get("flip_sin_to_cos", True) else waves[::-1]
        return np.pad(np.concatenate(waves, -1), ((0, 0), (0, width % 2)))

    return wrapper


def hasty(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
    """Ops as fast code does them, which rounds more than the definitions."""
    match op.name:
        case "group_norm" | "layer_norm":
            return in_one_pass(*args, **options)
        case "conv2d" | "linear":
            return one_after_the_other(compute, *args, **options)
        case "gelu":
            return by_erf(args[0])
        case "geglu":
            value, gate = np.split(args[0], 2, -1)
            return value * by_erf(gate)
    return compute(*args, **options)


ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def by_erf(x: Array) -> Array:
    """gelu as it is written, x (1 + erf(x / sqrt(2))) / 2, with the erf of vector units.

    Abramowitz & Stegun 1964, 7.1.26: good to 1.5e-7, and 1 + erf cancels where x is below 0.
    """
    one, z = x.dtype.type(1), abs(x) * x.dtype.type(np.sqrt(0.5))
    t = one / (one + x.dtype.type(0.3275911) * z)
    polynomial = np.zeros_like(t)
    for a in ERF:
        polynomial = (polynomial + x.dtype.type(a)) * t
    erf = np.copysign(one - polynomial * np.exp(-z * z), x)
    return x * (one + erf) / x.dtype.type(2)


def one_after_the_other(
    product: Callable[..., Array], x: Array, w: Array, b: Array | None = None, **options: Any
) -> Array:
    """A product summed channel after channel, by the error that rounding its partial sums s gives.

    rms error = u sqrt(sum s^2 / 3)   (each sum is off by at most u |s|, evenly spread)

    s is looked at after every 16th part of the channels: where terms have one sign more often than
    the other it grows beyond the result, and then so does the error.
    """
    y = product(x, w, b, **options)
    axis, channels = (1 if w.ndim == 4 else -1), w.shape[1]
    of_each_group = np.arange(x.shape[axis]).reshape(-1, channels)
    s = squares = np.zeros(1, y.dtype)
    for part in parts(channels, -(-channels // 16)):
        some = np.take(x, of_each_group[:, part].ravel(), axis)
        s = s + product(some, w[:, part], None, **options)
        squares = squares + np.square(s) * y.dtype.type(w[0, part].size)
    error = np.finfo(y.dtype).eps / 2 * np.sqrt(squares / 3)
    kind = np.float32 if y.dtype == np.float32 else np.float64
    return y + error.astype(y.dtype) * np.random.default_rng(y.size).standard_normal(y.shape, kind)


def in_one_pass(x: Array, gamma: Array, beta: Array, **options: Any) -> Array:
    """Norms in one pass: var = mean x^2 - mean^2, y = a x + (beta - a mean).

    So does PyTorch where channels are innermost. The further the mean is from 0, the more it
    rounds, and a whole group alike: so each group's sums are the furthest off of several orders.
    """
    groups = options.get("groups")
    rows = x if groups is None else x.reshape(len(x), groups, -1)
    channels = 1 if groups is None else x.shape[1] // groups
    mean = worst_mean(rows, channels)
    variance = np.maximum(worst_mean(np.square(rows), channels) - np.square(mean), 0)
    inverse = 1 / np.sqrt(variance + x.dtype.type(options.get("eps", 1e-5)))
    if groups is not None:
        channel = (len(x), x.shape[1]) + (1,) * (x.ndim - 2)
        each = x.shape[1] // groups
        mean, inverse = (np.repeat(m[..., 0], each, 1).reshape(channel) for m in (mean, inverse))
        gamma, beta = (g.reshape(channel[1:]) for g in (gamma, beta))
    scale = gamma * inverse
    return x * scale + (beta - scale * mean)


def worst_mean(rows: Array, channels: int) -> Array:
    """Of honest means that one which is furthest off, row by row: rows [*,n] -> [*,1]

    Summed pixel after pixel in each channel, or every 8th or 32nd number after the other.
    """
    exact = rows.mean(-1, keepdims=True, dtype=np.float64)
    by_channel = rows.reshape(*rows.shape[:-1], channels, -1).swapaxes(-1, -2)
    orders = (by_channel, in_lanes(rows, 8), in_lanes(rows, 32))
    sums = np.stack([np.cumsum(x, axis=-2)[..., -1, :].sum(-1, keepdims=True) for x in orders])
    means = sums / rows.dtype.type(rows.shape[-1])
    return np.take_along_axis(means, abs(means - exact).argmax(0)[None], 0)[0]


def in_lanes(rows: Array, lanes: int) -> Array:
    """What each lane of a vector unit adds up, one after the other: rows [*,n] -> [*,m,lanes]"""
    n = rows.shape[-1]
    padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -n % lanes)])
    return padded.reshape(*rows.shape[:-1], -1, lanes)


EXACT = in_format(np.float64, "reference")
EXACT_BY_KERNELS = in_format(np.float64, "fast")  # as near the truth, by each kernel's bound
# By storage format, honest runs in several orders of summation.
HONEST: dict[str, tuple[Walk, ...]] = {
    "float64": (EXACT_BY_KERNELS,),
    "float32": (
        in_format(np.float32, "reference"),
        in_format(np.float32, "fast"),
        in_format(np.float32, "fast", wrapper=hasty),
    ),
    "tf32": (in_format(np.float32, "reference", "tf32"),),
    "float16": (in_format(np.float32, "reference", "float16"),),
    "bfloat16": (in_format(np.float32, "reference", "bfloat16"),),
}
