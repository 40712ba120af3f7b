"""Layers that read their weights under a path: thin adapters from `p` to the ops."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from refdiff import ops
from refdiff.op import Array
from refdiff.ops.conv2d import Padding
from refdiff.params import Params, layer

P = ParamSpec("P")


def residual(
    f: Callable[Concatenate[Params, P], Array],
) -> Callable[Concatenate[Params, P], Array]:
    """A layer that may be asked to add its result `to` something, which its last op then does.

    Where a trace records the result, the sum is an op of its own.
    """
    recorded = layer(f)

    @wraps(f)
    def added(p: Params, *args: P.args, **options: P.kwargs) -> Array:
        to = cast(Array | None, options.get("to"))
        if to is None or p.trace is None:
            return recorded(p, *args, **options)
        options["to"] = None
        return ops.plus(recorded(p, *args, **options), to)

    return cast(Callable[Concatenate[Params, P], Array], added)


@residual
def conv2d(
    p: Params, x: Array, *, stride: int = 1, padding: Padding = 0, to: Array | None = None
) -> Array:
    """x [N,C,H,W] -> [N,O,H',W'], added to [N,O,H',W'] or [N,O,1,1]"""
    weights = p["weight"], p.get("bias")
    if to is None:
        return ops.conv2d(x, *weights, stride=stride, padding=padding)
    return ops.conv2d_plus(x, *weights, to, stride=stride, padding=padding)


@layer
def conv2d_of_enlarged(p: Params, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    """Each pixel repeated, then a convolution: x [N,C,H,W] -> [N,O,2H,2W], or of `size`"""
    return ops.conv2d_of_enlarged(x, p["weight"], p.get("bias"), size=size)


@residual
def linear(p: Params, x: Array, *, to: Array | None = None) -> Array:
    """x [*,I] -> [*,O], added to [*,O]"""
    weights = p["weight"], p.get("bias")
    return ops.linear(x, *weights) if to is None else ops.linear_plus(x, *weights, to)


@layer
def group_norm(p: Params, x: Array, *, groups: int, eps: float) -> Array:
    """x [N,C,*] -> [N,C,*]"""
    return ops.group_norm(x, p["weight"], p["bias"], groups=groups, eps=eps)


@layer
def layer_norm(p: Params, x: Array, *, eps: float = 1e-5) -> Array:
    """x [*,D] -> [*,D]"""
    return ops.layer_norm(x, p["weight"], p["bias"], eps=eps)


@layer
def embedding(p: Params, ids: Array) -> Array:
    """ids [*] -> [*,D]"""
    return ops.embedding(ids, p["weight"])


@layer
def silu(p: Params, x: Array) -> Array:
    """A layer without weights, which diffusers gives a name: x [*] -> [*]"""
    return ops.silu(x)


@layer
def geglu(p: Params, x: Array) -> Array:
    """Two projections, one gated by GELU of the other: x [*,D] -> [*,4D]"""
    proj = p / "proj"
    if p.trace is None:
        return ops.geglu_of_linear(x, proj["weight"], proj.get("bias"))
    return ops.geglu(linear(proj, x))


def silu_of_norm(act: Params, norm: Params, x: Array, *, groups: int, eps: float) -> Array:
    """silu(group_norm(x)): one pass where nobody looks at what is between. x [N,C,*] -> [N,C,*]"""
    if norm.trace is None:
        weights = norm["weight"], norm["bias"]
        return ops.silu_of_group_norm(x, *weights, groups=groups, eps=eps)
    return silu(act, group_norm(norm, x, groups=groups, eps=eps))


def to_tokens(x: Array) -> Array:
    """Pixels as a sequence, row by row: x [N,C,H,W] -> [N,HW,C]"""
    N, C, H, W = x.shape
    return x.reshape(N, C, H * W).swapaxes(1, 2)


def to_picture(x: Array, like: Array) -> Array:
    """The inverse of `to_tokens`: x [N,HW,C], like [N,*,H,W] -> [N,C,H,W]"""
    return x.swapaxes(1, 2).reshape(len(x), -1, *like.shape[2:])


def split_heads(x: Array, heads: int) -> Array:
    """x [N,L,hd] -> [N,h,L,d]"""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """x [N,h,L,d] -> [N,L,hd]"""
    N, h, L, d = x.shape
    return x.swapaxes(1, 2).reshape(N, L, h * d)
