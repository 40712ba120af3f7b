"""Mistakes of attention: scale, softmax, masks, heads, and which is the query."""

from collections.abc import Callable

import numpy as np

from refdiff import ops
from refdiff.op import Array
from refdiff.verify.mistakes.entry import family, mistake

Attention = Callable[..., Array]
Mask = Array | None


def scaled(attention: Attention, q: Array, k: Array, v: Array, mask: Mask, by: float) -> Array:
    """Attention with the logits multiplied beyond 1 / sqrt(d)."""
    return attention(q * by, k, v, mask)


@family("attention", "scale", "the logits are {value:.4g} of what they should be", 1e-3, 1e3)
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None, *, value: float) -> Array:
    return scaled(attention, q, k, v, m, value)


@mistake("attention", "no-scale", "the logits are not divided by sqrt(d)")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return scaled(attention, q, k, v, m, float(np.sqrt(q.shape[-1])))


@mistake("attention", "scaled-twice", "the logits are divided by d, not by its root")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return scaled(attention, q, k, v, m, float(1 / np.sqrt(q.shape[-1])))


@mistake("attention", "model-width", "the logits are scaled by the whole width, not by a head's")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return scaled(attention, q, k, v, m, float(1 / np.sqrt(q.shape[1])))


@mistake("attention", "scaled-by-heads", "the logits are scaled by the number of heads")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return scaled(attention, q, k, v, m, float(np.sqrt(q.shape[-1] / q.shape[1])))


@mistake(
    "attention", "softmax-over-queries", "the softmax runs over the queries, not over the keys"
)
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    def attend(q: Array, k: Array, v: Array) -> Array:
        logits = q @ k.T / np.sqrt(q.shape[-1])
        logits = logits if m is None else logits + m
        return ops.softmax(logits.T).T @ v

    y = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    for head in np.ndindex(q.shape[:-2]):  # all logits at once may be more than the memory
        y[head] = attend(q[head], k[head], v[head])
    return y


@mistake("attention", "no-softmax", "no softmax")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return q @ (k.swapaxes(-1, -2) @ v) / np.sqrt(q.shape[-1])


@mistake("attention", "no-mask", "the causal mask is left out")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k, v, None)


@mistake("attention", "causal", "a causal mask where none belongs")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k, v, causal(q, k, 1) if m is None else m)


@mistake("attention", "mask-sees-next", "the causal mask lets a token see the next one")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k, v, m if m is None else causal(q, k, 2))


@mistake("attention", "mask-reversed", "the causal mask hides what came before")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k, v, m if m is None else causal(q, k, 1).T)


def causal(q: Array, k: Array, first: int) -> Array:
    """-inf from so many places behind the query on."""
    return np.triu(np.full((q.shape[-2], k.shape[-2]), -np.inf, q.dtype), k=first)


@mistake("attention", "q-k-swapped", "queries and keys are swapped")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(k, q, v, m)


@mistake("attention", "k-v-swapped", "keys and values are swapped")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, v, k, m)


@mistake("attention", "q-v-swapped", "queries and values are swapped")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(v, k, q, m)


def merged(x: Array) -> Array:
    """x [N,h,L,d] -> [N,L,h d]"""
    return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)


def resplit(attention: Attention, q: Array, k: Array, v: Array, m: Mask, heads: int) -> Array:
    """Attention with another number of heads, brought back to the shape of the right one."""
    others = (merged(x).reshape(len(x), x.shape[2], heads, -1).swapaxes(1, 2) for x in (q, k, v))
    y = merged(attention(*others, m))
    return y.reshape(len(y), y.shape[1], q.shape[1], -1).swapaxes(1, 2)


@mistake("attention", "one-head", "one head of the whole width")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return resplit(attention, q, k, v, m, 1)


@mistake("attention", "twice-the-heads", "twice as many heads")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return resplit(attention, q, k, v, m, 2 * q.shape[1])


@mistake("attention", "half-the-heads", "half as many heads")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return resplit(attention, q, k, v, m, q.shape[1] // 2)


@mistake("attention", "heads-are-widths", "the number of heads is taken for the width of one")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return resplit(attention, q, k, v, m, q.shape[-1])


@mistake("attention", "heads-innermost", "channels are split [d,h], not [h,d]")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    N, h, _, d = q.shape

    def inner(x: Array) -> Array:
        return merged(x).reshape(N, x.shape[2], d, h).transpose(0, 3, 1, 2)

    y = attention(inner(q), inner(k), inner(v), m)
    return y.transpose(0, 2, 3, 1).reshape(N, y.shape[2], h, d).swapaxes(1, 2)


@mistake("attention", "heads-not-merged", "heads are laid after tokens before they are merged")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    y = attention(q, k, v, m)
    N, h, L, d = y.shape
    return y.reshape(N, L, h, d).swapaxes(1, 2)


@mistake("attention", "heads-not-split", "heads are cut without a transposition")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    def cut(x: Array) -> Array:
        return merged(x).reshape(x.shape)

    return attention(cut(q), cut(k), cut(v), m)


@mistake("attention", "last-key-lost", "the last key is left out")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k[..., :-1, :], v[..., :-1, :], m if m is None else m[..., :-1])


@mistake("attention", "first-key-lost", "the first key (the start of text) is left out")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, k[..., 1:, :], v[..., 1:, :], m if m is None else m[..., 1:])


@mistake("attention", "batch-crossed", "a sample attends to the next sample's keys and values")
def _(attention: Attention, q: Array, k: Array, v: Array, m: Mask = None) -> Array:
    return attention(q, np.roll(k, 1, 0), np.roll(v, 1, 0), m)
