"""Stage `evaluate`: what the shipped folder can do, measured; writes metrics.json and card/."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor

from .clock import log
from .draw import render
from .images import psnr, sheet, to_tensor
from .judge import train_judge, verdict
from .models import load_text_encoder, load_unet, load_vae
from .report import plot
from .sampling import pictures
from .scenes import Scene, article, caption, random_scene
from .subjects import COLOURS, SUBJECTS, held_out
from .vae import reconstruct
from .vocabulary import load_tokenizer

GUIDANCE = [1.0, 2.0, 4.0, 7.0]
SHOWN = 4.0  # the guidance of the sheets
Prompts = list[tuple[str, Scene]]


def prompts(count: int, held: bool, seed: int) -> Prompts:
    """`count` distinct captions of random scenes, with a held-out pair each, or with none."""
    rng, chosen = Random(seed), dict[str, Scene]()
    while len(chosen) < count:
        scene = random_scene(rng, held=held)
        chosen[caption(scene, rng)] = scene
    return list(chosen.items())


def frogs_on_stilts() -> Prompts:
    """One and two frogs on stilts on every background: held out in every form."""
    scenes = [Scene(("frog",) * n, stilts=True, background=c) for n in (1, 2) for c in COLOURS]
    return [(caption(scene), scene) for scene in scenes]


class Model:
    """The exported networks, computed in single precision."""

    def __init__(self, folder: Path) -> None:
        self.vae = load_vae(folder / "vae")
        self.unet = load_unet(folder / "unet")
        self.text = load_text_encoder(folder / "text_encoder")
        self.tokenizer = load_tokenizer(folder / "tokenizer")

    def draw(self, texts: list[str], guidance: float, seed: int) -> Tensor:
        parts = (self.vae, self.unet, self.text, self.tokenizer)
        return pictures(*parts, texts, guidance, seed=seed)


def pipeline_gap(folder: Path, model: Model) -> float:
    """Largest difference between diffusers' pipeline on this folder and the sampler here."""
    texts = ["a frog on stilts", "two cats"]
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(8))
    made = pipe(texts, num_inference_steps=25, guidance_scale=4.0, latents=noise, output_type="np")
    own = model.draw(texts, 4.0, seed=8).clamp(-1, 1).permute(0, 2, 3, 1).numpy() / 2 + 0.5
    return float(np.abs(made.images - own).max())


def reconstruction(vae: AutoencoderKL) -> tuple[float, Tensor]:
    """Decibels over 500 pictures from a seed used nowhere else, and a few pairs to look at."""
    rng = Random(123_456)
    x = to_tensor(np.stack([render(random_scene(rng, held=None), rng) for _ in range(500)]))
    y = reconstruct(vae, x)
    return psnr(y, x), torch.cat([x[:16], y[:16]])


def measure(judge: torch.nn.Module, model: Model, chosen: Prompts, seed: int) -> dict[str, Any]:
    """Shares right: of real pictures, the same through the autoencoder, and generated ones."""
    texts, scenes = [text for text, _ in chosen], [scene for _, scene in chosen]
    rng = Random(seed)
    real = to_tensor(np.stack([render(scene, rng) for scene in scenes]))
    row: dict[str, Any] = {"n": len(chosen)}
    sources = {"real": real, "reconstructed": reconstruct(model.vae, real)}
    for guidance in GUIDANCE:
        sources[f"guidance {guidance:g}"] = model.draw(texts, guidance, seed)
    for name, x in sources.items():
        right = verdict(judge, x, scenes)
        row[name] = {question: round(float(r.float().mean()), 4) for question, r in right.items()}
        log(name, row[name])
        if name == f"guidance {SHOWN:g}":
            wrong = [(texts[i], i) for i in (~right["all"]).nonzero()[:, 0].tolist()]
            row["wrong"] = [text for text, _ in wrong]
            row["pictures"], row["texts"] = x[:48], texts[:48]
    return row


def evaluate(work: Path, folder: Path, count: int) -> None:
    torch.manual_seed(9)
    model, card = Model(folder), folder / "card"
    card.mkdir(exist_ok=True)
    facts: dict[str, Any] = {"pipeline_gap": pipeline_gap(folder, model)}
    facts["psnr"], pairs = reconstruction(model.vae)
    sheet(pairs, 16).save(card / "autoencoder.png")
    names = [article(name) for name in SUBJECTS]
    sheet(model.draw(names, SHOWN, seed=1), 8, names, 2).save(card / "subjects.png")
    log(facts)
    judge = train_judge(work, model.vae)
    sets = {
        "seen": prompts(count, held=False, seed=21),
        "held_out": prompts(count, held=True, seed=22),
        "frogs_on_stilts": frogs_on_stilts(),
    }
    for i, (name, chosen) in enumerate(sets.items()):
        log(name, len(chosen), "prompts")
        row = measure(judge, model, chosen, seed=31 + i)
        sheet(row.pop("pictures"), 8, row.pop("texts"), 2).save(card / f"{name}.png")
        facts[name] = row
        (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n")
    pairs_tested = Counter(p for _, s in sets["held_out"] for p in s.pairs if held_out(*p))
    facts["held_out_pairs_tested"] = len(pairs_tested)
    facts["sha256"] = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
        for path in sorted((folder / part).iterdir())
    }
    (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n")
    plot(facts, GUIDANCE, card / "guidance.png")
