"""A safetensors file that grows tensor by tensor, in memory for one of them.

The format puts the header first, and allows spaces behind it: room is left for it, and it is
written at the end. Where it does not fit, or the room would be most of the file, the tensors move.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import BinaryIO

import numpy as np

from refdiff import safetensors
from refdiff.op import Array

ROOM = 1 << 20  # bytes for the header: some 6000 tensors
CHUNK = 1 << 20


class Stream(Mapping[str, Array]):
    """Tensors on their way into `file`, which is to be `path`: each is read back when asked for.

    The file is whole only after `finish`.
    """

    def __init__(self, file: BinaryIO, path: str, room: int = ROOM) -> None:
        self._file, self._path, self._room = file, path, room
        self._infos: dict[str, safetensors.TensorInfo] = {}  # `begin` counts from the first tensor
        self._end = 0
        file.seek(room)

    def append(self, name: str, array: Array) -> None:
        """Write a tensor behind the others. Raises CheckpointError for what the format lacks."""
        dtype = safetensors.dtype_name(self._path, name, array)
        self._infos[name] = safetensors.TensorInfo(dtype, array.shape, self._end)
        whole = np.asarray(array, safetensors.DTYPES[dtype], order="C")
        self._file.write(whole.reshape(-1).view(np.uint8).data)
        self._end += whole.nbytes

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header; nothing can be appended any more."""
        entries = {}
        ends = [*(info.begin for info in self._infos.values()), self._end][1:]
        for (name, info), end in zip(self._infos.items(), ends, strict=True):
            entries[name] = safetensors.entry(info.dtype, info.shape, info.begin, end)
        header = safetensors.header(self._path, entries, metadata)
        if len(header) > self._room or self._end <= self._room:
            move(self._file, self._room, len(header), self._end)
            self._room = len(header)
        length = (self._room - 8).to_bytes(8, "little")
        self._file.seek(0)
        self._file.write(length + header[8:].ljust(self._room - 8))
        self._file.flush()

    def __getitem__(self, name: str) -> Array:
        if self._file.closed:
            return self._written[name]
        info = self._infos[name]
        dtype = safetensors.DTYPES[info.dtype]
        data = bytearray(math.prod(info.shape) * dtype.itemsize)
        self._file.seek(self._room + info.begin)
        self._file.readinto(data)  # type: ignore[attr-defined]  # typeshed leaves it out
        self._file.seek(0, 2)
        return np.frombuffer(data, dtype).reshape(info.shape)

    @cached_property
    def _written(self) -> safetensors.SafeTensors:
        return safetensors.read(self._path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)


def move(file: BinaryIO, source: int, target: int, length: int) -> None:
    """Move so many bytes of a file that ends with them, and end the file there."""
    starts = range(0, length, CHUNK)
    for start in reversed(starts) if target > source else starts:  # never over what is to be read
        file.seek(source + start)
        chunk = file.read(min(CHUNK, length - start))
        file.seek(target + start)
        file.write(chunk)
    file.truncate(target + length)
