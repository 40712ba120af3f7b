"""UNet2DModel: the unconditional U-Net of denoising diffusion (Ho et al. 2020, arXiv 2006.11239).

The walk of `u.py` with plain attention over the pixels.
"""

from dataclasses import dataclass
from functools import partial

from refdiff.errors import ShapeError
from refdiff.nn.resnet import resnet_block, resnet_shapes
from refdiff.nn.shapes import Shape, flatten
from refdiff.nn.time_embedding import time_embedding, time_embedding_shapes, time_proj
from refdiff.nn.transformer import attention_block, attention_block_shapes
from refdiff.nn.u import Block, walk, walk_shapes
from refdiff.op import Array
from refdiff.params import Params, layer


@dataclass(frozen=True)
class UnconditionalUNetConfig:
    """One entry of each tuple for each level, the finest first; `up` in the order of the way up."""

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    down: tuple[bool, ...]  # does the level attend on the way down
    up: tuple[bool, ...]  # ... and on the way up, the coarsest first
    layers: int  # residual blocks on the way down; one more on the way up
    head_dim: int | None  # width of a head; None: one head
    groups: int
    eps: float
    scale_shift: bool
    flip_sin_to_cos: bool
    freq_shift: float
    downsample_padding: int  # 1, or 0 for zeros below and on the right only
    mid_attention: bool
    center_input: bool  # 2x - 1 first
    sample_size: int | None = None

    @property
    def time_width(self) -> int:
        """Width of the time embedding."""
        return 4 * self.channels[0]


@layer
def unconditional_unet(
    p: Params, x: Array, t: Array | float, *, config: UnconditionalUNetConfig
) -> Array:
    """What the network predicts for noisy pictures at time t.

    x [N,C,H,W], t [] or [N] -> [N,O,H,W]
    Raises ShapeError where an input does not fit the configuration.
    """
    if x.ndim != 4 or x.shape[1] != config.in_channels:
        raise ShapeError(f"pictures {x.shape}: expected [N,{config.in_channels},H,W]")
    waves = time_proj(
        p, t, x, config.channels[0], flip=config.flip_sin_to_cos, shift=config.freq_shift
    )
    temb = time_embedding(p / "time_embedding", waves)
    resnet = partial(
        resnet_block,
        temb=temb,
        groups=config.groups,
        eps=config.eps,
        scale_shift=config.scale_shift,
    )

    def attend(level: int) -> Block:
        heads = config.channels[level] // (config.head_dim or config.channels[level])
        return partial(attention_block, heads=heads, groups=config.groups, eps=config.eps)

    return walk(
        p,
        2 * x - 1 if config.center_input else x,
        resnet,
        down=[attend(i) if attends else None for i, attends in enumerate(config.down)],
        mid=attend(-1) if config.mid_attention else None,
        up=[attend(-1 - i) if attends else None for i, attends in enumerate(config.up)],
        layers=[config.layers] * len(config.channels),
        padding=1 if config.downsample_padding else (0, 1, 0, 1),
        groups=config.groups,
        eps=config.eps,
    )


def param_shapes(config: UnconditionalUNetConfig) -> dict[str, Shape]:
    """Name and shape of every weight that `unconditional_unet` reads."""
    attentions = [attention_block_shapes(c) for c in config.channels]
    # diffusers gives the middle attention no norm of its own under scale and shift
    middle = attention_block_shapes(config.channels[-1], normalised=not config.scale_shift)
    walked = walk_shapes(
        config.channels,
        (config.in_channels, config.out_channels),
        lambda o, i: resnet_shapes(o, i, config.time_width, config.scale_shift),
        down=[a if attends else None for a, attends in zip(attentions, config.down, strict=True)],
        mid=middle if config.mid_attention else None,
        up=[a if attends else None for a, attends in zip(attentions[::-1], config.up, strict=True)],
        layers=[config.layers] * len(config.channels),
    )
    time = time_embedding_shapes(config.time_width, config.channels[0])
    return walked | flatten({"time_embedding": time})
