"""The networks with their weights: arrays in, arrays out.

A component holds a configuration and a mapping of weights, and calls the pure function of `nn`
with them. Its weights are widened to the dtype of the data when they are used; those of a large
component every time, so that what was widened does not pile up.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from refdiff.memory import is_small
from refdiff.nn.clip import CLIPTextConfig, TextStates, clip_text
from refdiff.nn.unet import UNetConfig, unet
from refdiff.nn.unet_unconditional import UnconditionalUNetConfig, unconditional_unet
from refdiff.nn.vae import VAEConfig, decode, encode
from refdiff.op import FAST, Array, around, current_engine
from refdiff.params import Params, Weights
from refdiff.strips import by_strips, made
from refdiff.trace import Passenger
from refdiff.workers import one_thread_of_blas

C = TypeVar("C")
KEPT = 1 << 26  # numbers of a component, up to which they stay once they are widened
TOKENS = "text_model.embeddings.token_embedding.weight"


class Component(Generic[C]):
    """A configuration and its weights; while `recording`, also the trace that rides along."""

    name: ClassVar[str]  # its folder in a checkpoint, and its scope in a pipeline's trace

    def __init__(self, config: C, weights: Mapping[str, Array]) -> None:
        self.config = config
        shapes = getattr(weights, "shapes", None) or {n: w.shape for n, w in weights.items()}
        self.size = sum(map(math.prod, shapes.values()))  # numbers in all
        self.weights = Weights(weights, keeps=self.size <= KEPT)
        self._trace: Passenger | None = None
        self._scope = ""

    @contextmanager
    def recording(self, trace: Passenger, scope: str = "") -> Iterator[None]:
        """Record every layer's result in `trace`, below `scope`, while the block lasts."""
        self._trace, self._scope = trace, scope
        try:
            yield
        finally:
            self._trace, self._scope = None, ""

    @contextmanager
    def _params(self, dtype: npt.DTypeLike) -> Iterator[Params]:
        scope = self._trace.within(self._scope) if self._trace is not None else nullcontext()
        with scope, one_thread_of_blas():
            yield Params(self.weights, np.dtype(dtype), trace=self._trace)

    def rest(self) -> None:
        """Give back memory that is not needed until the next call, and then read again."""
        self.weights.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config})"


class UNet(Component[UNetConfig]):
    """The conditional U-Net of Stable Diffusion."""

    name = "unet"

    def __call__(self, x: Array, t: Array | float, context: Array) -> Array:
        """What the network predicts for noisy latents x at time t under the text states.

        x [N,C,H,W], t [] or [N], context [N,S,E] -> [N,O,H,W], in x's dtype
        Raises ShapeError where an input does not fit the configuration.
        """
        with self._params(x.dtype) as p:
            return unet(p, x, t, context.astype(x.dtype, copy=False), config=self.config)


class UnconditionalUNet(Component[UnconditionalUNetConfig]):
    """The U-Net of denoising diffusion without a text."""

    name = "unet"

    def __call__(self, x: Array, t: Array | float) -> Array:
        """What the network predicts for noisy pictures x at time t.

        x [N,C,H,W], t [] or [N] -> [N,O,H,W], in x's dtype
        Raises ShapeError where an input does not fit the configuration.
        """
        with self._params(x.dtype) as p:
            return unconditional_unet(p, x, t, config=self.config)


class VAE(Component[VAEConfig]):
    """The autoencoder between pictures and latents."""

    name = "vae"

    def encode(self, image: Array) -> tuple[Array, Array]:
        """Mean and log-variance of a picture's unscaled latents.

        image [N,3,H,W] in -1..1 -> mean [N,Z,h,w], logvar [N,Z,h,w]
        """
        with self._params(image.dtype) as p:
            return encode(p, image, config=self.config)

    def decode(self, z: Array) -> Array:
        """The picture of unscaled latents: z [N,Z,h,w] -> [N,3,H,W], about -1..1"""
        lean = is_small() and self._trace is None and current_engine() == FAST
        with self._params(z.dtype) as p, around(by_strips) if lean else nullcontext():
            picture: Array = made(decode(p, z, config=self.config))
            return picture

    def scale(self, z: Array) -> Array:
        """What the U-Net sees of latents z: (z - shift) * scaling. z [*] -> [*]"""
        return (z - self.config.shift_factor) * self.config.scaling_factor

    def unscale(self, x: Array) -> Array:
        """The inverse of `scale`. x [*] -> [*]"""
        return x / self.config.scaling_factor + self.config.shift_factor


class TextEncoder(Component[CLIPTextConfig]):
    """CLIP's text encoder."""

    name = "text_encoder"

    def __call__(self, ids: Any, dtype: npt.DTypeLike | None = None) -> TextStates:
        """The states of token ids, computed in `dtype`: by default the weights', at least float32.

        ids [N,L] (or [L] for one text) -> last_hidden_state [N,L,D], pooled [N,D]
        Raises ShapeError for too many tokens, or ids outside of the vocabulary.
        """
        stored = self.weights.source[TOKENS].dtype
        with self._params(np.result_type(stored, np.float32) if dtype is None else dtype) as p:
            return clip_text(p, np.atleast_2d(np.asarray(ids)), config=self.config)
