"""Latents in files (.npy, .safetensors) and, inside a picture's note, as text."""

import base64
import binascii
import io
import os
import zlib
from pathlib import Path

import numpy as np

from refdiff import safetensors
from refdiff.atomic import atomic_write
from refdiff.errors import CheckpointError, ConfigError
from refdiff.op import Array

NAME = "latents"  # the tensor's name in a safetensors file


def read(path: str | os.PathLike[str]) -> Array:
    """The array in a .npy file, or the one tensor in a .safetensors file.

    Raises CheckpointError for a damaged file, ConfigError for another kind of file.
    """
    if check_name(path) == ".safetensors":
        tensors = safetensors.read(path)
        if len(tensors) != 1:
            raise CheckpointError(f"{path} holds {len(tensors)} tensors, expected one: {NAME}")
        return next(iter(tensors.values()))
    try:
        # A map: a header that promises more than the file holds allocates nothing.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise CheckpointError(f"{path} cannot be read as an array: {error}") from error


def write(path: str | os.PathLike[str], latents: Array) -> None:
    """Write what `read` reads. Raises RefdiffError, leaving no half file."""
    if check_name(path) == ".safetensors":
        safetensors.write(path, {NAME: latents})
    else:
        with atomic_write(path) as file:
            np.save(file, latents)


def check_name(path: str | os.PathLike[str]) -> str:
    """The ending of a file of latents. Raises ConfigError for any other file."""
    suffix = Path(path).suffix
    if suffix not in (".npy", ".safetensors"):
        raise ConfigError(f"{path} is no file of latents: name a .npy or .safetensors file")
    return suffix


def to_text(latents: Array) -> str:
    """A compressed .npy file in base64."""
    buffer = io.BytesIO()
    np.save(buffer, latents)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def from_text(text: object, limit: int = 1 << 28) -> Array:
    """The inverse of `to_text`. Raises CheckpointError for any other text."""
    try:
        if not isinstance(text, str):
            raise ValueError("it is no text")
        inflate = zlib.decompressobj()
        raw = inflate.decompress(base64.b64decode(text, validate=True), limit)
        if not inflate.eof:
            raise ValueError("it does not end")
        return np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, binascii.Error, zlib.error) as error:
        raise CheckpointError(f"the latents in the picture's note are damaged: {error}") from error
