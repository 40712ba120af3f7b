"""Dumps of named tensors, whatever the program that wrote them: `open_dump`."""

import os
from collections.abc import Callable
from pathlib import Path

from refdiff.errors import CheckpointError
from refdiff.verify.dumps import gguf, npy
from refdiff.verify.dumps.dump import Dump
from refdiff.verify.dumps.folder import open_folder, open_safetensors
from refdiff.verify.dumps.gguf import open_gguf
from refdiff.verify.dumps.npy import open_npy, open_npz
from refdiff.verify.dumps.onnx import open_pb
from refdiff.verify.dumps.raw import open_raw

__all__ = ["Dump", "open_dump"]

Reader = Callable[[Path], Dump]
READERS: dict[str, Reader] = {
    ".safetensors": open_safetensors,
    ".npz": open_npz,
    ".npy": open_npy,
    ".pb": open_pb,
    ".gguf": open_gguf,
    ".json": open_raw,
}
MAGIC: dict[bytes, Reader] = {
    gguf.MAGIC: open_gguf,
    npy.MAGIC: open_npy,
    b"PK\x03\x04": open_npz,
    b"PK\x05\x06": open_npz,  # an empty archive
}


def open_dump(path: str | os.PathLike[str]) -> Dump:
    """The tensors in `path`, each read when it is asked for, in the dump's own order.

    Read are safetensors, .npy and .npz, ONNX tensors (.pb), GGUF, raw binary files named by a
    JSON file, and folders of one of these. What a file is, its first bytes say where they can.

    Raises CheckpointError where the file is none of these, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        return open_folder(path, READERS)
    reader = _by_content(path) or READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointError(
            f"{path} is no dump that is known here: what is read is {', '.join(READERS)} (which "
            "names raw binary files), or a folder of one of these."
        )
    return reader(path)


def _by_content(path: Path) -> Reader | None:
    if not path.is_file():
        raise CheckpointError(f"{path} is no file and no folder; is its name right?")
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        return open_safetensors
    return next((reader for magic, reader in MAGIC.items() if head.startswith(magic)), None)
