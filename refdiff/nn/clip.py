"""CLIPTextModel: the text encoder of Stable Diffusion (Radford et al. 2021, arXiv 2103.00020).

A causal transformer; a token sees only itself and those before it. SD 1.x reads the last states
after the final norm; others read the penultimate ones, before it.
"""

from dataclasses import dataclass

import numpy as np

from refdiff import ops
from refdiff.errors import ShapeError
from refdiff.nn.layers import (
    embedding,
    layer_norm,
    linear,
    merge_heads,
    residual,
    split_heads,
)
from refdiff.nn.shapes import Shape, Tree, flatten, norm, numbered
from refdiff.nn.shapes import linear as affine
from refdiff.op import Array
from refdiff.params import Params, layer

ACTIVATIONS = {"quick_gelu": ops.quick_gelu, "gelu": ops.gelu}
LEGACY_EOS = 2  # what early configurations say; then the largest id is taken for the end of text


@dataclass(frozen=True)
class CLIPTextConfig:
    """Sizes of the text encoder."""

    vocab: int
    width: int
    hidden: int  # width inside the feed-forward
    layers: int
    heads: int
    positions: int  # longest text, in tokens
    activation: str  # a key of ACTIVATIONS
    eps: float
    eos: int
    projection: int | None = None


@dataclass(frozen=True)
class TextStates:
    """What the encoder makes of N texts of L tokens."""

    last_hidden_state: Array  # [N,L,D], after the final norm
    hidden_states: tuple[Array, ...]  # layers+1 times [N,L,D], before it: [-2] is the penultimate
    pooled: Array  # [N,D], the last state at the end of text


def clip_text(p: Params, ids: Array, *, config: CLIPTextConfig) -> TextStates:
    """Encode token ids: ids [N,L] -> last_hidden_state [N,L,D], pooled [N,D].

    Raises ShapeError for more tokens than the encoder has positions, or ids outside its vocabulary.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or not 1 <= ids.shape[1] <= config.positions:
        raise ShapeError(f"ids {ids.shape}: expected [N,L] with L from 1 to {config.positions}")
    p = p / "text_model"
    states = [embeddings(p / "embeddings", ids)]
    mask = causal_mask(ids.shape[1], p.dtype)
    for i in range(config.layers):
        states.append(encoder_layer(p / "encoder" / "layers" / i, states[-1], mask, config=config))
    last = layer_norm(p / "final_layer_norm", states[-1], eps=config.eps)
    end = ids.argmax(1) if config.eos == LEGACY_EOS else (ids == config.eos).argmax(1)
    return TextStates(last, tuple(states), last[np.arange(len(ids)), end])


def causal_mask(length: int, dtype: np.dtype[np.generic]) -> Array:
    """0 where the key comes no later than the query, -inf elsewhere: -> [L,L]"""
    return np.triu(np.full((length, length), -np.inf, dtype), k=1)


@layer
def embeddings(p: Params, ids: Array) -> Array:
    """A vector for the token and one for its place, added: ids [N,L] -> [N,L,D]"""
    places = embedding(p / "position_embedding", np.arange(ids.shape[1])[None])
    return ops.add(embedding(p / "token_embedding", ids), places)


@layer
def encoder_layer(p: Params, x: Array, mask: Array, *, config: CLIPTextConfig) -> Array:
    """Causal self-attention and a feed-forward, each added: x [N,L,D] -> [N,L,D]"""
    h = layer_norm(p / "layer_norm1", x, eps=config.eps)
    x = self_attention(p / "self_attn", h, mask, heads=config.heads, to=x)
    h = layer_norm(p / "layer_norm2", x, eps=config.eps)
    return mlp(p / "mlp", h, activation=config.activation, to=x)


@residual
def self_attention(
    p: Params, x: Array, mask: Array, *, heads: int, to: Array | None = None
) -> Array:
    """x [N,L,D], mask [L,L] -> [N,L,D]"""
    q, k, v = (split_heads(linear(p / f"{n}_proj", x), heads) for n in "qkv")
    return linear(p / "out_proj", merge_heads(ops.attention(q, k, v, mask)), to=to)


@residual
def mlp(p: Params, x: Array, *, activation: str, to: Array | None = None) -> Array:
    """x [N,L,D] -> [N,L,D]"""
    h = activate(p / "activation_fn", linear(p / "fc1", x), activation=activation)
    return linear(p / "fc2", h, to=to)


@layer
def activate(p: Params, x: Array, *, activation: str) -> Array:
    """x [*] -> [*]"""
    return ACTIVATIONS[activation](x)


def param_shapes(config: CLIPTextConfig) -> dict[str, Shape]:
    """Name and shape of every weight that `clip_text` reads."""
    D = config.width
    one: Tree = {
        "layer_norm1": norm(D),
        "self_attn": {f"{n}_proj": affine(D, D) for n in ("q", "k", "v", "out")},
        "layer_norm2": norm(D),
        "mlp": {"fc1": affine(config.hidden, D), "fc2": affine(D, config.hidden)},
    }
    tree: Tree = {
        "embeddings": {
            "token_embedding": {"weight": (config.vocab, D)},
            "position_embedding": {"weight": (config.positions, D)},
        },
        "encoder": {"layers": numbered(*[one] * config.layers)},
        "final_layer_norm": norm(D),
    }
    return flatten({"text_model": tree})
