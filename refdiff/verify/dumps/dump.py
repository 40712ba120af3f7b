"""A dump: somebody's named tensors in the dump's own order, each read when it is asked for."""

import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refdiff.errors import CheckpointError
from refdiff.op import Array

MOST_AXES = 64  # NumPy's own limit
BFLOAT16 = "bfloat16"  # beside NumPy's names of types: the upper half of a float32


class Entry(NamedTuple):
    """One tensor: its shape, which is known, and how to read its values, which are not yet."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


class Dump(Mapping[str, Array]):
    """Name -> array, in the dump's order; `path` is where it lies, `notes` its text by name.

    Reading a tensor raises CheckpointError where its file is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        entries: Mapping[str, Entry],
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.notes = dict(notes or {})
        self.entries = dict(entries)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape by name, without a look at its values."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def __getitem__(self, name: str) -> Array:
        return self.entries[name].read()

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<Dump {self.path}: {len(self)} tensors>"


class Buffer:
    """The bytes of one file, of which arrays are views; every length in it is a claim to check."""

    def __init__(self, path: Path, data: mmap.mmap | bytes | memoryview, what: str = "") -> None:
        self.path = path
        self.data = data
        self.what = what  # which part of the file, where it is not the whole

    def __len__(self) -> int:
        return len(self.data)

    def error(self, problem: str) -> CheckpointError:
        """What is wrong with this file, as one sentence."""
        where = f"{self.path}, {self.what}," if self.what else str(self.path)
        return CheckpointError(f"{where} {problem}; the file is damaged: write it anew.")

    def array(
        self,
        dtype: str | np.dtype[Any],
        shape: tuple[int, ...],
        begin: int = 0,
        *,
        fortran: bool = False,
    ) -> Array:
        """The array that lies at byte `begin`, read-only: a view, or bfloat16 widened to float32.

        Raises CheckpointError where the file is too short for it.
        """
        stored = np.dtype("<u2") if dtype == BFLOAT16 else np.dtype(dtype).newbyteorder("<")
        if isinstance(dtype, np.dtype):
            stored = dtype
        check_shape(shape, stored.itemsize, self.error)
        size = math.prod(shape) * stored.itemsize
        if begin + size > len(self):
            raise self.error(
                f"has {len(self)} bytes, and {dtype} of shape {list(shape)} at byte {begin} "
                f"takes {size}"
            )
        flat = np.frombuffer(self.data, stored, math.prod(shape), begin)
        if dtype == BFLOAT16:
            flat = widen(flat)
        if not flat.flags.aligned or not flat.dtype.isnative:
            flat = flat.astype(flat.dtype.newbyteorder("="))
        flat.flags.writeable = False
        return flat.reshape(shape, order="F" if fortran else "C")


def map_file(path: str | os.PathLike[str]) -> Buffer:
    """A file's bytes, mapped into memory. Raises CheckpointError where it cannot be read."""
    path = Path(path)
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is not a regular file, and one is expected.")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
    except (OSError, ValueError) as error:  # ValueError: the file shrank before it was mapped
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path} cannot be read ({reason}).") from error
    return Buffer(path, data)


def check_shape(
    shape: tuple[int, ...], itemsize: int, error: Callable[[str], CheckpointError]
) -> None:
    """Raises `error` for a shape that no array can have, whatever the zeros in it."""
    # Zeros are left out, as NumPy does, so that no order of axes overflows.
    if len(shape) > MOST_AXES or math.prod(filter(None, shape)) * itemsize >= 2**63:
        raise error(f"has the shape {str(list(shape))[:60]}, too large for any array")


def widen(bits: Array) -> Array:
    """bfloat16 as float32, which holds every one of its values. bits uint16 [*] -> [*]"""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
