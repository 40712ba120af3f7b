"""The noise schedule and the deterministic sampler that watches and judges the training."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from .vocabulary import encode

STEPS = 1000
BETA = (0.00085, 0.012)  # "scaled_linear": evenly spaced square roots
ALPHA_BAR = torch.from_numpy(
    np.cumprod(1 - np.linspace(BETA[0] ** 0.5, BETA[1] ** 0.5, STEPS) ** 2)
).float()


@torch.no_grad()
def ddim(
    unet: UNet2DConditionModel,
    context: Tensor,
    empty: Tensor,
    noise: Tensor,
    guidance: float,
    steps: int,
) -> Tensor:
    """Latents from noise [N,4,16,16]; "leading" spacing with offset 1, as the shipped scheduler.

    eps = eps_empty + guidance (eps_prompt - eps_empty), then for each t to the next lower s
    x_s = sqrt(abar_s) (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t) + sqrt(1 - abar_s) eps.
    """
    x, both = noise, torch.cat([context, empty.expand_as(context)])
    times = [STEPS // steps * i + 1 for i in reversed(range(steps))]
    for t, s in zip(times, [*times[1:], 0], strict=True):
        if guidance == 1:
            eps = unet(x, t, context).sample
        else:
            prompted, free = unet(torch.cat([x, x]), t, both).sample.chunk(2)
            eps = free + guidance * (prompted - free)
        now, then = ALPHA_BAR[t], ALPHA_BAR[s]
        x = then.sqrt() * (x - (1 - now).sqrt() * eps) / now.sqrt() + (1 - then).sqrt() * eps
    return x


@torch.no_grad()
def pictures(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    prompts: list[str],
    guidance: float = 4.0,
    steps: int = 25,
    seed: int = 0,
) -> Tensor:
    """One picture [N,3,64,64] in -1..1 for each prompt, in batches of 50, from one seed."""
    generator, parts = torch.Generator().manual_seed(seed), []
    for i in range(0, len(prompts), 50):
        ids = torch.from_numpy(encode(tokenizer, [*prompts[i : i + 50], ""])).long()
        context = text(ids).last_hidden_state
        noise = torch.randn(len(ids) - 1, 4, 16, 16, generator=generator)
        z = ddim(unet, context[:-1], context[-1:], noise, guidance, steps)
        parts.append(vae.decode(z / vae.config.scaling_factor).sample)
    return torch.cat(parts)
