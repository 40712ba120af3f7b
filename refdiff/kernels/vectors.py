"""Loops over numbers in vectors, where the compiler makes none, or only of long ones.

None of them hands an array on, which would be counted: they take addresses, or are made in place.
"""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.panels import INDEX, INT, LANES, PLACE
from refdiff.kernels.scratch import LINE

FLOAT = 4  # bytes


def _address(typing: Any, x: Any) -> Any:
    """Where an array starts."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return cgutils.create_struct_proxy(x)(context, builder, args[0]).data

    return types.CPointer(x.dtype)(x), code


def _at(typing: Any, start: Any, offset: Any) -> Any:
    """The address so many numbers on."""
    kind = types.CPointer(start.dtype)
    return kind(kind, INDEX), lambda context, builder, signature, args: builder.gep(
        args[0], [args[1]]
    )


def _fetch(typing: Any, start: Any, count: Any) -> Any:
    """Have so many numbers brought near, which are wanted later; none need be there."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, PLACE, PLACE, PLACE])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, second_cache, data = PLACE(0), PLACE(2), PLACE(1)
        with cgutils.for_range_slice(builder, INT(0), args[1], INT(LINE // FLOAT), INT) as (k, _):
            place = builder.bitcast(builder.gep(args[0], [k]), byte)
            builder.call(hint, [place, reading, second_cache, data])
        return context.get_dummy_value()

    return types.void(start, INDEX), code


address: Any = intrinsic(_address)
at: Any = intrinsic(_at)
fetch: Any = intrinsic(_fetch)


def rowwise(emit: Callable[..., Any], past: bool = False) -> Any:
    """f(x, y, *others): each row of y <- emit of that of x, and of the others. x, y [R,n]

    others [n] are the same for all rows, or [R,n]. emit(builder, *values) gives the instructions,
    for numbers and vectors alike. They do not look whether arrays overlap. Past the caches, which
    need not read what is written whole: then each row of y must begin with a line of them.
    """

    def loops(typing: Any, x: Any, y: Any, *others: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds, given = (x, y, *others), (*args[:2], *cgutils.unpack_tuple(builder, args[2]))
            arrays = [
                cgutils.create_struct_proxy(kind)(context, builder, array)
                for kind, array in zip(kinds, given, strict=True)
            ]
            rows, n = cgutils.unpack_tuple(builder, arrays[1].shape)
            steps = [
                builder.sdiv(builder.extract_value(array.strides, 0), array.itemsize)
                if kind.ndim == 2
                else INT(0)
                for kind, array in zip(kinds, arrays, strict=True)
            ]
            with cgutils.for_range(builder, rows) as row:
                start, goal, *more = (
                    builder.gep(array.data, [builder.mul(row.index, step)])
                    for array, step in zip(arrays, steps, strict=True)
                )
                for k, size in in_vectors(builder, n):
                    starts = (start, *more)
                    places = [vector(builder, builder.gep(place, [k]), size) for place in starts]
                    result = emit(builder, *(builder.load(place, align=4) for place in places))
                    place = vector(builder, builder.gep(goal, [k]), size)
                    if past and size > 1:
                        stored = builder.store(result, place, align=FLOAT * LANES)
                        stored.set_metadata("nontemporal", builder.module.add_metadata([PLACE(1)]))
                    else:
                        builder.store(result, place, align=4)
            if past:
                builder.fence("seq_cst")  # before other threads are told that it is there
            return context.get_dummy_value()

        return types.void(x, y, types.Tuple.from_types(others)), code

    return intrinsic(loops)


def in_vectors(builder: Any, count: Any) -> Iterator[tuple[Any, int]]:
    """Loops over so many numbers, to be filled with code: where each begins, and how many it takes.

    Whole vectors first, then what is left one by one.
    """
    whole = builder.and_(count, INT(-LANES))
    for first, last, size in ((INT(0), whole, LANES), (whole, count, 1)):
        with cgutils.for_range_slice(builder, first, last, INT(size), INT) as (k, _):
            yield k, size


def spread(builder: Any, number: Any, lanes: int) -> Any:
    """A vector of so many times the number."""
    nothing = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    one = builder.insert_element(nothing, number, PLACE(0))
    return builder.shuffle_vector(
        one, nothing, ir.Constant(ir.VectorType(PLACE, lanes), [0] * lanes)
    )


def constant(kind: Any, value: Any) -> Any:
    """A number, or a vector full of it."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [constant(kind.element, value).constant] * kind.count)
    return ir.Constant(kind, int(value) if isinstance(kind, ir.IntType) else float(value))


def vector(builder: Any, place: Any, size: int) -> Any:
    """The address of one number as that of so many; of one as it is."""
    if size == 1:
        return place
    return builder.bitcast(place, ir.VectorType(place.type.pointee, size).as_pointer())
