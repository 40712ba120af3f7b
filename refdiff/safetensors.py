"""The safetensors format: read by memory map and hostile until checked; written byte for byte.

    8 bytes     n, the length of the header, little-endian
    n bytes     JSON: {name: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, ...}
    the rest    the tensors, little-endian and in C order, without gaps; offsets count from here

Source: https://github.com/safetensors/safetensors, whose rules these are: what it refuses is
refused here. Beyond it, this reader refuses a name that occurs twice, a tensor entry that is not
a JSON object, and what NumPy has no array for (8-bit floats, more than 64 axes).
"""

import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from refdiff.atomic import atomic_write
from refdiff.errors import CheckpointError
from refdiff.strict_json import parse_json, show

LONGEST_HEADER = 100_000_000  # bytes; the library's own limit

# Name in the file -> NumPy type, in the order in which the library lays tensors out, last first:
# wide types before narrow ones, so that every tensor lies at a multiple of its own width.
DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32; NumPy has no type for it
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "C64": np.dtype("<c8"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}
_ORDER = list(DTYPES)


class TensorInfo(NamedTuple):
    """What the header says of one tensor; `begin` is a byte of the file, not of the data part."""

    dtype: str
    shape: tuple[int, ...]
    begin: int


Header = tuple[dict[str, str], dict[str, TensorInfo]]  # metadata, and every tensor by name


class SafeTensors(Mapping[str, NDArray[np.generic]]):
    """The tensors of one file by name: views that are read from disk when they are used.

    `metadata` is the header's text-to-text table, `path` the file. Arrays are read-only and stay
    valid as long as they live; nobody may shorten the file under them.
    """

    def __init__(self, path: str, data: mmap.mmap, header: Header) -> None:
        self.path = path
        self._data = data
        self.metadata, self._infos = header

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """The tensor: a view of the file, or for BF16 a float32 copy with the same values."""
        array = self.stored(name)
        if self._infos[name].dtype == "BF16":
            halves = np.zeros((*array.shape, 2), "<u2")  # the lower one first
            halves[..., 1] = array
            return halves.view("<f4").reshape(array.shape)
        if not array.flags.aligned:  # an old writer's file; compiled code needs alignment
            array = array.copy()
            array.flags.writeable = False
        return array

    def stored(self, name: str) -> NDArray[np.generic]:
        """A view of the tensor as it lies in the file, maybe unaligned; BF16 as its uint16 bits."""
        info = self._infos[name]
        count = math.prod(info.shape)
        flat = np.frombuffer(self._data, DTYPES[info.dtype], count, info.begin)
        return flat.reshape(info.shape)

    def copied(self, name: str) -> NDArray[np.generic]:
        """The tensor as an array of its own, with nothing of the file left in memory."""
        array = np.array(self[name])
        self.release()
        return array

    def release(self) -> None:
        """Give the pages in memory back; arrays stay valid, and are read again when used."""
        if hasattr(self._data, "madvise"):  # not on every system
            self._data.madvise(mmap.MADV_DONTNEED)

    def info(self, name: str) -> TensorInfo:
        """The tensor's type in the file, shape and place, without a look at its data."""
        return self._infos[name]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape by name, in the order of the data."""
        return {name: info.shape for name, info in self._infos.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __repr__(self) -> str:
        return f"<SafeTensors {self.path}: {len(self)} tensors>"


def read(path: str | os.PathLike[str]) -> SafeTensors:
    """Open a safetensors file; its header is checked whole, its tensors are left on disk.

    Raises CheckpointError with the file and, where they are known, the tensor and the byte.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is not a regular file, and a safetensors file is expected.")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:
                raise CheckpointError(
                    f"{path} has {size} bytes, and a safetensors file starts with 8 that hold the "
                    "length of its header; it is no such file, or its download broke off."
                )
            data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: the file shrank before it was mapped
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path} cannot be read as a safetensors file: {reason}.") from error
    length = int.from_bytes(data[:8], "little")
    if length > min(size - 8, LONGEST_HEADER):
        raise CheckpointError(
            f"{path} says in bytes 0 to 8 that its header has {length} bytes, and it can have at "
            f"most {min(size - 8, LONGEST_HEADER)}; it is no safetensors file, or it is cut off."
        )
    try:
        header = _check_header(parse_json(data[8 : 8 + length]), 8 + length, size)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: the header, which starts at byte 8, {error}; "
            "the file is damaged or no safetensors file: fetch or write it anew."
        ) from error
    return SafeTensors(path, data, header)


def _check_header(header: object, start: int, size: int) -> Header:
    """The metadata and the tensors in the order of their data; ValueError says what is wrong."""
    if not isinstance(header, dict):
        raise ValueError(f"holds {show(header)}, not a JSON object")
    metadata = header.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"has as __metadata__ {show(metadata)}, not text by name")

    spans = sorted((_check_entry(name, entry), name) for name, entry in header.items())
    infos = {}
    end = 0
    for (begin, stop, dtype, shape), name in spans:
        if begin != end:
            problem = "overlaps the tensor before" if begin < end else "leaves a hole before it"
            raise ValueError(
                f"puts tensor {show(name)} at byte {start + begin}, which {problem}: "
                f"byte {start + end} is next"
            )
        infos[name] = TensorInfo(dtype, shape, start + begin)
        end = stop
    if start + end != size:
        raise ValueError(f"describes a file of {start + end} bytes, and this one has {size}")
    return metadata, infos


def _check_entry(name: str, entry: object) -> tuple[int, int, str, tuple[int, ...]]:
    """(begin, end, dtype, shape) of one tensor, offsets counted from the data part."""
    where = f"for tensor {show(name)}"
    if not isinstance(entry, dict):
        raise ValueError(f"has {where} {show(entry)}, not a JSON object")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"has {where} the dtype {show(dtype)}, not one of {', '.join(DTYPES)}")
    if not _counts(shape):
        raise ValueError(f"has {where} the shape {show(shape)}, not a list of whole numbers >= 0")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"has {where} the data_offsets {show(offsets)}, not [begin, end]")
    # Zeros are left out, as NumPy does, so that no order of axes overflows.
    if len(shape) > 64 or math.prod(filter(None, shape)) * DTYPES[dtype].itemsize >= 2**63:
        raise ValueError(f"has {where} the shape {show(shape)}, too large for any array")
    begin, end = offsets
    length = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != length:
        raise ValueError(
            f"has {where} the data_offsets {show(offsets)}, and {dtype} of shape {show(shape)} "
            f"takes {length} bytes"
        )
    return begin, end, dtype, tuple(shape)


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.generic]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors` as a safetensors file, whole or not at all; equal input, equal bytes.

    The layout is the library's own: wide types first, then by name, the header padded with spaces
    to a multiple of 8 bytes. Metadata is sorted by name.

    Raises CheckpointError for a name, a type or metadata that the format cannot hold, and
    RefdiffError where the file cannot be written.
    """
    path = os.fspath(path)
    dtypes = {name: dtype_name(path, name, array) for name, array in tensors.items()}
    order = sorted(dtypes, key=lambda name: (-_ORDER.index(dtypes[name]), name))
    entries, end = {}, 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        entries[name] = entry(dtypes[name], tensors[name].shape, begin, end)
    packed = header(path, entries, metadata)
    with atomic_write(path) as file:
        file.write(packed)
        for name in order:
            array = np.ascontiguousarray(tensors[name], DTYPES[dtypes[name]])
            file.write(array.reshape(-1).view(np.uint8).data)


def entry(dtype: str, shape: tuple[int, ...], begin: int, end: int) -> dict[str, object]:
    """What the header says of one tensor."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def header(
    path: str, entries: Mapping[str, object], metadata: Mapping[str, str] | None = None
) -> bytes:
    """What stands before the tensors: the length, and the JSON padded to a multiple of 8 bytes.

    Raises CheckpointError for metadata that is no text, and for more than the format allows.
    """
    whole: dict[str, object] = {}
    if metadata is not None:
        for name, text in metadata.items():
            _check_text(path, "the name of metadata", name)
            _check_text(path, f"metadata under {show(name)}", text)
        whole["__metadata__"] = dict(sorted(metadata.items()))
    packed = json.dumps({**whole, **entries}, ensure_ascii=False, separators=(",", ":")).encode()
    packed += b" " * (-len(packed) % 8)
    if len(packed) > LONGEST_HEADER:
        raise CheckpointError(
            f"{path} would need a header of {len(packed)} bytes, and the format allows "
            f"{LONGEST_HEADER}; spread the tensors over several files."
        )
    return len(packed).to_bytes(8, "little") + packed


def dtype_name(path: str, name: object, array: NDArray[np.generic]) -> str:
    """The format's name of an array's type; CheckpointError where it has none, or the name is."""
    _check_text(path, "the name of a tensor", name)
    if name == "__metadata__":
        raise CheckpointError(
            f"{path} cannot hold a tensor named '__metadata__', which the format keeps for text; "
            "choose another name."
        )
    dtype = _NAMES.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise CheckpointError(
            f"{path} cannot hold tensor {show(name)} of type {array.dtype}; "
            f"convert it to one of {', '.join(map(str, _NAMES))}."
        )
    return dtype


def _check_text(path: str, what: str, text: object) -> None:
    if not isinstance(text, str) or any("\ud800" <= c <= "\udfff" for c in text):
        raise CheckpointError(
            f"{path} cannot hold {show(text)} as {what}; give text that UTF-8 can encode."
        )
