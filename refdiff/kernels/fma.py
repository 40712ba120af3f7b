"""Fused multiply-add: a b + c rounded once, which compilers may not make of two roundings."""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import intrinsic

from refdiff.kernels.panels import X86
from refdiff.kernels.parts import compiled_as

_features = binding.get_host_cpu_features()
FUSED = bool(_features.get("fma")) or not X86


def fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c. a, b, c [] in float32"""
    return a * b + c


@compiled_as(fma)
def _compiled(a: Any, b: Any, c: Any) -> Callable[..., Any]:
    def fma(a: Any, b: Any, c: Any) -> Any:
        return _fma(a, b, c)  # type: ignore[call-arg]

    return fma


@intrinsic
def _fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return multiply_add(builder, *args)

    return a(a, a, a), code


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """The instruction for numbers or vectors of them; two where a processor lacks it."""
    if not FUSED:
        return builder.fadd(builder.fmul(a, b), c)
    lanes, number = "", a.type
    if isinstance(number, ir.VectorType):
        lanes, number = f"v{number.count}", number.element
    name = f"llvm.fma.{lanes}f{32 if isinstance(number, ir.FloatType) else 64}"
    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), name
    )
    return builder.call(fused, [a, b, c])
