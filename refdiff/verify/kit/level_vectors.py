"""Vectors of a U-Net's levels and an autoencoder's, with their weights: three shapes each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refdiff.nn import resnet, transformer, u, vae
from refdiff.nn.shapes import Shape, Tree
from refdiff.params import Params
from refdiff.verify.kit.block_vectors import LEVEL, block
from refdiff.verify.kit.vector import Named, Vector, Vectors

ABOVE = (5, 9)  # the size of the level above
END = resnet.sampler_shapes(12)
Call = Callable[[Params, Named, u.Block, u.Block | None], Any]


class Level(NamedTuple):
    """Twelve channels in a residual block each, with attention of so many heads, or of none."""

    which: str
    heads: int
    linear: bool

    def vector(
        self,
        name: str,
        inputs: tuple[int, ...],
        shapes: Mapping[str, Shape],
        call: Call,
        **more: Any,
    ) -> Vector:
        """The vector of what `call` makes of (weights, inputs, residual block, attention)."""
        attention = transformer.transformer_shapes(12, 10, 1, self.linear) if self.heads else None
        residual = [resnet.resnet_shapes(12, i, 10) for i in inputs]
        tree: Tree = {**u.level_shapes(residual, attention), **more.pop("ends", {})}
        given = {**shapes, "temb": (2, 10), **({"context": (2, 7, 10)} if self.heads else {})}
        told = {**LEVEL, "heads": self.heads, "linear_projection": self.linear, **more}

        def run(p: Params, x: Named) -> Any:
            made = partial(resnet.resnet_block, temb=x["temb"], **LEVEL)
            return call(p, x, made, self.attend(x) if self.heads else None)

        return block(run, self.which, tree, given, told, self.which, name=name, call=run)

    def attend(self, x: Named) -> u.Block:
        """The attention to the text."""
        return partial(
            transformer.transformer_2d,
            context=x["context"],
            heads=self.heads,
            depth=1,
            groups=LEVEL["groups"],
            linear_projection=self.linear,
        )


LEVELS = (Level("plain", 0, False), Level("sd-1", 3, False), Level("sd-2", 2, True))


def level_vectors() -> Vectors:
    """Those of the U-Net, then those of the autoencoder."""
    for level in LEVELS:
        shapes: dict[str, Shape] = {"x": (2, 8, 6, 10)}
        yield level.vector("down_block", (8, 12), shapes, down, ends={"downsamplers": END})
    for level in LEVELS:
        yield level.vector("mid_block", (12, 12), {"x": (2, 12, 3, 5)}, middle)
    for level in LEVELS:
        shapes = {"x": (2, 12, 3, 5), "skip.0": (2, 8, 3, 5), "skip.1": (2, 12, 3, 5)}
        ends = {"upsamplers": END}
        yield level.vector("up_block", (24, 20), shapes, up, ends=ends, size=ABOVE)
    yield from autoencoder()


def down(p: Params, x: Named, made: u.Block, attend: u.Block | None) -> Any:
    """Two residual blocks, then half the size."""
    return u.down_block(p, x["x"], made, attend, 2, 1)


def middle(p: Params, x: Named, made: u.Block, attend: u.Block | None) -> Any:
    """Attention between two residual blocks."""
    return u.mid_block(p, x["x"], made, attend)


def up(p: Params, x: Named, made: u.Block, attend: u.Block | None) -> Any:
    """skip.1 is used first."""
    skips, above = [x["skip.0"], x["skip.1"]], [np.empty((1, 1, *ABOVE))]
    return u.up_block(p, x["x"], skips, made, attend, above=above)


def autoencoder() -> Vectors:
    """Blocks of encoder and decoder, and the middle of both; their eps is 1e-6."""
    configs = (
        ("first", vae.VAEConfig(3, 3, 4, (8, 12), 2, groups=2), 0),
        ("last", vae.VAEConfig(3, 3, 4, (8, 12), 1, groups=2), 1),
        ("narrow", vae.VAEConfig(3, 3, 4, (6,), 1, groups=3), 0),
    )
    parts = (
        ("encoder_block", vae.encoder_block, "encoder.down_blocks.{}."),
        ("decoder_block", vae.decoder_block, "decoder.up_blocks.{}."),
        ("vae_mid_block", vae.mid_block, "encoder.mid_block."),
    )
    for name, f, prefix in parts:
        for which, config, level in configs:
            shapes = below(vae.param_shapes(config), prefix.format(level))
            x: dict[str, Shape] = {"x": (2, shapes["resnets.0.norm1.weight"][0], 6, 4)}
            told = {"layers": config.layers, "groups": config.groups, "eps": vae.EPS}
            call = partial(configured, f, config)
            yield block(f, which, shapes, x, told, "eps", which, name=name, call=call)


def below(shapes: Mapping[str, Shape], prefix: str) -> dict[str, Shape]:
    """The weights below a path, named from there."""
    return {k.removeprefix(prefix): v for k, v in shapes.items() if k.startswith(prefix)}


def configured(f: Callable[..., Any], config: vae.VAEConfig, p: Params, x: Named) -> Any:
    """f, of that configuration."""
    return f(p, x["x"], config=config)
