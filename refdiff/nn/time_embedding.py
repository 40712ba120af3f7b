"""What a U-Net knows of the time: sinusoids, then two affine maps (Ho et al. 2020, appendix B)."""

import numpy as np

from refdiff import ops
from refdiff.errors import ShapeError
from refdiff.nn.layers import linear, silu
from refdiff.nn.shapes import Tree
from refdiff.nn.shapes import linear as affine
from refdiff.op import Array
from refdiff.params import Params, layer


def time_proj(
    p: Params, t: Array | float, x: Array, width: int, *, flip: bool, shift: float
) -> Array:
    """The sinusoids of t for each sample of x, in x's dtype.

    t [] or [N], x [N,*] -> [N,width]
    Raises ShapeError where t is neither one time nor one for each sample.
    """
    times = np.asarray(t, np.float64)
    if times.shape not in ((), (1,), (len(x),)):
        raise ShapeError(
            f"t has the shape {times.shape}: give one time, or one for each of {len(x)}"
        )
    waves = ops.timestep_embedding(
        np.broadcast_to(times, (len(x),)),
        width,
        flip_sin_to_cos=flip,
        freq_shift=shift,
    )
    return p.tap("time_proj", waves.astype(x.dtype))


@layer
def time_embedding(p: Params, waves: Array) -> Array:
    """waves [N,C] -> [N,T]"""
    return linear(p / "linear_2", silu(p / "act", linear(p / "linear_1", waves)))


def time_embedding_shapes(width: int, channels: int) -> Tree:
    """The weights of `time_embedding`, T = width."""
    return {"linear_1": affine(width, channels), "linear_2": affine(width, width)}
