"""Every operation of the models, one line each."""

from refdiff.ops.activations import geglu, gelu, gelu_tanh, quick_gelu, silu
from refdiff.ops.add import add
from refdiff.ops.attention import attention, softmax
from refdiff.ops.conv2d import conv2d
from refdiff.ops.embedding import embedding, timestep_embedding
from refdiff.ops.fused import (
    conv2d_of_enlarged,
    conv2d_plus,
    geglu_of_linear,
    linear_plus,
    plus,
    silu_of_group_norm,
)
from refdiff.ops.group_norm import group_norm
from refdiff.ops.layer_norm import layer_norm
from refdiff.ops.layout import concat, upsample_nearest
from refdiff.ops.linear import linear

__all__ = [
    "add",
    "attention",
    "concat",
    "conv2d",
    "conv2d_of_enlarged",
    "conv2d_plus",
    "embedding",
    "geglu",
    "geglu_of_linear",
    "gelu",
    "gelu_tanh",
    "group_norm",
    "layer_norm",
    "linear",
    "linear_plus",
    "plus",
    "quick_gelu",
    "silu",
    "silu_of_group_norm",
    "softmax",
    "timestep_embedding",
    "upsample_nearest",
]
