"""Matrix products by blocks that stay in registers: 6 rows times two vectors, one sum an element.

Twelve sums, and what they are made of, fill the sixteen registers of AVX2.

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
from numba.extending import intrinsic, overload

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.jit import inlined, native
from refdiff.kernels.panels import INDEX, INT, LANES, NUMBERS, PLACE, VECTOR, WIDTH
from refdiff.op import Array

GROUP = 8 * WIDTH  # columns at a time: they stay in the second cache
INNER = 384  # products at a time: a panel's rows of them stay in the first cache


def accumulate(a: Array, b: Array, c: Array, fresh: bool) -> None:
    """c += a b, or c <- a b where it is fresh. a [T,K], b [P,K,W], c [T,O], O <= P W

    Where c is not fresh its columns fill whole panels.
    """
    right = b.swapaxes(0, 1).reshape(b.shape[1], -1)[:, : c.shape[1]]
    c[...] = a @ right if fresh else c + a @ right


@overload(accumulate)
def _accumulated(a: Any, b: Any, c: Any, fresh: Any) -> Callable[..., None]:
    def accumulate(a: Any, b: Any, c: Any, fresh: Any) -> None:
        left, right, sums = a.strides[0] // 4, b.strides[0] // 4, c.strides[0] // 4
        T, K, O = len(a), b.shape[1], c.shape[1]  # noqa: E741
        product(a.ctypes, left, T, K, b.ctypes, right, c.ctypes, sums, O, fresh)

    return accumulate


def block(rows: int) -> Any:
    """For so many rows: c[i, :W] += a[i, first:last] b[first:last, :W]; a fresh c counts as 0.

    Each matrix is where it starts and what lies from a row to the next; the panel b is dense.
    """

    @intrinsic
    def compute(
        typing: Any,
        a: Any,
        a_at: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        c: Any,
        c_at: Any,
        c_step: Any,
        first: Any,
        last: Any,
        fresh: Any,
    ) -> Any:
        place = NUMBERS, INDEX
        flag = types.boolean
        return types.void(*place, INDEX, *place, *place, INDEX, INDEX, INDEX, flag), partial(
            _code, rows
        )

    return compute


def _code(rows: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The machine's instructions for a block of so many rows."""
    a, a_at, a_step, b, b_at, c, c_at, c_step, first, last, fresh = args
    width = range(0, WIDTH, LANES)

    def vector(matrix: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(matrix, [offset]), VECTOR.as_pointer())

    def spread(number: Any) -> Any:
        nothing = ir.Constant(VECTOR, ir.Undefined)
        one = builder.insert_element(nothing, number, PLACE(0))
        zeros = ir.Constant(ir.VectorType(PLACE, LANES), [0] * LANES)
        return builder.shuffle_vector(one, nothing, zeros)

    def rows_of(matrix: Any, at: Any, step: Any) -> list[Any]:
        steps = (builder.mul(step, INT(i)) for i in range(rows))
        return [builder.gep(matrix, [builder.add(at, s)]) for s in steps]

    left = rows_of(a, a_at, a_step)
    goals = [[vector(line, INT(j)) for j in width] for line in rows_of(c, c_at, c_step)]
    zero, fresh = ir.Constant(VECTOR, [0.0] * LANES), cgutils.is_not_null(builder, fresh)
    sums = [
        [
            cgutils.alloca_once_value(
                builder, builder.select(fresh, zero, builder.load(goal, align=4))
            )
            for goal in line
        ]
        for line in goals
    ]
    with cgutils.for_range_slice(builder, first, last, INT(1), INT) as (k, _):
        line = builder.add(b_at, builder.mul(k, INT(WIDTH)))
        factors = [builder.load(vector(b, builder.add(line, INT(j))), align=4) for j in width]
        for start, places in zip(left, sums, strict=True):
            number = spread(builder.load(builder.gep(start, [k]), align=4))
            for place, factor in zip(places, factors, strict=True):
                builder.store(multiply_add(builder, number, factor, builder.load(place)), place)
    for places, goal_line in zip(sums, goals, strict=True):
        for place, goal in zip(places, goal_line, strict=True):
            builder.store(builder.load(place), goal, align=4)
    return context.get_dummy_value()


one, four, six = block(1), block(4), block(6)


@inlined
def strip(
    a: Any,
    a_step: int,
    rows: int,
    b: Any,
    b_at: int,
    c: Any,
    c_at: int,
    c_step: int,
    first: int,
    last: int,
    fresh: bool,
) -> None:
    """All rows of c in the columns of one panel."""
    row = 0
    while row + 6 <= rows:
        at = row * a_step, c_at + row * c_step
        six(a, at[0], a_step, b, b_at, c, at[1], c_step, first, last, fresh)
        row += 6
    if row + 4 <= rows:
        at = row * a_step, c_at + row * c_step
        four(a, at[0], a_step, b, b_at, c, at[1], c_step, first, last, fresh)
        row += 4
    while row < rows:
        at = row * a_step, c_at + row * c_step
        one(a, at[0], a_step, b, b_at, c, at[1], c_step, first, last, fresh)
        row += 1


@native(NUMBERS, INDEX, INDEX, INDEX, NUMBERS, INDEX, NUMBERS, INDEX, INDEX, types.boolean)
def product(
    a: Any,
    a_step: int,
    rows: int,
    K: int,
    b: Any,
    b_step: int,
    c: Any,
    c_step: int,
    columns: int,
    fresh: bool,
) -> None:
    """What `accumulate` does, with each matrix as where it starts and its step in numbers."""
    whole = columns // WIDTH
    for start in range(0, whole, GROUP // WIDTH):
        for first in range(0, K, INNER):
            last, new = min(first + INNER, K), fresh and first == 0
            for panel in range(start, min(start + GROUP // WIDTH, whole)):
                strip(
                    a, a_step, rows, b, panel * b_step, c, panel * WIDTH, c_step, first, last, new
                )
    done = whole * WIDTH
    if done < columns:
        edge = np.empty((rows, WIDTH), np.float32)
        for first in range(0, K, INNER):
            last, new = min(first + INNER, K), first == 0
            strip(a, a_step, rows, b, whole * b_step, edge.ctypes, 0, WIDTH, first, last, new)
        for row in range(rows):
            for column in range(columns - done):
                c[row * c_step + done + column] = edge[row, column]
