"""Stage `evaluate`: what the shipped folder can do, measured; writes metrics.json and card/."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
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
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
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


def job(folder: Path, texts: list[str], guidance: float, seed: int) -> np.ndarray:
    """One set of prompts at one guidance, in a process of its own."""
    torch.set_num_threads(1)
    return Model(folder).draw(texts, guidance, seed).numpy()


def measure(
    judge: torch.nn.Module, scenes: list[Scene], sources: dict[str, Tensor]
) -> dict[str, Any]:
    """Shares of pictures that are right, by source and question."""
    row: dict[str, Any] = {"n": len(scenes)}
    for name, x in sources.items():
        right = verdict(judge, x, scenes)
        row[name] = {question: round(float(r.float().mean()), 4) for question, r in right.items()}
        log(name, row[name])
    return row


def evaluate(work: Path, folder: Path, count: int, workers: int) -> None:
    torch.manual_seed(9)
    model, card = Model(folder), folder / "card"
    card.mkdir(exist_ok=True)
    sets = {
        "seen": prompts(count, held=False, seed=21),
        "held_out": prompts(count, held=True, seed=22),
        "frogs_on_stilts": frogs_on_stilts(),
    }
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        drawn = {
            (name, guidance): executor.submit(job, folder, [t for t, _ in chosen], guidance, 31)
            for guidance in sorted(GUIDANCE, key=lambda g: g != SHOWN)
            for name, chosen in sets.items()
        }
        facts: dict[str, Any] = {"pipeline_gap": pipeline_gap(folder, model)}
        facts["psnr"], pairs = reconstruction(model.vae)
        sheet(pairs, 16).save(card / "autoencoder.png")
        names = [article(name) for name in SUBJECTS]
        sheet(model.draw(names, SHOWN, seed=1), 8, names, 2).save(card / "subjects.png")
        log(facts)
        judge = train_judge(work, model.vae)
        for name, chosen in sets.items():
            texts, scenes = [text for text, _ in chosen], [scene for _, scene in chosen]
            rng = Random(len(name))
            real = to_tensor(np.stack([render(scene, rng) for scene in scenes]))
            sources = {"real": real, "reconstructed": reconstruct(model.vae, real)}
            for guidance in GUIDANCE:
                made = torch.from_numpy(drawn[name, guidance].result())
                sources[f"guidance {guidance:g}"] = made
            shown = sources[f"guidance {SHOWN:g}"]
            log(name, len(chosen), "prompts")
            facts[name] = measure(judge, scenes, sources)
            wrong = ~verdict(judge, shown, scenes)["all"]
            facts[name]["wrong"] = [text for text, bad in zip(texts, wrong, strict=True) if bad]
            sheet(shown[:48], 8, texts[:48], 2).save(card / f"{name}.png")
    facts["held_out_pairs_tested"] = len(
        {pair for _, scene in sets["held_out"] for pair in scene.pairs if held_out(*pair)}
    )
    facts["sha256"] = checksums(folder)
    (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n")
    plot(facts, GUIDANCE, card / "guidance.png")


def checksums(folder: Path) -> dict[str, str]:
    """Of every file of the pipeline."""
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    files = [
        folder / "model_index.json",
        *(f for p in parts for f in sorted((folder / p).iterdir())),
    ]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
