"""Kernels by tiles: a function of one tile, compiled so that all its tiles are one call.

    @Tiled
    def _double(x, y, size, who, tile):
        some, to = x[tile * size : (tile + 1) * size], y[tile * size : (tile + 1) * size]
        for i in range(len(to)):
            to[i] = 2 * some[i]

    _double(tiles, x, y, size)

The last two arguments say which thread computes, for room of its own, and which tile.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.crew import KIND, crew, shared
from refdiff.kernels.jit import inlined, jit
from refdiff.kernels.panels import INDEX, INT
from refdiff.op import Array


def count(total: int, size: int) -> int:
    """How many tiles of a size make the total; the last may be smaller."""
    return -(-total // size)


class Tiled:
    """work(*arguments, who, tile) made a function of (tiles, *arguments).

    plain: the same for the interpreter, where work itself calls what is compiled.
    """

    def __init__(self, work: Callable[..., None], plain: Callable[..., None] | None = None) -> None:
        one = inlined(work)

        def every(tiles: int, crew: Array, *arguments: Any) -> None:
            code, place = prepared(one, arguments)
            shared(code, place, tiles, crew.ctypes, len(crew))

        every.__qualname__ = f"{work.__module__.rpartition('.')[2]}.{work.__name__}"
        self.work, self.every, self.made = plain or work, every, jit(every)
        self.takes = len(signature(work).parameters) - 2

    def __call__(self, tiles: int, *arguments: Any) -> None:
        self.made(tiles, crew(tiles), *arguments)

    def py_func(self, tiles: int, *arguments: Any) -> None:
        """The same by the interpreter."""
        for tile in range(tiles):
            self.work(*arguments, 0, tile)


class InTurn:
    """All tiles of the first, then all of the second, in one call; each takes the first arguments.

    Everyone begins with the same part of them both times.
    """

    def __init__(self, first: Tiled, second: Tiled) -> None:
        one, other = inlined(first.every), inlined(second.every)
        few, many = first.takes, second.takes

        def both(tiles: int, crew: Array, *arguments: Any) -> None:
            one(tiles, crew, *arguments[:few])
            other(tiles, crew, *arguments[:many])

        both.__qualname__ = f"{first.every.__qualname__} and {second.work.__name__}"
        self.parts, self.made = (first, second), jit(both)

    def __call__(self, tiles: int, *arguments: Any) -> None:
        self.made(tiles, crew(tiles), *arguments)

    def py_func(self, tiles: int, *arguments: Any) -> None:
        """The same by the interpreter."""
        for part in self.parts:
            part.py_func(tiles, *arguments[: part.takes])


def _prepared(typing: Any, work: Any, arguments: Any) -> Any:
    """Two addresses: of code that takes that of the arguments, who and a tile, and of those."""
    one = work.get_call_type(typing, (*arguments.types, INDEX, INDEX), {})

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = work.dispatcher.overloads[one.args]
        context.active_code_library.add_linking_library(made.library)
        name = builder.module.get_unique_name(f"tile.{work.dispatcher.__name__}")
        function = ir.Function(builder.module, KIND, name)
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block())
        place = inside.inttoptr(function.args[0], args[1].type.as_pointer())
        values = cgutils.unpack_tuple(inside, inside.load(place))
        values += function.args[1:]
        context.call_internal_no_propagate(inside, made.fndesc, one, values)
        inside.ret_void()
        place = cgutils.alloca_once_value(builder, args[1])
        both = [builder.ptrtoint(address, INT) for address in (function, place)]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(INDEX, 2)(work, arguments), code


prepared: Any = intrinsic(_prepared)
