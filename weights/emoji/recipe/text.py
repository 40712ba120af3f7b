"""Warming up the text encoder: a caption alone must predict the coarse picture.

A diffusion network learns slowly what words look like, because its loss is mostly about noise.
An auxiliary head that maps the caption to an 8x8 average of the latent teaches the text encoder
colours, layouts and subjects in a minute; the joint training keeps the head with a small weight.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from transformers import CLIPTextModel

from .clock import log
from .models import WIDTH
from .parallel import Team

PADDING = 18  # from this token on all captions are padding, where the encoder has read everything


def coarse_head() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 512), nn.GELU(), nn.Linear(512, 4 * 8 * 8))


def coarse_loss(head: nn.Module, context: Tensor, latents: Tensor) -> Tensor:
    """context [N,L,WIDTH], latents [N,4,16,16] -> mean squared error of the 8x8 averages."""
    guess = head(context[:, PADDING:].mean(1).float())
    return F.mse_loss(guess, F.avg_pool2d(latents, 2).flatten(1))


def warm_up(
    team: Team,
    text: CLIPTextModel,
    head: nn.Module,
    latents: Tensor,
    ids: Tensor,
    minutes: float,
    rate: float,
) -> None:
    """Train encoder and head alone, at a constant rate that falls in the last quarter."""
    generator = torch.Generator().manual_seed(20 + team.rank)
    parameters = [*text.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.99))
    start, step, mean, used = time.time(), 0, 0.0, 0.0 if minutes else 1.0
    while used < 1:
        rows = torch.randint(len(latents), (64,), generator=generator)
        wording = torch.randint(ids.shape[1], (64,), generator=generator)
        context = text(ids[rows, wording].long()).last_hidden_state
        loss = coarse_loss(head, context, latents[rows].float())
        loss.backward()
        used = team.average(parameters, (time.time() - start) / 60 / minutes)
        clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50, max(4 * (1 - used), 0.02))
        optimizer.step()
        optimizer.zero_grad()
        step, mean = step + 1, 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0 and team.rank == 0:
            log(f"text warm-up step {step}: coarse error {mean / (1 - 0.98**step):.4f}")
