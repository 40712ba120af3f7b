"""Traces of small random U-Nets, and what a stranger's dump of the same run might look like."""

from collections.abc import Mapping

import numpy as np

import refdiff
from refdiff.components import UNet
from refdiff.nn.unet import param_shapes
from refdiff.op import engine
from tests.nn import oracle

Arrays = Mapping[str, np.ndarray]


def unet_weights(config, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random float32 weights of useful size, norms that scale and shift among them."""
    weights = {}
    for name, shape in param_shapes(config).items():
        spread = 0.3 if len(shape) < 2 else np.prod(shape[1:]) ** -0.5
        mean = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
        weights[name] = (mean + spread * rng.normal(size=shape)).astype(np.float32)
    return weights


def traces(
    rng: np.random.Generator, rounding: str | None = None, levels: int = 2
) -> tuple[Arrays, Arrays]:
    """One run of a random U-Net, its layers recorded in float64 and in float32 (or narrower)."""
    config, _ = oracle.draw_unet(rng)
    while len(config.channels) > levels:
        config, _ = oracle.draw_unet(rng)
    unet = UNet(config, unet_weights(config, rng))
    side = 2 ** len(config.channels)
    height, width = (side * int(n) for n in rng.choice([1, 2, 3], 2, replace=False))
    x = rng.normal(size=(2, config.in_channels, height, width)).astype(np.float32)
    context = rng.normal(size=(2, int(rng.integers(3, 9)), config.context)).astype(np.float32)
    t = np.array([17.0, 801.0])
    with refdiff.trace(unet) as wide:
        unet(x.astype(np.float64), t, context.astype(np.float64))
    with refdiff.trace(unet) as narrow, engine("reference", rounding):
        unet(x, t, context)
    return wide, narrow


def disguise(
    arrays: Arrays, rng: np.random.Generator, *, shuffle: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays under random names with their axes permuted, and which is which."""
    names = [str(name) for name in (rng.permutation(list(arrays)) if shuffle else arrays)]
    labels = rng.permutation(len(names))
    truth = {name: f"tensor{label}" for name, label in zip(names, labels, strict=True)}
    return {
        truth[name]: np.ascontiguousarray(x.transpose(rng.permutation(x.ndim)))
        for name, x in ((name, arrays[name]) for name in names)
    }, truth
