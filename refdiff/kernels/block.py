"""Matrix products by blocks that stay in registers: rows times vectors, one sum an element.

Six rows of two vectors, and what they are made of, fill the sixteen registers of AVX2; six of four
the thirty-two of AVX-512, where twelve rows of two would read a number more often. Less wide blocks
end a product.

Every element is one chain of fused multiply-adds in the order of the inner axis, however rows and
columns are divided: so it has the same bits in every tile, thread and batch.

The second matrix comes in panels. The first is read wherever it lies, if only its rows are
contiguous.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.jit import inlined, native
from refdiff.kernels.panels import INDEX, INT, LANES, NUMBERS, VECTOR, VECTORS, WIDTH
from refdiff.kernels.parts import compiled_as
from refdiff.kernels.vectors import at, fetch, spread
from refdiff.op import Array

GROUP = 8  # panels at a time: they stay in the second cache
INNER = 384  # products at a time: a panel's rows of them stay near the first cache
SUMS = 24 if LANES == 16 else 12  # vectors of a block
MOST = 12  # rows of one
TOGETHER = 3  # rows that one register points to
UNROLLED = 2  # products between two steps of it


def accumulate(a: Array, b: Array, c: Array, start: Array | None) -> None:
    """c <- start + a b; c += a b where that is None.

    a [T,K], b [P,K,W], c [T,O], start [O] or more
    """
    right = b.swapaxes(0, 1).reshape(b.shape[1], -1)[:, : c.shape[1]]
    c[...] = (c if start is None else start[: c.shape[1]]) + a @ right


@compiled_as(accumulate)
def _accumulated(a: Any, b: Any, c: Any, start: Any) -> Callable[..., None]:
    def onward(a: Any, b: Any, c: Any, start: Any) -> None:
        left, right, sums = a.strides[0] // 4, b.strides[0] // 4, c.strides[0] // 4
        panels, sizes = (b.ctypes, right, b.shape[2]), (len(a), b.shape[1], c.shape[1])
        product(a.ctypes, left, *panels, c.ctypes, sums, c.ctypes, sums, *sizes)

    def anew(a: Any, b: Any, c: Any, start: Any) -> None:
        left, right, sums = a.strides[0] // 4, b.strides[0] // 4, c.strides[0] // 4
        panels, sizes = (b.ctypes, right, b.shape[2]), (len(a), b.shape[1], c.shape[1])
        product(a.ctypes, left, *panels, start.ctypes, 0, c.ctypes, sums, *sizes)

    return onward if isinstance(start, types.NoneType) else anew


def block(rows: int, vectors: int) -> Any:
    """For so many rows and columns: c <- s + a b, with rows of a so many numbers long.

    Each matrix is where it starts and what lies from a row to the next.
    """

    @intrinsic
    def compute(
        typing: Any,
        a: Any,
        a_step: Any,
        b: Any,
        b_step: Any,
        s: Any,
        s_step: Any,
        c: Any,
        c_step: Any,
        count: Any,
    ) -> Any:
        kind = types.void(*(NUMBERS, INDEX) * 4, INDEX)
        return kind, partial(_code, rows, vectors)

    return compute


def _code(rows: int, vectors: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The machine's instructions for a block of that size."""
    a, a_step, b, b_step, s, s_step, c, c_step, count = args
    width = range(0, vectors * LANES, LANES)

    def vector(start: Any, offset: int) -> Any:
        return builder.bitcast(builder.gep(start, [INT(offset)]), VECTOR.as_pointer())

    def row(start: Any, step: Any, i: int) -> Any:
        return builder.gep(start, [builder.mul(step, INT(i))])

    def kept(value: Any) -> Any:
        return cgutils.alloca_once_value(builder, value)

    sums = [
        [kept(builder.load(vector(row(s, s_step, i), j), align=4)) for j in width]
        for i in range(rows)
    ]
    starts = [kept(row(a, a_step, i)) for i in range(0, rows, TOGETHER)]
    panel = kept(b)

    def products(size: int) -> None:
        lines = [_hidden(builder, builder.load(start)) for start in starts]
        right = _hidden(builder, builder.load(panel))
        for k in range(size):
            start = row(right, b_step, k)
            factors = [builder.load(vector(start, j), align=4) for j in width]
            for i, places in enumerate(sums):
                line = row(lines[i // TOGETHER], a_step, i % TOGETHER)
                number = builder.load(builder.gep(line, [INT(k)]), align=4)
                number = spread(builder, number, LANES)
                for place, factor in zip(places, factors, strict=True):
                    together = multiply_add(builder, number, factor, builder.load(place))
                    builder.store(together, place)
        for start, line in zip(starts, lines, strict=True):
            builder.store(builder.gep(line, [INT(size)]), start)
        builder.store(row(right, b_step, size), panel)

    whole = builder.and_(count, INT(-UNROLLED))
    with cgutils.for_range_slice(builder, INT(0), whole, INT(UNROLLED), INT):
        products(UNROLLED)
    with cgutils.for_range_slice(builder, whole, count, INT(1), INT):
        products(1)
    for i, places in enumerate(sums):
        for j, place in zip(width, places, strict=True):
            builder.store(builder.load(place), vector(row(c, c_step, i), j), align=4)
    return context.get_dummy_value()


def _hidden(builder: Any, pointer: Any) -> Any:
    """The pointer, of which the compiler does not see where it comes from.

    Else it computes the address of every row of every product from the first one's.
    """
    return builder.asm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", [pointer], False)


def strip(vectors: int) -> Any:
    """For so many columns: c <- s + a b, by blocks of as many rows as there are.

    Meanwhile the panel that is read next is brought near, to every row's block its share.
    """
    height = min(SUMS // vectors, MOST)
    most, four, two, one = (block(rows, vectors) for rows in (height, 4, 2, 1))

    @inlined
    def compute(
        a: Any,
        a_step: int,
        b: Any,
        b_step: int,
        s: Any,
        s_step: int,
        c: Any,
        c_step: int,
        rows: int,
        count: int,
        soon: Any,
    ) -> None:
        row, share = 0, count * b_step // rows
        while row < rows:
            left, start, goal = at(a, row * a_step), at(s, row * s_step), at(c, row * c_step)
            rest = rows - row
            fetch(at(soon, row * share), min(rest, height) * share)
            if rest >= height:
                most(left, a_step, b, b_step, start, s_step, goal, c_step, count)
                row += height
            elif rest >= 4:
                four(left, a_step, b, b_step, start, s_step, goal, c_step, count)
                row += 4
            elif rest >= 2:
                two(left, a_step, b, b_step, start, s_step, goal, c_step, count)
                row += 2
            else:
                one(left, a_step, b, b_step, start, s_step, goal, c_step, count)
                row += 1

    return compute


full, half, single = strip(VECTORS), strip(2), strip(1)


@native(*(NUMBERS, INDEX) * 2, INDEX, *(NUMBERS, INDEX) * 2, *(INDEX,) * 3)
def product(
    a: Any,
    a_step: int,
    b: Any,
    b_step: int,
    width: int,
    s: Any,
    s_step: int,
    c: Any,
    c_step: int,
    rows: int,
    inner: int,
    wide: int,
) -> None:
    """c <- s + a b, each matrix as where it starts and its step in numbers.

    b's is from a panel to the next one; panels have `width` columns, c has `wide`.
    """
    done = wide // LANES * LANES
    panels, rest = -(-done // width), wide - done
    for first in range(0, panels, GROUP):
        last = min(first + GROUP, panels) - 1
        for k in range(0, max(inner, 1), INNER):
            left, count = at(a, k), min(INNER, inner - k)
            for panel in range(first, last + 1):
                right, goal = at(b, panel * b_step + k * width), at(c, panel * width)
                if panel < last:
                    soon = at(right, b_step)
                elif k + INNER < inner:
                    soon = at(b, first * b_step + (k + INNER) * width)
                else:
                    soon = at(b, min(last + 1, panels - 1) * b_step)
                start = at(s, panel * width) if k == 0 else goal
                step = s_step if k == 0 else c_step
                columns = min(done - panel * width, width)
                if columns == WIDTH:
                    full(left, a_step, right, width, start, step, goal, c_step, rows, count, soon)
                    continue
                if VECTORS > 2 and columns >= 2 * LANES:
                    half(left, a_step, right, width, start, step, goal, c_step, rows, count, soon)
                if columns // LANES % 2:
                    skip = columns - LANES
                    right, start, goal = at(right, skip), at(start, skip), at(goal, skip)
                    single(left, a_step, right, width, start, step, goal, c_step, rows, count, soon)
    if rest:
        edge = np.empty((rows, LANES), np.float32)
        room, right = edge.ctypes, at(b, done // width * b_step + done % width)
        for row in range(rows):
            for column in range(rest):
                edge[row, column] = s[row * s_step + done + column]
            for column in range(rest, LANES):
                edge[row, column] = 0
        single(a, a_step, right, width, room, LANES, room, LANES, rows, inner, right)
        for row in range(rows):
            for column in range(rest):
                c[row * c_step + done + column] = edge[row, column]
