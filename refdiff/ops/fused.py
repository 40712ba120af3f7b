"""Ops one after another, in one pass over memory where nobody looks at what is between.

What comes out has the same bits as of the ops. They are called one by one wherever something stands
around ops (`op.around`: a ledger, strips, bounds, mistakes), in the reference engine, and for other
dtypes than float32; and no op is fused whose result a trace records.
"""

import numpy as np

from refdiff.op import Array, current_engine, watched
from refdiff.ops.activations import silu
from refdiff.ops.group_norm import check, group_norm


def silu_of_group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float) -> Array:
    """silu(group_norm(x)). x [N,C,*], gamma, beta [C] -> [N,C,*]

    Raises ShapeError where the groups do not divide the channels.
    """
    single = all(a.dtype == np.float32 for a in (x, gamma, beta))
    if current_engine().name != "fast" or watched() or not single:
        return silu(group_norm(x, gamma, beta, groups=groups, eps=eps))
    from refdiff.kernels import norm

    check(x, gamma, groups)
    return norm.group_norm(x, gamma, beta, groups, eps, active=True)
