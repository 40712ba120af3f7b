"""Stage `vae`: the autoencoder; its latents are centred and equalised, then the pool is encoded."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from .clock import Clock, log
from .images import psnr, sheet, to_tensor
from .models import load_vae, new_vae

UNSEEN = 256  # pictures at the end of the pool that no stage trains on
KL = 1e-3  # weight of the divergence: just enough to keep the latents smooth


def edges(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of the two pictures' horizontal and vertical gradients."""
    across = (x - y).diff(dim=-1).abs().mean()
    return across + (x - y).diff(dim=-2).abs().mean()


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean() + 2 * (x - y).pow(2).mean() + 0.5 * edges(x, y)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, x: Tensor, noise: float = 0.0) -> Tensor:
    """Encode and decode; `noise` is added to the latents, in units of their spread."""
    parts = []
    for part in x.split(64):
        z = vae.encode(part).latent_dist.mean
        z = z + noise / vae.config.scaling_factor * torch.randn_like(z)
        parts.append(vae.decode(z).sample)
    return torch.cat(parts)


def train_vae(work: Path, minutes: float, start: Path | None, rate: float, batch: int) -> None:
    """L1 + 2 MSE + gradient L1 + KL; half batches first. Writes vae/ and latents.npy."""
    torch.manual_seed(1)
    pool = np.load(work / "pictures.npy", mmap_mode="r")
    held = to_tensor(pool[-UNSEEN:])
    vae = load_vae(start) if start else new_vae()
    optimizer = torch.optim.AdamW(
        vae.parameters(), rate, (0.9, 0.99), weight_decay=1e-4, fused=True
    )
    clock, rng, step, seen = Clock(minutes), np.random.default_rng(1), 0, 0
    log(f"before training: {psnr(reconstruct(vae, held), held):.2f} dB")
    while clock.fraction < 1:
        size = batch // 2 if clock.fraction < 0.4 else batch
        x = to_tensor(pool[np.sort(rng.choice(len(pool) - UNSEEN, size, replace=False))])
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        (distance(y, x) + KL * divergence).backward()
        clip_grad_norm_(vae.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * clock.rate
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + size
        if step % 250 == 0:
            quality = psnr(reconstruct(vae, held), held)
            log(f"step {step} seen {seen} used {clock.fraction:.2f} unseen {quality:.2f} dB")
    equalise_latents(vae, pool)
    finish(work, vae, held, {"steps": step, "pictures": seen, "minutes": minutes})
    encode_pool(work)


def finish(work: Path, vae: AutoencoderKL, held: Tensor, facts: dict[str, float]) -> None:
    """Save the autoencoder, what it reaches on unseen pictures, and a sheet of those."""
    torch.manual_seed(5)
    y, noisy = reconstruct(vae, held), reconstruct(vae, held, 0.1)
    facts |= {"psnr": psnr(y, held), "psnr_with_latent_noise": psnr(noisy, held)}
    vae.save_pretrained(work / "vae")
    (work / "vae.json").write_text(json.dumps(facts))
    sheet(torch.cat([held[:16], y[:16], held[16:32], y[16:32]]), 16).save(work / "vae.png")
    log("autoencoder", facts)


@torch.no_grad()
def equalise_latents(vae: AutoencoderKL, pool: np.ndarray) -> None:
    """Centre the latents and give their channels one spread, exactly, inside the two 1x1 layers.

    z' = k (z - m) is folded into quant_conv and undone in post_quant_conv, so that Stable
    Diffusion's single scaling_factor is all that a reader of the weights needs.
    """
    parts = [to_tensor(pool[i : i + 128]) for i in range(0, 4096, 128)]
    z = torch.cat([vae.encode(part).latent_dist.mean for part in parts])
    mean, spread = z.mean((0, 2, 3)), z.std((0, 2, 3))
    log("latent mean", mean.tolist(), "spread", spread.tolist())
    k = spread.mean() / spread
    weight, bias = vae.quant_conv.weight, vae.quant_conv.bias
    weight[:4] *= k.view(4, 1, 1, 1)
    bias[:4] = (bias[:4] - mean) * k
    bias[4:] += 2 * k.log()  # the log-variance scales along
    weight, bias = vae.post_quant_conv.weight, vae.post_quant_conv.bias
    bias += weight[:, :, 0, 0] @ mean
    weight /= k.view(1, 4, 1, 1)
    vae.register_to_config(scaling_factor=float(1 / spread.mean()))


@torch.no_grad()
def encode_part(work: Path, first: int, last: int) -> Tensor:
    torch.set_num_threads(1)
    vae, pool = load_vae(work / "vae"), np.load(work / "pictures.npy", mmap_mode="r")
    parts = []
    for i in range(first, last, 100):
        z = vae.encode(to_tensor(pool[i : min(i + 100, last)])).latent_dist.mean
        parts.append((z * vae.config.scaling_factor).half())
    return torch.cat(parts)


def encode_pool(work: Path, workers: int = 2) -> None:
    """latents.npy f16[N,4,16,16], scaled to unit spread.

    One thread in each of several processes: threads that wait for one another at every layer
    waste most of a machine that is busy with other work.
    """
    count = len(np.load(work / "pictures.npy", mmap_mode="r"))
    cuts = [count * i // workers for i in range(workers + 1)]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        parts = list(executor.map(encode_part, [work] * workers, cuts[:-1], cuts[1:]))
    latents = torch.cat(parts).numpy()
    np.save(work / "latents.npy", latents)
    log(f"latents {latents.shape}, spread {latents.astype(np.float32).std():.4f}")
