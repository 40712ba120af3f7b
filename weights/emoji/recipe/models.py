"""The three networks, in Stable Diffusion 1.x's layout but small, and how they start."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

TOKENS = 32  # per caption, where Stable Diffusion has 77
WIDTH = 128  # of the text embedding


def new_vae() -> AutoencoderKL:
    """64x64x3 to 16x16x4. Few norm groups: one channel a group would erase flat colour."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    calm(vae, ("conv2", "to_out.0"))
    with torch.no_grad():
        vae.quant_conv.bias[4:] -= 6.0  # log-variance: begin with hardly any posterior noise
    return vae


def new_unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(48, 96, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # four heads: the name means their number, as in SD 1.x
        norm_num_groups=8,
    )
    calm(unet, ("conv2", "proj_out", "conv_out"))
    return unet


def new_text_encoder(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=WIDTH,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
            hidden_act="quick_gelu",
        )
    )


@torch.no_grad()
def calm(model: nn.Module, silent: tuple[str, ...]) -> None:
    """Convolutions keep the variance, residual branches are silent: at first nearly linear."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, module.weight[0].numel() ** -0.5)
            nn.init.zeros_(module.bias)
        if name.endswith(silent):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def load_vae(folder: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder, dtype=torch.float32)


def load_unet(folder: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder, dtype=torch.float32)


def load_text_encoder(folder: Path) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(folder, dtype=torch.float32)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
