"""The residual block of every U-Net and VAE here, and the resampling between levels.

He et al. 2016 (arXiv 1603.05027) with group norm and SiLU; the time enters as in Ho et al. 2020
(arXiv 2006.11239, appendix B) or as scale and shift (Dhariwal & Nichol
2021, arXiv 2105.05233, eq. 4).
"""

from refdiff.nn.layers import (
    conv2d,
    conv2d_of_enlarged,
    group_norm,
    linear,
    silu,
    silu_of_norm,
)
from refdiff.nn.shapes import Tree, conv, norm
from refdiff.nn.shapes import linear as affine
from refdiff.op import Array
from refdiff.ops.conv2d import Padding
from refdiff.params import Params, layer


@layer
def resnet_block(
    p: Params, x: Array, temb: Array | None, *, groups: int, eps: float, scale_shift: bool = False
) -> Array:
    """x + conv(silu(norm(conv(silu(norm(x))) + time))).

    x [N,C,H,W], temb [N,T] or None -> [N,O,H,W]
    """
    act = p / "nonlinearity"
    h = silu_of_norm(act, p / "norm1", x, groups=groups, eps=eps)
    time = None
    if temb is not None:
        time = linear(p / "time_emb_proj", silu(act, temb))[:, :, None, None]
    if time is not None and scale_shift:
        h = conv2d(p / "conv1", h, padding=1)
        h = group_norm(p / "norm2", h, groups=groups, eps=eps)
        scale, shift = time[:, : h.shape[1]], time[:, h.shape[1] :]
        h = silu(act, h * (1 + scale) + shift)
    else:
        h = conv2d(p / "conv1", h, padding=1, to=time)
        h = silu_of_norm(act, p / "norm2", h, groups=groups, eps=eps)
    skip = conv2d(p / "conv_shortcut", x) if "conv_shortcut" in p else x
    return conv2d(p / "conv2", h, padding=1, to=skip)


def resnet_shapes(o: int, i: int, time: int | None = None, scale_shift: bool = False) -> Tree:
    """The weights of `resnet_block` from i to o channels, `time` the width of temb."""
    shapes: dict[str, Tree] = {"norm1": norm(i), "conv1": conv(o, i)}
    if time is not None:
        shapes["time_emb_proj"] = affine(2 * o if scale_shift else o, time)
    shapes |= {"norm2": norm(o), "conv2": conv(o, o)}
    return shapes if i == o else {**shapes, "conv_shortcut": conv(o, i, 1)}


@layer
def downsample(p: Params, x: Array, *, padding: Padding) -> Array:
    """Every second pixel of a convolution: x [N,C,H,W] -> [N,C,H/2,W/2]

    The U-Net pads all sides by one, the VAE's encoder only below and on the right: (0, 1, 0, 1).
    """
    return conv2d(p / "conv", x, stride=2, padding=padding)


@layer
def upsample(p: Params, x: Array, *, size: tuple[int, int] | None = None) -> Array:
    """Each pixel repeated, then a convolution: x [N,C,H,W] -> [N,C,2H,2W], or to `size`."""
    return conv2d_of_enlarged(p / "conv", x, size=size)


def sampler_shapes(c: int) -> Tree:
    """The one convolution of `downsample` and `upsample`, in the checkpoint's list of one."""
    return {"0": {"conv": conv(c, c)}}
