"""The pool: captioned pictures rendered once, from which all training batches are drawn."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import numpy as np

from .draw import render
from .scenes import Scene, caption, random_scene

CHUNK = 500
WORDINGS = 4  # captions kept for each picture
POOL_SEED, JUDGE_SEED = 1_000, 900_000  # chunks are seeded one by one; the two ranges never meet


def render_chunk(seed: int, held: bool | None) -> tuple[np.ndarray, list[Scene], list[list[str]]]:
    """CHUNK pictures u8[CHUNK,64,64,3], their scenes and captions, all from one seed."""
    rng = Random(seed)
    scenes = [random_scene(rng, held=held) for _ in range(CHUNK)]
    pictures = np.stack([np.asarray(render(scene, rng)) for scene in scenes])
    return pictures, scenes, [[caption(s, rng) for _ in range(WORDINGS)] for s in scenes]


def render_many(
    count: int, first_seed: int, held: bool | None, workers: int
) -> tuple[np.ndarray, list[Scene], list[list[str]]]:
    """`count` (a multiple of CHUNK) pictures, scenes and captions, the same for any `workers`."""
    seeds = range(first_seed, first_seed + count // CHUNK)
    with ProcessPoolExecutor(workers) as executor:
        chunks = list(executor.map(render_chunk, seeds, [held] * len(seeds)))
    pictures = np.concatenate([pictures for pictures, _, _ in chunks])
    return pictures, [s for _, ss, _ in chunks for s in ss], [c for _, _, cs in chunks for c in cs]


def make_pool(work: Path, count: int, workers: int) -> None:
    """Stage `data`: writes pictures.npy and captions.json."""
    pictures, scenes, captions = render_many(count, POOL_SEED, False, workers)
    assert not any(scene.held_out for scene in scenes)
    np.save(work / "pictures.npy", pictures)
    (work / "captions.json").write_text(json.dumps(captions))
    print(f"pool {pictures.shape}, for example {captions[0]}")
