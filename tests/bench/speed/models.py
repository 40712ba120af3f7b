"""Networks at full size with random weights, shared between PyTorch and refdiff."""

from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
import transformers

from refdiff.checkpoints import clip, unet, vae
from refdiff.components import VAE, TextEncoder, UNet
from tests.checkpoints.published import CLIP_SD15, UNET_SD15, UNET_SD21, VAE_SD15

Inputs = dict[str, np.ndarray]
Config = dict[str, Any]


class Network(NamedTuple):
    """A module of PyTorch that takes arrays by position, and the same computed here."""

    name: str
    torch: torch.nn.Module
    ours: Any
    inputs: Inputs


class Plain(torch.nn.Module):
    """A module that gives one tensor, as compilers and exporters want it."""

    def __init__(self, module: torch.nn.Module, call: str, output: str) -> None:
        super().__init__()
        self.module, self.call, self.output = module, call, output

    def forward(self, *inputs: torch.Tensor) -> Any:
        call = getattr(self.module, self.call) if self.call else self.module
        return getattr(call(*inputs), self.output)


def weights(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """The module's own memory."""
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def settings(config: Config) -> Config:
    """What a module is made with."""
    return {key: value for key, value in config.items() if key[0] != "_"}


def latents(batch: int, channels: int, size: int) -> np.ndarray:
    return np.random.default_rng(size).standard_normal((batch, channels, size, size), np.float32)


def unets(name: str, config: Config, size: int) -> Network:
    """A U-Net on two samples of size x size latents."""
    torch.manual_seed(0)
    module = diffusers.UNet2DConditionModel(**settings(config)).eval()
    ours = UNet(unet.read_config(config, name), weights(module))
    states = 2, 77, config["cross_attention_dim"]
    text = np.random.default_rng(1).standard_normal(states, np.float32)
    inputs = {"x": latents(2, 4, size), "t": np.array([501, 501]), "context": text}
    return Network(name, Plain(module, "", "sample"), ours, inputs)


def unet15(size: int = 64) -> Network:
    return unets(f"U-Net of SD 1.5, {size}x{size}, batch 2", UNET_SD15, size)


def unet21(size: int = 96) -> Network:
    return unets(f"U-Net of SD 2.1, {size}x{size}, batch 2", UNET_SD21, size)


def decoder(size: int = 64) -> Network:
    torch.manual_seed(0)
    module = diffusers.AutoencoderKL(**settings(VAE_SD15)).eval()
    ours = VAE(vae.read_config(VAE_SD15, "vae"), weights(module))
    name = f"VAE decoder, to {8 * size}x{8 * size}"
    return Network(name, Plain(module, "decode", "sample"), ours.decode, {"z": latents(1, 4, size)})


def text_encoder() -> Network:
    torch.manual_seed(0)
    module = transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP_SD15)).eval()
    named = {f"text_model.{n.removeprefix('text_model.')}": w for n, w in weights(module).items()}
    inner = TextEncoder(clip.read_config(CLIP_SD15, "text_encoder"), named)
    ids = np.random.default_rng(0).integers(0, 49407, (2, 77))
    ids[:, -1] = 49407
    return Network(
        "CLIP-L text encoder, batch 2",
        Plain(module, "", "last_hidden_state"),
        lambda ids: inner(ids).last_hidden_state,
        {"ids": ids},
    )


NETWORKS = {"unet15": unet15, "unet21": unet21, "vae": decoder, "clip": text_encoder}
