"""Pictures as tensors: conversion, signal-to-noise ratio, sheets."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor


def to_tensor(pictures: np.ndarray) -> Tensor:
    """u8[N,H,W,3] -> f32[N,3,H,W] in -1..1."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(x: Tensor) -> np.ndarray:
    """f32[N,3,H,W] in -1..1 -> u8[N,H,W,3]."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels, averaged over pictures."""
    mse = ((x.clamp(-1, 1) - y) / 2).pow(2).mean((1, 2, 3))
    return float((-10 * torch.log10(mse)).mean())


def sheet(x: Tensor, columns: int, labels: list[str] | None = None, scale: int = 1) -> Image.Image:
    """Pictures in rows, each with two lines of its label below; `scale` enlarges the pictures."""
    pictures = to_bytes(x)
    side = pictures.shape[1] * scale
    cell, letters, text = side + 2, side // 6, 24 if labels else 0
    rows = -(-len(pictures) // columns)
    image = Image.new("RGB", (columns * cell, rows * (cell + text)), (40, 40, 44))
    draw = ImageDraw.Draw(image)
    for i, picture in enumerate(pictures):
        left, top = i % columns * cell + 1, i // columns * (cell + text) + 1
        large = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
        image.paste(large, (left, top))
        for line in range(2 if labels else 0):
            words = labels[i][line * letters : (line + 1) * letters]
            draw.text((left + 1, top + side + 11 * line), words, fill="white")
    return image
