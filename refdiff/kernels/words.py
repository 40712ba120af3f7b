"""Words that threads read and write at once: each instruction whole, in an order all agree on."""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.panels import INDEX, INT, X86

WORDS: Any = types.CPointer(types.int64)


def _typed(emit: Callable[..., Any], result: Any, values: int) -> Any:
    """emit(builder, address, *values) as an instruction on words[word]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = emit(builder, builder.gep(args[0], [args[1]]), *args[2:])
        return context.get_dummy_value() if result is types.void else made

    return result(WORDS, INDEX, *(INDEX,) * values), code


def _look(typing: Any, words: Any, word: Any) -> Any:
    """The word as it is now."""
    return _typed(lambda builder, place: builder.load_atomic(place, "acquire", 8), INDEX, 0)


def _tell(typing: Any, words: Any, word: Any, value: Any) -> Any:
    """word <- value, which others see after all that was written before."""

    def emit(builder: Any, place: Any, value: Any) -> Any:
        return builder.store_atomic(value, place, "release", 8)

    return _typed(emit, types.void, 1)


def _advance(typing: Any, words: Any, word: Any) -> Any:
    """word <- word + 1; what it was."""
    return _typed(
        lambda builder, place: builder.atomic_rmw("add", place, INT(1), "seq_cst"), INDEX, 0
    )


def _exchange(typing: Any, words: Any, word: Any, old: Any, new: Any) -> Any:
    """word <- new where it is old; whether it was."""

    def emit(builder: Any, place: Any, old: Any, new: Any) -> Any:
        return builder.extract_value(builder.cmpxchg(place, old, new, "seq_cst", "seq_cst"), 1)

    return _typed(emit, types.boolean, 2)


def _rest(typing: Any, polite: Any) -> Any:
    """Wait a moment; where polite, let somebody else have the processor."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def does(name: str, result: Any) -> None:
            kind = ir.FunctionType(result, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])

        if X86:
            does("llvm.x86.sse2.pause", ir.VoidType())
        if binding.address_of_symbol("sched_yield"):
            with builder.if_then(cgutils.is_not_null(builder, args[0])):
                does("sched_yield", ir.IntType(32))
        return context.get_dummy_value()

    return types.void(types.boolean), code


look: Any = intrinsic(_look)
tell: Any = intrinsic(_tell)
advance: Any = intrinsic(_advance)
exchange: Any = intrinsic(_exchange)
rest: Any = intrinsic(_rest)
