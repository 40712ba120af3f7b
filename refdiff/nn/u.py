"""The walk that every U-Net here makes: down the levels, through the middle, up again.

Ronneberger et al. 2015 (arXiv 1505.04597). Each result on the way down is laid beside the same
level's on the way up. What a level is made of comes in as functions: `resnet`, and `attend` where
it attends, which is all in which the conditional and the unconditional network differ.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from refdiff import ops
from refdiff.nn.layers import conv2d, silu_of_norm
from refdiff.nn.resnet import downsample, sampler_shapes, upsample
from refdiff.nn.shapes import Shape, Tree, conv, flatten, norm, numbered
from refdiff.op import Array
from refdiff.ops.conv2d import Padding
from refdiff.params import Params, layer

Block: TypeAlias = Callable[[Params, Array], Array]


def walk(
    p: Params,
    x: Array,
    resnet: Block,
    *,
    down: Sequence[Block | None],
    mid: Block | None,
    up: Sequence[Block | None],
    layers: Sequence[int],
    padding: Padding,
    groups: int,
    eps: float,
) -> Array:
    """From the first convolution to the last: x [N,C,H,W] -> [N,O,H,W]

    down, up: the attention of each level, or None; layers: residual blocks of each on the way down.
    """
    x = conv2d(p / "conv_in", x, padding=1)
    skips = [x]
    for i, attend in enumerate(down):
        x, new = down_block(p / "down_blocks" / i, x, resnet, attend, layers[i], padding)
        skips += new
    x = mid_block(p / "mid_block", x, resnet, mid)
    for i, attend in enumerate(up):
        count = layers[-1 - i] + 1
        skips, used = skips[:-count], skips[-count:]
        x = up_block(p / "up_blocks" / i, x, used, resnet, attend, above=skips[-1:])
    assert not skips
    x = silu_of_norm(p / "conv_act", p / "conv_norm_out", x, groups=groups, eps=eps)
    return conv2d(p / "conv_out", x, padding=1)


@layer
def down_block(
    p: Params, x: Array, resnet: Block, attend: Block | None, layers: int, padding: Padding
) -> tuple[Array, list[Array]]:
    """Residual blocks, each with its attention, then half the size; and each result on the way.

    x [N,C,H,W] -> [N,O,H',W']
    """
    skips = []
    for j in range(layers):
        x = resnet(p / "resnets" / j, x)
        x = attend(p / "attentions" / j, x) if attend else x
        skips.append(x)
    if "downsamplers" in p:
        x = downsample(p / "downsamplers" / 0, x, padding=padding)
        skips.append(x)
    return x, skips


@layer
def mid_block(p: Params, x: Array, resnet: Block, attend: Block | None) -> Array:
    """Residual block, attention, residual block: x [N,C,H,W] -> [N,C,H,W]"""
    x = resnet(p / "resnets" / 0, x)
    x = attend(p / "attentions" / 0, x) if attend else x
    return resnet(p / "resnets" / 1, x)


@layer
def up_block(
    p: Params,
    x: Array,
    skips: Sequence[Array],
    resnet: Block,
    attend: Block | None,
    *,
    above: Sequence[Array],
) -> Array:
    """Residual blocks on x beside the last skip left, then the size of the level above.

    x [N,C,H,W] -> [N,O,H',W']
    """
    for j, skip in enumerate(reversed(skips)):
        x = resnet(p / "resnets" / j, ops.concat(x, skip))
        x = attend(p / "attentions" / j, x) if attend else x
    if "upsamplers" in p:
        H, W = above[0].shape[2:]
        x = upsample(p / "upsamplers" / 0, x, size=(H, W))
    return x


def walk_shapes(
    channels: Sequence[int],
    ends: tuple[int, int],
    resnet: Callable[[int, int], Tree],
    *,
    down: Sequence[Tree | None],
    mid: Tree | None,
    up: Sequence[Tree | None],
    layers: Sequence[int],
) -> dict[str, Shape]:
    """The weights of `walk`; ends: channels in and out of it; resnet: (out, in) -> shapes."""
    last = len(channels) - 1
    downs, ups = [], []
    for level, c in enumerate(channels):
        inputs = [channels[max(level - 1, 0)]] + [c] * (layers[level] - 1)
        block = level_shapes([resnet(c, i) for i in inputs], down[level])
        downs.append(block if level == last else {**block, "downsamplers": sampler_shapes(c)})
    for i, attention in enumerate(up):
        level = last - i
        c, above = channels[level], channels[max(level - 1, 0)]
        below = channels[min(level + 1, last)]
        inputs = [below] + [c] * layers[level]
        skips = [c] * layers[level] + [above]
        resnets = [resnet(c, a + b) for a, b in zip(inputs, skips, strict=True)]
        block = level_shapes(resnets, attention)
        ups.append(block if level == 0 else {**block, "upsamplers": sampler_shapes(c)})
    c = channels[-1]
    middle = {"resnets": numbered(resnet(c, c), resnet(c, c))}
    return flatten(
        {
            "conv_in": conv(channels[0], ends[0]),
            "down_blocks": numbered(*downs),
            "mid_block": middle if mid is None else {**middle, "attentions": numbered(mid)},
            "up_blocks": numbered(*ups),
            "conv_norm_out": norm(channels[0]),
            "conv_out": conv(ends[1], channels[0]),
        }
    )


def level_shapes(resnets: Sequence[Tree], attention: Tree | None) -> dict[str, Tree]:
    """Residual blocks and, where the level attends, an attention after each."""
    shapes = {"resnets": numbered(*resnets)}
    if attention is not None:
        shapes["attentions"] = numbered(*[attention] * len(resnets))
    return shapes
