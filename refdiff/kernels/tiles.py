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
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.crew import KIND, crew, shared
from refdiff.kernels.jit import inlined, jit
from refdiff.kernels.panels import INDEX, INT
from refdiff.kernels.parts import compiled_as
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

    def __call__(self, tiles: int, *arguments: Any) -> None:
        self.made(tiles, crew(tiles), *arguments)

    def py_func(self, tiles: int, *arguments: Any) -> None:
        """The same by the interpreter."""
        for tile in range(tiles):
            self.work(*arguments, 0, tile)


def within(tiled: Tiled) -> Callable[..., None]:
    """f(tiles, crew, *arguments): all tiles, as a part of what is compiled around it.

    Of several in a row everyone begins with the same part of the tiles.
    """
    one = inlined(tiled.every)

    def part(tiles: Any, crew: Any, *arguments: Any) -> None:
        tiled.py_func(tiles, *arguments)

    @compiled_as(part)
    def _(tiles: Any, crew: Any, *arguments: Any) -> Callable[..., None]:
        def part(tiles: Any, crew: Any, *arguments: Any) -> None:
            one(tiles, crew, *arguments)

        return part

    return part


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
