"""Networks at full size with random weights, shared between PyTorch and refdiff."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
import transformers

from refdiff.checkpoints import clip, unet, vae
from refdiff.components import VAE, TextEncoder, UNet

Inputs = dict[str, np.ndarray]
LEVELS = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (320, 640, 1280, 1280),
}
SD15 = {**LEVELS, "cross_attention_dim": 768, "attention_head_dim": 8}
SD21 = {
    **LEVELS,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
AUTOENCODER = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
}


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


def plain(config: Any) -> Mapping[str, object]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items() if k[0] != "_"}


def latents(batch: int, channels: int, size: int) -> np.ndarray:
    return np.random.default_rng(size).standard_normal((batch, channels, size, size), np.float32)


def unets(name: str, settings: dict[str, Any], size: int) -> Network:
    """A U-Net on two samples of size x size latents."""
    torch.manual_seed(0)
    module = diffusers.UNet2DConditionModel(sample_size=size, **settings).eval()
    ours = UNet(unet.read_config(plain(module.config), name), weights(module))
    text = np.random.default_rng(1).standard_normal(
        (2, 77, settings["cross_attention_dim"]), np.float32
    )
    inputs = {"x": latents(2, 4, size), "t": np.array([501, 501]), "context": text}
    return Network(name, Plain(module, "", "sample"), ours, inputs)


def unet15(size: int = 64) -> Network:
    return unets(f"U-Net of SD 1.5, {size}x{size}, batch 2", SD15, size)


def unet21(size: int = 96) -> Network:
    return unets(f"U-Net of SD 2.1, {size}x{size}, batch 2", SD21, size)


def decoder(size: int = 64) -> Network:
    torch.manual_seed(0)
    module = diffusers.AutoencoderKL(**AUTOENCODER).eval()
    ours = VAE(vae.read_config(plain(module.config), "vae"), weights(module))
    name = f"VAE decoder, to {8 * size}x{8 * size}"
    return Network(name, Plain(module, "decode", "sample"), ours.decode, {"z": latents(1, 4, size)})


def text_encoder() -> Network:
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    module = transformers.CLIPTextModel(config).eval()
    named = {f"text_model.{n.removeprefix('text_model.')}": w for n, w in weights(module).items()}
    inner = TextEncoder(clip.read_config(config.to_dict(), "text_encoder"), named)
    ids = np.random.default_rng(0).integers(0, 49407, (2, 77))
    ids[:, -1] = 49407
    return Network(
        "CLIP-L text encoder, batch 2",
        Plain(module, "", "last_hidden_state"),
        lambda ids: inner(ids).last_hidden_state,
        {"ids": ids},
    )


NETWORKS = {"unet15": unet15, "unet21": unet21, "vae": decoder, "clip": text_encoder}
