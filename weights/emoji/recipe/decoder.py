"""Stage `decoder`: more training for the decoder alone. The latents stay, and so does the U-Net."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from .clock import Clock, log
from .images import psnr, to_tensor
from .models import load_vae
from .vae import UNSEEN, distance, finish, reconstruct

NOISE = 0.1  # of the latents' spread, at most: sampled latents are a little off, too


def train_decoder(work: Path, minutes: float, rate: float, batch: int) -> None:
    """From vae/ and latents.npy, back into vae/; what vae.json said before is kept in it."""
    torch.manual_seed(6)
    pool = np.load(work / "pictures.npy", mmap_mode="r")
    latents = np.load(work / "latents.npy", mmap_mode="r")
    vae = load_vae(work / "vae")
    held, scale = to_tensor(pool[-UNSEEN:]), vae.config.scaling_factor
    parameters = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.99), weight_decay=1e-4, fused=True)
    clock, rng, step, seen = Clock(minutes, warm=0.04), np.random.default_rng(6), 0, 0
    while clock.fraction < 1:
        rows = np.sort(rng.choice(len(pool) - UNSEEN, batch, replace=False))
        x, z = to_tensor(pool[rows]), torch.from_numpy(latents[rows]).float()
        z = z + NOISE * torch.rand(batch, 1, 1, 1) * torch.randn_like(z)
        distance(vae.decode(z / scale).sample, x).backward()
        clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * clock.rate
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + batch
        if step % 250 == 0:
            quality = psnr(reconstruct(vae, held), held)
            log(f"step {step} seen {seen} used {clock.fraction:.2f} unseen {quality:.2f} dB")
    before = json.loads((work / "vae.json").read_text())
    facts = {"steps": step, "pictures": seen, "minutes": minutes, "before": before}
    finish(work, vae, held, facts)
