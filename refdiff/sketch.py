"""A tensor in a few kilobytes: enough to say how far two tensors are apart, and roughly where.

projections   64 sums of all elements, each with signs that a hash of the element's index draws
samples       256 elements, evenly spaced
channels      mean and standard deviation of 64 channels, evenly spaced

Random signs keep distances (Achlioptas 2003, doi 10.1016/S0022-0000(03)00025-4): the mean square
of the projections of a - b is |a - b|² with a relative standard deviation of sqrt(2/64), which is
9 % of the distance. docs/tracing.md has all of it in another language.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refdiff.errors import CheckpointError, ShapeError
from refdiff.files import read_json
from refdiff.op import Array

PROJECTIONS, SAMPLES, CHANNELS = 64, 256, 64
LARGEST_FILE = 1 << 30  # bytes
CHUNK = 1 << 12  # elements at a time
LISTS = ("projections", "samples", "channel_mean", "channel_std")


@dataclass(frozen=True)
class Sketch:
    """What is kept of a tensor; numbers in float64, nan where something is not finite."""

    shape: tuple[int, ...]
    mean: float
    std: float
    projections: Array  # [64]
    samples: Array  # [up to 256]
    channel_mean: Array  # [up to 64]
    channel_std: Array


def sketch(x: Array, *, channel: int | None = None, seed: int = 0) -> Sketch:
    """The sketch of a tensor: x [*]; channel: the axis of channels, by default 1 of 4, else last.

    seed: of the signs; sketches can be compared if theirs are equal.
    """
    flat = np.asarray(x, order="C").reshape(-1)
    mean, std = moments(flat)
    channels = by_channel(x, (1 if x.ndim == 4 else -1) if channel is None else channel)
    samples = flat[spaced(flat.size, SAMPLES)].astype(np.float64)
    return Sketch(x.shape, mean, std, project(flat, seed), samples, *channels)


def sketch_distance(a: Sketch, b: Sketch) -> float:
    """An estimate of |a - b| / |b|, off by 9 % of itself (one standard deviation).

    Raises ShapeError for sketches of tensors that differ in shape.
    """
    if a.shape != b.shape:
        raise ShapeError(
            f"sketches of shapes {list(a.shape)} and {list(b.shape)} have no distance: bring the "
            "tensors into one layout before they are sketched"
        )
    square = float(np.mean((a.projections - b.projections) ** 2))
    norm = math.prod(b.shape) * (b.mean**2 + b.std**2)
    if square == 0:
        return 0.0
    return math.sqrt(square / norm) if norm else math.inf


def project(flat: Array, seed: int = 0) -> Array:
    """The sums of all elements under each row of signs: flat [n] -> [64]"""
    total = np.zeros(PROJECTIONS)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK].astype(np.float64)
        with np.errstate(invalid="ignore"):
            total += part @ signs(np.arange(start, start + len(part)), seed)
    return total


def signs(index: Array, seed: int = 0) -> Array:
    """+1 or -1 for each element and projection: index [n] -> [n,64]

    Bit k mod 32 of hash(hash(2i + floor(k / 32)) + seed), all modulo 2^32, is 1 for +1.
    """
    counters = (2 * index[:, None] + np.arange(2)).astype("<u4")
    words = _hash(_hash(counters) + np.uint32(seed)).astype("<u4")
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return 2.0 * bits - 1


def _hash(h: Array) -> Array:
    """The finaliser of MurmurHash3, a bijection of 32-bit numbers (Appleby, public domain)."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def spaced(count: int, most: int) -> Array:
    """All places up to `count`, or `most` of them, floor(k * count / most)."""
    return np.arange(count) if count <= most else np.arange(most) * count // most


def moments(flat: Array) -> tuple[float, float]:
    """Mean and standard deviation in float64, without a float64 copy: flat [n] -> nan if empty."""
    parts = [slice(i, i + CHUNK) for i in range(0, flat.size, CHUNK)]
    with np.errstate(invalid="ignore", over="ignore"):
        mean = sum(float(flat[s].sum(dtype=np.float64)) for s in parts) / (flat.size or math.nan)
        squares = (float(((flat[s].astype(np.float64) - mean) ** 2).sum()) for s in parts)
        return mean, math.sqrt(sum(squares) / (flat.size or math.nan))


def by_channel(x: Array, axis: int) -> tuple[Array, Array]:
    """Mean and standard deviation of channels, at most 64 of them: x [*] -> [c], [c]"""
    channels = np.moveaxis(x, axis, 0) if x.ndim else x.reshape(1)
    found = [moments(channels[c].reshape(-1)) for c in spaced(len(channels), CHANNELS)]
    mean, std = np.array(found, np.float64).reshape(-1, 2).T
    return mean, std


def to_json(s: Sketch) -> dict[str, list[float | None]]:
    """The lists of a sketch; null where a number is not finite, which JSON cannot say."""
    return {
        key: [v if math.isfinite(v) else None for v in getattr(s, key).tolist()] for key in LISTS
    }


def read_sketches(path: str | os.PathLike[str]) -> dict[str, Sketch]:
    """The sketches by name in a file of `refdiff trace --sketch`. Raises CheckpointError."""
    tensors = read_json(path, CheckpointError, LARGEST_FILE).get("tensors")
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{path} has no tensors by name: write it by refdiff trace --sketch")
    try:
        return {name: _from_json(entry) for name, entry in tensors.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no sketches, or damaged ones ({error}): write it by refdiff trace "
            "--sketch"
        ) from error


def _from_json(entry: Mapping[str, Any]) -> Sketch:
    shape = tuple(int(n) for n in entry["shape"])
    mean, std = (math.nan if entry[key] is None else float(entry[key]) for key in ("mean", "std"))
    lists = {key: np.array(entry[key], np.float64) for key in LISTS}  # null becomes nan
    if lists["projections"].shape != (PROJECTIONS,):
        raise ValueError(f"{lists['projections'].size} projections, expected {PROJECTIONS}")
    return Sketch(shape, mean, std, **lists)
