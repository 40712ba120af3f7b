"""Functions that are only parts of others: what Numba does to them is done once, in the whole.

Numba makes machine code of every function that another one calls, though it then links the text of
it into that one and makes machine code of both. A part is left as text: it is made better, and is
made machine code, where it ends up.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba._dynfunc import make_function
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])


class _Text(JITCodeLibrary):
    """What can be linked into others, and not called."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=False, analysis_only=True)
class _Known(LoweringPass):
    """Callers find a function by the address of its machine code; this one by what has none."""

    _name = "refdiff_part"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        made, env, nowhere = state.cr.fndesc, state.cr.env, 0
        name = made.qualname.rpartition(".")[2]
        module = made.lookup_module()
        known = make_function(module, name, "a part", nowhere, env, (state.library,))
        state.targetctx.insert_user_function(known, made, [state.library])
        state.cr = state.cr._replace(cfunc=known)
        return True


class Part(CompilerBase):
    """Numba's own way to compile, up to there."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        state.flags.no_compile = True
        state.library = _Text(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        passes.add_pass_after(_Known, NativeLowering)
        passes.finalize()
        return [passes]


PART: Any = {
    "pipeline_class": Part,
    "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True,
}


def compiled_as(f: Callable[..., Any]) -> Callable[[F], F]:
    """What f is in compiled code: a function of the types of its arguments that gives another."""
    return cast(Callable[[F], F], overload(f, jit_options=PART))
