"""Ops one after another, in one pass over memory where nobody looks at what is between.

What comes out has the same bits as of the ops. They are called one by one wherever something stands
around ops (`op.around`: a ledger, strips, bounds, mistakes), in the reference engine, and for other
dtypes than float32; and no op is fused whose result a trace records.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, ParamSpec

import numpy as np

from refdiff.op import Array, current_engine, watched
from refdiff.ops.activations import silu
from refdiff.ops.group_norm import check, group_norm

P = ParamSpec("P")


class Fused(Generic[P]):
    """A composition of ops and, where bound, the kernel that does them in one pass."""

    def __init__(self, definition: Callable[P, Array]) -> None:
        update_wrapper(self, definition)
        self.definition = definition
        self.fast = definition

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array:
        single = all(isinstance(a, np.ndarray) and a.dtype == np.float32 for a in args)
        fast = single and current_engine().name == "fast" and not watched()
        return (self.fast if fast else self.definition)(*args, **kwargs)

    def kernel(self, fast: Callable[P, Array]) -> Callable[P, Array]:
        """Bind what gives the same bits."""
        self.fast = fast
        return fast


@Fused
def silu_of_group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    """silu(group_norm(x)). x [N,C,*], gamma, beta [C] -> [N,C,*]"""
    return silu(group_norm(x, gamma, beta, groups=groups, eps=eps))


@silu_of_group_norm.kernel
def _(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    from refdiff.kernels import norm

    check(x, gamma, groups)
    return norm.group_norm(x, gamma, beta, groups, eps, active=True)
