"""How far rounding takes each op, whatever the order of its sums: one rule an op.

    with bounding(FLOAT32):
        y = resnet_block(p, x, temb, groups=32, eps=1e-5)   # y.value, y.error; p in float64

A rule carries the bounds of its arguments through the op and adds what the op itself rounds: every
sum of n terms gamma_n (Higham 2002, §3.1), every function what good libraries and graphics chips
allow themselves, and the storage format at every place where an implementation may lay a value
down, fused or not. Algorithms that are no reordering of the sums (Winograd, FFT) are not covered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product as product_of
from typing import Any, TypeAlias, cast

import numpy as np

from refdiff import ops
from refdiff.errors import ConfigError
from refdiff.op import Array, Op, around
from refdiff.verify.bound_functions import MINIMUM, gated, softmax, timestep_embedding
from refdiff.verify.bound_sums import conv2d, group_norm, layer_norm, linear, product
from refdiff.verify.bounded import Bounded, Operand, current_profile, of, rounded_once, under
from refdiff.verify.formats import Profile
from refdiff.verify.walks import LOGITS

Rule: TypeAlias = Callable[..., Bounded]


@contextmanager
def bounding(profile: Profile) -> Iterator[None]:
    """Every op called inside gives a `Bounded`: its result, and how far `profile` may be from it.

    Plain arrays are taken for exact. Raises ConfigError for an op that has no rule.
    """
    with under(profile), around(by_rule), np.errstate(all="ignore"):
        yield


def bound(f: Callable[..., Any], *args: Any, profile: Profile, **options: Any) -> Any:
    """What `f` computes of `args`, with its bound."""
    with bounding(profile):
        return f(*args, **options)


def by_rule(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
    if op.name not in RULES:
        raise ConfigError(f"no rule says how far rounding takes the op {op.name!r}: add one")
    return cast(Array, RULES[op.name](*args, **options))


def attention(q: Operand, k: Operand, v: Operand, mask: Operand | None = None) -> Bounded:
    """q [*,L,d], k [*,S,d], v [*,S,e], mask [L,S] -> [*,L,e]

    The scale is laid on q and k, half on each, which rounds no less than laying it on one of them
    or on the logits. So many queries of one head at a time, or the logits would fill the memory.
    """
    queries, values = of(q), of(v)
    root = float(queries.shape[-1]) ** -0.25
    queries, keys = queries * root, (of(k) * root).swapaxes(-1, -2)
    heads, (L, S) = queries.shape[:-2], (queries.shape[-2], keys.shape[-1])
    masks = None if mask is None else of(mask).move(partial(np.broadcast_to, shape=(*heads, L, S)))
    value, error, terms = (*np.empty((2, *heads, L, values.shape[-1])), 1)
    rows = max(LOGITS // S, 1)
    for head, start in product_of(np.ndindex(heads), range(0, L, rows)):
        part = (*head, slice(start, start + rows))
        logits = product(queries[part], keys[head])
        y = product(softmax(logits if masks is None else logits + masks[part]), values[head])
        value[part], error[part], terms = y.value, y.error, y.terms
    return Bounded(value, error, terms)


def geglu(x: Operand) -> Bounded:
    """x [*,2D] -> [*,D]"""
    x = of(x)
    D = x.shape[-1] // 2
    return x[..., :D] * gated("gelu", x[..., D:])


def add(x: Operand, y: Operand) -> Bounded:
    """x [*], y [*] -> [*]"""
    return of(x) + of(y)


def upsample_nearest(x: Operand, *, size: tuple[int, int] | None = None) -> Bounded:
    """x [N,C,H,W] -> [N,C,H',W']"""
    return of(x).move(partial(ops.upsample_nearest.definition, size=size))


def concat(first: Operand, *others: Operand, axis: int = 1) -> Bounded:
    """x [N,C,*], y [N,D,*] -> [N,C+D,*]"""
    parts = [of(x) for x in (first, *others)]
    value = np.concatenate([x.value for x in parts], axis)
    error = np.concatenate([x.error for x in parts], axis)
    return Bounded(value, error, max(x.terms for x in parts))


def embedding(ids: Array, table: Array) -> Bounded:
    """Rows are handed on as they are, or as the storage format has them. ids [*] -> [*,D]"""
    rows = ops.embedding.definition(ids, np.asarray(table, np.float64))
    return rounded_once(Bounded.exact(rows), current_profile().storage)


RULES: dict[str, Rule] = {
    "add": add,
    "attention": attention,
    "concat": concat,
    "conv2d": conv2d,
    "embedding": embedding,
    "geglu": geglu,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "softmax": softmax,
    "timestep_embedding": timestep_embedding,
    "upsample_nearest": upsample_nearest,
    **{name: partial(gated, name) for name in MINIMUM},
}
