"""A safetensors file that grows: read as the library reads it, whatever its header needs."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from refdiff import safetensors as ours
from refdiff.errors import CheckpointError
from refdiff.stream import Stream, move

TENSORS = {
    "ids": np.arange(6).reshape(2, 3),
    "x": np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32),
    "half": np.ones((1, 2), np.float16),
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(2.5),
    "turned": np.arange(12.0).reshape(3, 4).T,
    "big": np.arange(3, dtype=">f4"),
}


def write(path: Path, room: int, tensors: dict[str, np.ndarray] = TENSORS) -> None:
    with open(path, "x+b") as file:
        stream = Stream(file, str(path), room)
        for name, array in tensors.items():
            stream.append(name, array)
            assert np.array_equal(stream[name], array)
        assert list(stream) == list(tensors) and len(stream) == len(tensors)
        stream.finish({"order": json.dumps(list(tensors))})
        assert all(np.array_equal(stream[name], a) for name, a in tensors.items())
    assert all(np.array_equal(stream[name], a) for name, a in tensors.items())


@pytest.mark.parametrize("room", [8, 16, 400, 800, 5000, 1 << 20])
def test_read_back_by_us_and_by_the_library(tmp_path: Path, room: int) -> None:
    """The header fits, does not, or is small beside its room, where the tensors move up."""
    path = tmp_path / "x.safetensors"
    write(path, room)
    for read in (dict(ours.read(path)), safetensors.numpy.load_file(path)):
        assert read.keys() == TENSORS.keys()
        for name, array in TENSORS.items():
            assert np.array_equal(read[name], array) and read[name].shape == array.shape
    assert path.stat().st_size < 2000


def test_room_is_left_in_a_large_file_and_odd_sizes_are_read_by_torch(tmp_path: Path) -> None:
    tensors = {f"t{i}": np.full((3, 1 + i % 2, 1001), i, np.float32) for i in range(9)}
    write(tmp_path / "x.safetensors", 4096, tensors)
    assert (tmp_path / "x.safetensors").stat().st_size == 4096 + sum(
        a.nbytes for a in tensors.values()
    )
    read = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert all(np.array_equal(read[name], array) for name, array in tensors.items())


@pytest.mark.parametrize(("source", "target"), [(0, 3), (100, 0), (7, 1 << 21), (1 << 21, 7)])
def test_bytes_move_over_themselves(source: int, target: int) -> None:
    data = np.random.default_rng(1).bytes(3_000_001)
    file = io.BytesIO(bytes(source) + data)
    move(file, source, target, len(data))
    assert file.getvalue()[target:] == data


def test_types_that_the_format_lacks(tmp_path: Path) -> None:
    with open(tmp_path / "x", "x+b") as file, pytest.raises(CheckpointError, match="complex128"):
        Stream(file, "x").append("z", np.zeros(2, complex))
