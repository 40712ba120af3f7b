"""UNet2DConditionModel: the U-Net that Stable Diffusion 1.x and 2.x denoise with.

Rombach et al. 2022 (arXiv 2112.10752, §3.3): the walk of `u.py` with transformers that attend to
the text. SD 1.x and 2.x are two configurations of it.
"""

from dataclasses import dataclass
from functools import partial

from refdiff.errors import ShapeError
from refdiff.nn.resnet import resnet_block, resnet_shapes
from refdiff.nn.shapes import Shape, flatten
from refdiff.nn.time_embedding import time_embedding, time_embedding_shapes, time_proj
from refdiff.nn.transformer import transformer_2d, transformer_shapes
from refdiff.nn.u import Block, walk, walk_shapes
from refdiff.op import Array
from refdiff.params import Params, layer


@dataclass(frozen=True)
class UNetConfig:
    """One entry of each tuple for each level, the finest first; `up` in the order of the way up."""

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    down: tuple[bool, ...]  # does the level attend to the text on the way down
    up: tuple[bool, ...]  # ... and on the way up, the coarsest first
    layers: tuple[int, ...]  # residual blocks on the way down; one more on the way up
    heads: tuple[int, ...]  # number of heads, which diffusers calls attention_head_dim
    depth: tuple[int, ...]  # transformer blocks in each transformer
    context: int  # width of the text states
    groups: int
    eps: float
    linear_projection: bool
    scale_shift: bool
    flip_sin_to_cos: bool
    freq_shift: float
    sample_size: int | None = None  # the picture size it was trained for, in latents

    @property
    def time_width(self) -> int:
        """Width of the time embedding."""
        return 4 * self.channels[0]


@layer
def unet(p: Params, x: Array, t: Array | float, context: Array, *, config: UNetConfig) -> Array:
    """What the network predicts (eps, x0 or v: the scheduler knows) for noisy latents at time t.

    x [N,C,H,W], t [] or [N], context [N,S,E] -> [N,O,H,W]
    Raises ShapeError where an input does not fit the configuration.
    """
    check(x, context, config)
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
        return partial(
            transformer_2d,
            context=context,
            heads=config.heads[level],
            depth=config.depth[level],
            groups=config.groups,
            linear_projection=config.linear_projection,
        )

    return walk(
        p,
        x,
        resnet,
        down=[attend(i) if crosses else None for i, crosses in enumerate(config.down)],
        mid=attend(-1),
        up=[attend(-1 - i) if crosses else None for i, crosses in enumerate(config.up)],
        layers=config.layers,
        padding=1,
        groups=config.groups,
        eps=config.eps,
    )


def check(x: Array, context: Array, config: UNetConfig) -> None:
    """Raises ShapeError where latents or text states do not fit the configuration."""
    if x.ndim != 4 or x.shape[1] != config.in_channels:
        raise ShapeError(f"latents {x.shape}: expected [N,{config.in_channels},H,W]")
    if context.ndim != 3 or len(context) != len(x) or context.shape[2] != config.context:
        raise ShapeError(f"text states {context.shape}: expected [{len(x)},S,{config.context}]")


def param_shapes(config: UNetConfig) -> dict[str, Shape]:
    """Name and shape of every weight that `unet` reads."""
    attentions = [
        transformer_shapes(c, config.context, depth, config.linear_projection)
        for c, depth in zip(config.channels, config.depth, strict=True)
    ]
    walked = walk_shapes(
        config.channels,
        (config.in_channels, config.out_channels),
        lambda o, i: resnet_shapes(o, i, config.time_width, config.scale_shift),
        down=[a if crosses else None for a, crosses in zip(attentions, config.down, strict=True)],
        mid=attentions[-1],
        up=[a if crosses else None for a, crosses in zip(attentions[::-1], config.up, strict=True)],
        layers=config.layers,
    )
    time = time_embedding_shapes(config.time_width, config.channels[0])
    return walked | flatten({"time_embedding": time})
