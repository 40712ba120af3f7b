"""Several tensors in one: the matrices of queries, keys and values, concatenated or interleaved."""

from collections.abc import Iterator, Sequence

import numpy as np

from refdiff.op import Array
from refdiff.verify.layouts import Layout, Shape, fits, pick, real


def split_fused(parts: Sequence[Array], fused: Array) -> Layout | None:
    """How `fused` holds tensors of one shape, to_q, to_k, to_v: `apply` gives their stack.

    parts n x [*shape], fused -> Layout to [n,*shape], or None where the values prove none.
    The parts follow one another along the first or the last axis, or within each head there.
    """
    shape, count = parts[0].shape, len(parts)
    if not shape or any(part.shape != shape for part in parts) or 0 in shape:
        return None
    layouts: dict[Layout, None] = {}
    for axis in {0, len(shape) - 1}:
        whole = (*shape[:axis], count * shape[axis], *shape[axis + 1 :])
        for base in fits(whole, fused.shape):
            if base.parts == real(whole) and not base.swapped:
                place = len(real(whole[:axis]))
                layouts |= dict.fromkeys(_fused(base, place, count, (count, *shape)))
    return pick(np.stack(parts), fused, list(layouts))


def _fused(base: Layout, place: int, count: int, shape: Shape) -> Iterator[Layout]:
    """The base layout with its part at `place` split into (heads, count, width), for any heads."""
    axis = base.order[place]
    length = base.split[axis] // count
    for heads in (h for h in range(1, length + 1) if length % h == 0):
        inner = (heads, count, length // heads)
        split = (*base.split[:axis], *inner, *base.split[axis + 1 :])
        order = [axis + 1]
        for i in base.order:
            order += [axis, axis + 2] if i == axis else [i if i < axis else i + 2]
        yield Layout(base.candidate, split, tuple(order), shape)
