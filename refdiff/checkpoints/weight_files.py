"""The weights of one component: one safetensors file, or several with an index."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff import safetensors
from refdiff.errors import CheckpointError
from refdiff.files import LARGEST_INDEX, read_json
from refdiff.safetensors import SafeTensors
from refdiff.strict_json import show

# The names of a component's weights, the first that exists is taken; diffusers writes all four.
CANDIDATES = (
    "{}.safetensors",
    "{}.safetensors.index.json",
    "{}.fp16.safetensors",
    "{}.safetensors.index.fp16.json",
)
PICKLES = (".bin", ".bin.index.json", ".ckpt", ".pt", ".pth")


class Source(NamedTuple):
    """Where a tensor comes from, and the shape that it has here."""

    file: SafeTensors
    name: str
    shape: tuple[int, ...]


class WeightFiles(Mapping[str, NDArray[np.generic]]):
    """Tensors by name, out of one file or many, each read when it is used."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        source = self.sources[name]
        return source.file[source.name].reshape(source.shape)

    def release(self) -> None:
        """Give the pages in memory back; tensors stay valid, and are read again when used."""
        for file in {id(source.file): source.file for source in self.sources.values()}.values():
            file.release()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape by name, without a look at its data."""
        return {name: source.shape for name, source in self.sources.items()}

    def __contains__(self, name: object) -> bool:
        return name in self.sources

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)


def open_weights(folder: str | os.PathLike[str], stem: str) -> WeightFiles:
    """The weights of the component in `folder` whose files are called `stem`.

    `stem` is "diffusion_pytorch_model" in diffusers' folders and "model" in transformers'.
    Raises CheckpointError where there are none, only pickles, or shards that contradict the index.
    """
    folder = Path(folder)
    for candidate in CANDIDATES:
        path = folder / candidate.format(stem)
        if os.path.exists(path):
            return _open_shards(path) if path.suffix == ".json" else _open_file(path)
    wanted = folder / CANDIDATES[0].format(stem)
    pickles = [p.name for p in _listing(folder) if p.name.endswith(PICKLES)]
    if pickles:
        raise CheckpointError(
            f"{folder} has weights as {pickles[0]} only, a pickle, which runs code when it is "
            f"opened; {wanted.name} is expected: load the model once in diffusers or transformers, "
            "where you trust it, and save it with save_pretrained."
        )
    raise CheckpointError(f"{wanted} does not exist, nor its shards; is the download complete?")


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be opened ({error.strerror}).") from error


def _open_file(path: Path) -> WeightFiles:
    file = safetensors.read(path)
    return WeightFiles({name: Source(file, name, shape) for name, shape in file.shapes.items()})


def _open_shards(index: Path) -> WeightFiles:
    listed = read_json(index, CheckpointError, LARGEST_INDEX).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise CheckpointError(f"{index}: weight_map is {show(listed)}, not file by tensor name.")
    for name, shard in listed.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise CheckpointError(
                f"{index} puts tensor {show(name)} into {show(shard)}; the name of a safetensors "
                "file in the same folder is expected, without a path."
            )
    sources: dict[str, Source] = {}
    for shard in sorted(set(listed.values())):
        if not os.path.exists(index.parent / shard):
            raise CheckpointError(
                f"{index} names {show(shard)}, which is not there; is the download complete?"
            )
        for name, source in _open_file(index.parent / shard).sources.items():
            if listed.get(name) != shard:
                raise CheckpointError(
                    f"{index.parent / shard} holds tensor {show(name)}, which {index.name} puts "
                    f"into {show(listed.get(name))}; the files are not from one checkpoint."
                )
            sources[name] = source
    for name, shard in listed.items():
        if name not in sources:
            raise CheckpointError(
                f"{index.parent / shard} lacks tensor {show(name)}, which {index.name} puts "
                "there; the files are not from one checkpoint."
            )
    return WeightFiles(sources)


def _is_plain(name: str) -> bool:
    return name.endswith(".safetensors") and not any(c in "/\\:\0" for c in name)
