"""Matrix products by blocks that stay in registers: 6 rows times two vectors, one sum an element.

Twelve sums, and what they are made of, fill the sixteen registers of AVX2.

Every element is one chain of fused multiply-adds in the order of the inner axis, however rows and
columns are divided: so it has the same bits in every tile, thread and batch.

The second matrix comes in panels of WIDTH columns, each laid down row by row, zeros behind the last
column. Compiled code reads the first matrix wherever it lies, if only its rows are contiguous.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from refdiff.kernels.fma import multiply_add
from refdiff.kernels.jit import inlined
from refdiff.op import Array

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
WIDTH = 2 * LANES  # columns of a panel
GROUP = 8  # panels at a time: what they give stays in the second cache
INNER = 384  # products at a time: a panel's rows of them stay in the first cache
FLOAT, INT, PLACE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)


def multiply(a: Array, b: Array, bias: Array, c: Array, column: int) -> None:
    """c[:, column:column+O] <- a b + bias. a [T,K], b [P,K,W], bias [O], c [T,*], O <= P W"""
    columns = b.swapaxes(0, 1).reshape(b.shape[1], -1)[:, : len(bias)]
    c[:, column : column + len(bias)] = a @ columns + bias


@overload(multiply)
def _multiplied(a: Any, b: Any, bias: Any, c: Any, column: Any) -> Callable[..., None]:
    def multiply(a: Any, b: Any, bias: Any, c: Any, column: Any) -> None:
        K, O = b.shape[1], len(bias)  # noqa: E741
        whole = O // WIDTH
        for start in range(0, whole, GROUP):
            stop = min(start + GROUP, whole)
            for first in range(0, K, INNER):
                last = min(first + INNER, K)
                for panel in range(start, stop):
                    strip(a, b, panel, c, column + panel * WIDTH, first, last, first == 0)
            added = bias[start * WIDTH : stop * WIDTH]
            for t in range(len(a)):
                row = c[t, column + start * WIDTH : column + stop * WIDTH]
                for o in range(len(row)):
                    row[o] += added[o]
        done = whole * WIDTH
        if done < O:
            edge = np.empty((len(a), WIDTH), np.float32)
            for first in range(0, K, INNER):
                strip(a, b, whole, edge, 0, first, min(first + INNER, K), first == 0)
            for t in range(len(a)):
                for o in range(done, O):
                    c[t, column + o] = edge[t, o - done] + bias[o]

    return multiply


def accumulate(a: Array, b: Array, c: Array, fresh: bool) -> None:
    """c += a b in whole panels, or c <- a b where it is fresh. a [T,K], b [P,K,W], c [T,P W]"""
    product = a @ b.swapaxes(0, 1).reshape(b.shape[1], -1)
    c[...] = product if fresh else c + product


@overload(accumulate)
def _accumulated(a: Any, b: Any, c: Any, fresh: Any) -> Callable[..., None]:
    def accumulate(a: Any, b: Any, c: Any, fresh: Any) -> None:
        K = b.shape[1]
        for first in range(0, K, INNER):
            start = fresh and first == 0
            for panel in range(len(b)):
                strip(a, b, panel, c, panel * WIDTH, first, min(first + INNER, K), start)

    return accumulate


def block(rows: int) -> Any:
    """c[row:row+rows, column:column+W] += a[row:row+rows] b[panel], for so many rows.

    Of the inner axis only what lies between `first` and `last`; a fresh c counts as 0.
    """

    @intrinsic
    def compute(
        typing: Any,
        a: Any,
        row: Any,
        b: Any,
        panel: Any,
        c: Any,
        column: Any,
        first: Any,
        last: Any,
        fresh: Any,
    ) -> Any:
        index = types.int64
        signature = types.void(a, index, b, index, c, index, index, index, types.boolean)
        return signature, partial(_code, rows)

    return compute


def _code(rows: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The machine's instructions for a block of so many rows."""
    _, row, _, panel, _, column, first, last, fresh = args

    at = partial(element, context, builder, signature, args)

    def pointer(address: Any, offset: Any, kind: Any) -> Any:
        return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

    def spread(number: Any) -> Any:
        nothing = ir.Constant(VECTOR, ir.Undefined)
        one = builder.insert_element(nothing, number, PLACE(0))
        zeros = ir.Constant(ir.VectorType(PLACE, LANES), [0] * LANES)
        return builder.shuffle_vector(one, nothing, zeros)

    offsets = [INT(4 * LANES * j) for j in range(WIDTH // LANES)]
    left = [at(0, builder.add(row, INT(i))) for i in range(rows)]
    right = at(2, panel)
    zero, fresh = ir.Constant(VECTOR, [0.0] * LANES), cgutils.is_not_null(builder, fresh)
    goals = [
        [pointer(at(4, builder.add(row, INT(i)), column), offset, VECTOR) for offset in offsets]
        for i in range(rows)
    ]
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
        line = builder.mul(k, INT(4 * WIDTH))
        factors = [
            builder.load(pointer(right, builder.add(line, offset), VECTOR), align=4)
            for offset in offsets
        ]
        for address, places in zip(left, sums, strict=True):
            number = builder.load(pointer(address, builder.mul(k, INT(4)), FLOAT), align=4)
            spreaded = spread(number)
            for place, factor in zip(places, factors, strict=True):
                builder.store(multiply_add(builder, spreaded, factor, builder.load(place)), place)
    for places, line in zip(sums, goals, strict=True):
        for place, goal in zip(places, line, strict=True):
            builder.store(builder.load(place), goal, align=4)
    return context.get_dummy_value()


one, four, six = block(1), block(4), block(6)


@inlined
def strip(
    a: Any, b: Any, panel: int, c: Any, column: int, first: int, last: int, fresh: bool
) -> None:
    """Columns of c from `column` on: those of one panel of b."""
    row = 0
    while row + 6 <= len(a):
        six(a, row, b, panel, c, column, first, last, fresh)
        row += 6
    if row + 4 <= len(a):
        four(a, row, b, panel, c, column, first, last, fresh)
        row += 4
    while row < len(a):
        one(a, row, b, panel, c, column, first, last, fresh)
        row += 1


@inlined
def lay(rows: Array, panel: Array) -> None:
    """Rows of the transposed second matrix as a panel of it. rows [O,K], O <= W, panel [K,W]"""
    O, K = rows.shape  # noqa: E741
    whole = K // LANES * LANES if O == WIDTH else 0
    for k in range(0, whole, LANES):
        for o in range(0, WIDTH, LANES):
            turn(rows, o, k, panel)
    for k in range(whole, K):
        for o in range(O):
            panel[k, o] = rows[o, k]
        for o in range(O, WIDTH):
            panel[k, o] = 0


def turn(rows: Array, o: int, k: int, panel: Array) -> None:
    """panel[k+i, o+j] <- rows[o+j, k+i] for i, j below LANES"""
    panel[k : k + LANES, o : o + LANES] = rows[o : o + LANES, k : k + LANES].T


@overload(turn)
def _turned(rows: Any, o: Any, k: Any, panel: Any) -> Callable[..., None]:
    def turn(rows: Any, o: Any, k: Any, panel: Any) -> None:
        _turn(rows, o, k, panel)  # type: ignore[call-arg]

    return turn


@intrinsic
def _turn(typing: Any, rows: Any, o: Any, k: Any, panel: Any) -> Any:
    """In registers: blocks off the diagonal change places, half as large each time."""
    signature = types.void(rows, types.int64, types.int64, panel)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, o, k, _ = args
        source = partial(element, context, builder, signature, args, 0)
        target = partial(element, context, builder, signature, args, 3)
        kind = VECTOR.as_pointer()
        lines = [
            builder.load(builder.inttoptr(source(builder.add(o, INT(i)), k), kind), align=4)
            for i in range(LANES)
        ]
        size = LANES // 2
        while size:
            mine = [lane if not lane & size else LANES + lane - size for lane in range(LANES)]
            other = [lane + size if not lane & size else LANES + lane for lane in range(LANES)]
            for i in range(LANES):
                if not i & size:
                    pair = lines[i], lines[i + size]
                    lines[i], lines[i + size] = (
                        builder.shuffle_vector(
                            *pair, ir.Constant(ir.VectorType(PLACE, LANES), places)
                        )
                        for places in (mine, other)
                    )
            size //= 2
        for i, line in enumerate(lines):
            builder.store(line, builder.inttoptr(target(builder.add(k, INT(i)), o), kind), align=4)
        return context.get_dummy_value()

    return signature, code


def element(context: Any, builder: Any, signature: Any, args: Any, array: int, *place: Any) -> Any:
    """Where in memory an element of an argument lies."""
    made = cgutils.create_struct_proxy(signature.args[array])(context, builder, args[array])
    address = builder.ptrtoint(made.data, INT)
    for axis, index in enumerate(place):
        step = builder.mul(index, builder.extract_value(made.strides, axis))
        address = builder.add(address, step)
    return address
