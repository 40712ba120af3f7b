"""Vectors of blocks, with their weights: three shapes each.

    block(resnet_block, "timeless", resnet_shapes(8, 8), {"x": (2, 8, 5, 7)}, {"groups": 4, ...})

draws weights and inputs of these shapes; heads differ from their widths, H from W.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from refdiff.nn import clip, resnet, time_embedding, transformer
from refdiff.nn.shapes import Shape, Tree, flatten
from refdiff.params import Params
from refdiff.verify.kit.vector import Draw, Named, Vector, Vectors, letters

LEVEL: dict[str, Any] = {"groups": 4, "eps": 1e-5}


def block(
    f: Callable[..., Any],
    which: str,
    tree: Tree,
    shapes: Mapping[str, Shape],
    attributes: Mapping[str, Any],
    *flags: str,
    name: str = "",
    call: Callable[[Params, Named], Any] | None = None,
) -> Vector:
    """The vector of f(p, **inputs, **attributes), or of what `call` makes of weights and inputs."""
    name = name or f.__name__
    draw = Draw(f"{name}/{which}")
    inputs = {k: draw.normal(*shape) for k, shape in shapes.items()}
    weights = draw.weights(flatten(tree))

    def run(p: Params, given: Named) -> Named:
        y = f(p, **given, **attributes) if call is None else call(p, given)
        if not isinstance(y, tuple):
            return {"y": y}
        return {"y": y[0], **{f"skip.{i}": skip for i, skip in enumerate(y[1])}}

    id = f"blocks/{name}/{which}"
    roles = letters(inputs, weights)
    return Vector(id, name, run, inputs, weights, attributes, flags or (which,), roles)


def block_vectors() -> Vectors:
    """All of them, the simplest first."""
    for maker in (time, residual, resampling, transformers, lone_attention, text):
        yield from maker()


def time() -> Vectors:
    for which, width, channels in (("square", 12, 12), ("wide", 20, 5), ("small", 6, 3)):
        tree = time_embedding.time_embedding_shapes(width, channels)
        yield block(time_embedding.time_embedding, which, tree, {"waves": (2, channels)}, {})


def residual() -> Vectors:
    made = partial(block, resnet.resnet_block)
    x, temb = (2, 8, 5, 7), (2, 10)
    tree = resnet.resnet_shapes(12, 8, 10)
    yield made("shortcut", tree, {"x": x, "temb": temb}, LEVEL, "conv-shortcut")
    tree = resnet.resnet_shapes(8, 8, 10, True)
    options = {**LEVEL, "scale_shift": True}
    yield made("scale-shift", tree, {"x": x, "temb": temb}, options, "scale-and-shift")
    timeless: dict[str, Any] = {"groups": 2, "eps": 1e-6}
    tree = resnet.resnet_shapes(6, 6)

    def call(p: Params, given: Named) -> Any:
        return resnet.resnet_block(p, given["x"], None, **timeless)

    yield made("timeless", tree, {"x": (2, 6, 4, 3)}, timeless, "no-time", "eps", call=call)


def resampling() -> Vectors:
    tree = resnet.sampler_shapes(6)["0"]
    assert not isinstance(tree, tuple)
    for which, padding in (("all-sides", 1), ("below", (0, 1, 0, 1))):
        yield block(resnet.downsample, which, tree, {"x": (2, 6, 8, 10)}, {"padding": padding})
    odd = {"x": (2, 6, 7, 5)}
    yield block(resnet.downsample, "odd", tree, odd, {"padding": 1}, "odd-size")
    for which, size in (("twice", None), ("odd", (9, 13)), ("odd-width", (10, 13))):
        yield block(resnet.upsample, which, tree, {"x": (2, 6, 5, 7)}, {"size": size})


def transformers() -> Vectors:
    sizes = (("self", 12, 10, 3, 7, 5), ("long", 8, 6, 4, 20, 11), ("wide", 24, 12, 2, 6, 9))
    for which, D, E, heads, L, S in sizes:
        tree = transformer.transformer_shapes(D, E, 1, True)["transformer_blocks"]
        assert not isinstance(tree, tuple) and not isinstance(tree["0"], tuple)
        shapes = {"x": (2, L, D), "context": (2, S, E)}
        options: dict[str, Any] = {"heads": heads}
        yield block(transformer.transformer_block, which, tree["0"], shapes, options, which)
    for which, depth, linear in (("sd-1", 1, False), ("sd-2", 1, True), ("deep", 2, True)):
        tree = transformer.transformer_shapes(12, 10, depth, linear)
        both: dict[str, Shape] = {"x": (2, 12, 5, 3), "context": (2, 7, 10)}
        options = {"heads": 3, "depth": depth, "groups": 4, "linear_projection": linear}
        yield block(transformer.transformer_2d, which, tree, both, options, "eps", which)


def lone_attention() -> Vectors:
    for which, C, heads, groups in (("one-head", 8, 1, 4), ("heads", 12, 3, 2), ("wide", 24, 4, 8)):
        tree = transformer.attention_block_shapes(C)
        options = {"heads": heads, "groups": groups, "eps": 1e-6}
        yield block(transformer.attention_block, which, tree, {"x": (2, C, 5, 3)}, options, which)


def text() -> Vectors:
    for which, activation, heads, L in (
        ("quick-gelu", "quick_gelu", 3, 9),
        ("gelu", "gelu", 4, 7),
        ("long", "quick_gelu", 2, 16),
    ):
        config = clip.CLIPTextConfig(40, 12, 20, 1, heads, 16, activation, 1e-5, 2)
        tree = {k: v for k, v in clip.param_shapes(config).items() if ".layers.0." in k}
        inner = {k.split(".layers.0.")[1]: v for k, v in tree.items()}
        options = {"heads": heads, "activation": activation, "eps": 1e-5, "causal": True}

        def call(p: Params, x: Named, config: clip.CLIPTextConfig = config, L: int = L) -> Any:
            mask = clip.causal_mask(L, np.dtype(p.dtype))
            return clip.encoder_layer(p, x["x"], mask, config=config)

        shapes = {"x": (2, L, 12)}
        yield block(clip.encoder_layer, which, inner, shapes, options, "mask", which, call=call)
