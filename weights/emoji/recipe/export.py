"""Stage `export`: half-precision safetensors in the folder layout of Stable Diffusion 1.x."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from .clock import log
from .models import load_text_encoder, load_unet, load_vae
from .sampling import BETA, STEPS
from .vocabulary import load_tokenizer

PARTS = ["unet", "vae", "text_encoder", "scheduler"]
PREFIX = "text_model."


def export(work: Path, folder: Path) -> None:
    """Writes the components and model_index.json; whatever else the folder holds is left alone."""
    pipeline = StableDiffusionPipeline(
        vae=load_vae(work / "vae"),
        text_encoder=load_text_encoder(work / "text_encoder"),
        tokenizer=load_tokenizer(work / "tokenizer"),
        unet=load_unet(work / "unet"),
        scheduler=DDIMScheduler(
            num_train_timesteps=STEPS,
            beta_start=BETA[0],
            beta_end=BETA[1],
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="epsilon",
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with tempfile.TemporaryDirectory() as temporary:
        pipeline.to(torch.float16).save_pretrained(temporary)
        for part in PARTS:
            shutil.copytree(Path(temporary) / part, folder / part, dirs_exist_ok=True)
        shutil.copy(Path(temporary) / "model_index.json", folder)
    shutil.copytree(work / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    for part in ("unet", "vae"):
        forget_origin(folder / part / "config.json")
    restore_prefix(folder / "text_encoder" / "model.safetensors")
    sizes = {path: path.stat().st_size for part in PARTS for path in (folder / part).iterdir()}
    for path, size in sizes.items():
        path.chmod(0o644)
        log(f"{size:10d}  {path.relative_to(folder)}")
    log(f"together {sum(sizes.values()) / 1e6:.2f} MB")


def forget_origin(path: Path) -> None:
    """Drop the folder that the weights were read from: it means nothing elsewhere."""
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def restore_prefix(path: Path) -> None:
    """Stable Diffusion's names begin with text_model., which newer transformers leave out."""
    tensors = load_file(path)
    named = {PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    save_file(named, path, metadata={"format": "pt"})
