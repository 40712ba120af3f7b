"""What a pipeline refuses before it works: components, prompts, numbers, latents."""

import math

import numpy as np
import numpy.typing as npt

from refdiff.components import VAE, TextEncoder, UNet
from refdiff.errors import ConfigError, PromptError, ShapeError
from refdiff.op import Array
from refdiff.text import Tokenizer

LONGEST_PROMPT = 20_000  # characters; a model reads far fewer, and more are a mistake
MOST = 256  # pictures at once


def check_fit(unet: UNet, vae: VAE, text: TextEncoder, tokenizer: Tokenizer) -> None:
    """Raises ConfigError where components do not fit each other."""
    pairs = {
        "text states": (text.config.width, unet.config.context),
        "latents": (vae.config.latent_channels, unet.config.in_channels),
        "outputs": (unet.config.out_channels, unet.config.in_channels),
    }
    for what, (has, wants) in pairs.items():
        if has != wants:
            raise ConfigError(
                f"{what} are {has} wide, but the U-Net takes {wants}: mixed checkpoints?"
            )
    if tokenizer.length > text.config.positions:
        raise ConfigError(
            f"the tokenizer gives {tokenizer.length} tokens, but the text encoder has "
            f"{text.config.positions} positions: mixed checkpoints?"
        )


def check_prompts(texts: list[str]) -> None:
    """Raises PromptError for a text far longer than any model reads."""
    for text in texts:
        if isinstance(text, str) and len(text) > LONGEST_PROMPT:
            raise PromptError(
                f"a prompt has {len(text)} characters, of which a model reads the first few "
                f"hundred: shorten it to at most {LONGEST_PROMPT}"
            )


def check_numbers(guidance: float, rescale: float, count: int, dtype: npt.DTypeLike) -> None:
    """Raises ConfigError for numbers that no picture can be made with."""
    if not math.isfinite(guidance):
        raise ConfigError(f"guidance is {guidance}, expected a finite number: try 7.5")
    if not 0 <= rescale <= 1:
        raise ConfigError(f"guidance rescale is {rescale}, expected a number from 0 to 1")
    if not isinstance(count, int) or not 1 <= count <= MOST:
        raise ConfigError(f"count is {count}, expected 1 to {MOST} pictures")
    try:
        known = np.dtype(dtype) in (np.float32, np.float64)
    except TypeError:  # NumPy has no dtype of that name
        known = False
    if not known:
        raise ConfigError(f"dtype is {dtype}, expected float32 or float64")


def check_latents(latents: Array, shape: tuple[int, ...]) -> Array:
    """Raises ShapeError for latents of another shape, or that are no finite floats."""
    if latents.shape != shape:
        raise ShapeError(f"the latents have the shape {latents.shape}, expected {shape}")
    if not np.issubdtype(latents.dtype, np.floating) or not np.isfinite(latents).all():
        raise ShapeError("the latents are not finite floating-point numbers")
    return latents
