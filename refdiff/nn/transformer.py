"""Attention layers: the conditional U-Net's transformer, the lone attention of VAE and DDPM.

Rombach et al. 2022 (arXiv 2112.10752, §3.3): pixels attend to each other, then to the text.
"""

from refdiff import ops
from refdiff.nn.layers import (
    conv2d,
    geglu,
    group_norm,
    layer_norm,
    linear,
    merge_heads,
    residual,
    split_heads,
    to_picture,
    to_tokens,
)
from refdiff.nn.shapes import Tree, conv, norm, numbered
from refdiff.nn.shapes import linear as affine
from refdiff.op import Array
from refdiff.params import Params, layer


@residual
def attention(p: Params, x: Array, context: Array, *, heads: int, to: Array | None = None) -> Array:
    """Queries from x, keys and values from context: x [N,L,D], context [N,S,E] -> [N,L,D]"""
    q = split_heads(linear(p / "to_q", x), heads)
    k = split_heads(linear(p / "to_k", context), heads)
    v = split_heads(linear(p / "to_v", context), heads)
    return linear(p / "to_out" / 0, merge_heads(ops.attention(q, k, v)), to=to)


def attention_shapes(width: int, context: int, bias: bool = False) -> Tree:
    """The weights of `attention`; queries, keys and values have a bias in VAE and DDPM only."""
    return {
        "to_q": affine(width, width, bias),
        "to_k": affine(width, context, bias),
        "to_v": affine(width, context, bias),
        "to_out": {"0": affine(width, width)},
    }


@residual
def feed_forward(p: Params, x: Array, *, to: Array | None = None) -> Array:
    """Four times as wide in between: x [N,L,D] -> [N,L,D]"""
    return linear(p / "net" / 2, geglu(p / "net" / 0, x), to=to)


@layer
def transformer_block(p: Params, x: Array, context: Array, *, heads: int) -> Array:
    """Self-attention, cross-attention and feed-forward, each added: x [N,L,D] -> [N,L,D]"""
    h = layer_norm(p / "norm1", x)
    x = attention(p / "attn1", h, h, heads=heads, to=x)
    x = attention(p / "attn2", layer_norm(p / "norm2", x), context, heads=heads, to=x)
    return feed_forward(p / "ff", layer_norm(p / "norm3", x), to=x)


@layer
def transformer_2d(
    p: Params,
    x: Array,
    context: Array,
    *,
    heads: int,
    depth: int,
    groups: int,
    linear_projection: bool,
) -> Array:
    """Transformer blocks over the pixels, added to the picture.

    x [N,C,H,W], context [N,S,E] -> [N,C,H,W]
    The projections are 1x1 convolutions in SD 1.x, linear in 2.x. The norm's eps is 1e-6, unlike
    the residual blocks' 1e-5.
    """
    h = group_norm(p / "norm", x, groups=groups, eps=1e-6)
    if linear_projection:
        h = linear(p / "proj_in", to_tokens(h))
    else:
        h = to_tokens(conv2d(p / "proj_in", h))
    for i in range(depth):
        h = transformer_block(p / "transformer_blocks" / i, h, context, heads=heads)
    if linear_projection:
        return to_picture(linear(p / "proj_out", h, to=to_tokens(x)), like=x)
    return conv2d(p / "proj_out", to_picture(h, like=x), to=x)


def transformer_shapes(c: int, context: int, depth: int, linear_projection: bool) -> Tree:
    """The weights of `transformer_2d`."""
    projection = affine(c, c) if linear_projection else conv(c, c, 1)
    block: Tree = {
        "norm1": norm(c),
        "attn1": attention_shapes(c, c),
        "norm2": norm(c),
        "attn2": attention_shapes(c, context),
        "norm3": norm(c),
        "ff": {"net": {"0": {"proj": affine(8 * c, c)}, "2": affine(c, 4 * c)}},
    }
    return {
        "norm": norm(c),
        "proj_in": projection,
        "transformer_blocks": numbered(*[block] * depth),
        "proj_out": projection,
    }


@layer
def attention_block(p: Params, x: Array, *, heads: int, groups: int, eps: float) -> Array:
    """Normalised pixels attend to each other, added to the picture: x [N,C,H,W] -> [N,C,H,W]"""
    h = x.reshape(*x.shape[:2], -1)
    h = group_norm(p / "group_norm", h, groups=groups, eps=eps) if "group_norm" in p else h
    h = h.swapaxes(1, 2)
    q, k, v = (split_heads(linear(p / n, h), heads) for n in ("to_q", "to_k", "to_v"))
    y = linear(p / "to_out" / 0, merge_heads(ops.attention(q, k, v)), to=to_tokens(x))
    return to_picture(y, like=x)


def attention_block_shapes(c: int, normalised: bool = True) -> Tree:
    """The weights of `attention_block`."""
    weights = attention_shapes(c, c, bias=True)
    return {"group_norm": norm(c), **weights} if normalised else weights
