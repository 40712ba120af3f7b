"""Reading a kit: the manifest is checked, and each file against its checksum when it is opened."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refdiff import safetensors
from refdiff.errors import CheckpointError, ConfigError
from refdiff.files import read_json
from refdiff.op import Array
from refdiff.verify.formats import PROFILES
from refdiff.verify.kit.write import MANIFEST, SCHEMA
from refdiff.verify.metrics import Level
from refdiff.verify.verdict import Noise

LARGEST = 200_000_000  # bytes of a manifest


@dataclass(frozen=True)
class Expected:
    """What an output is judged by: noise by precision; the bound of float32, if there is one."""

    noise: Mapping[str, Noise]
    bound: float | None


@dataclass(frozen=True)
class Entry:
    """A vector as the manifest has it."""

    id: str
    of: str
    path: Path
    sha256: str
    attributes: Mapping[str, Any]
    outputs: Mapping[str, Expected]
    negatives: Mapping[str, str]  # id of a mistake -> title

    def tensors(self) -> Mapping[str, Array]:
        """Everything in the file. Raises CheckpointError where it is not the one described."""
        opened = safetensors.read(self.path)
        if hashlib.sha256(self.path.read_bytes()).hexdigest() != self.sha256:
            raise CheckpointError(
                f"{self.path} is not the file that the manifest describes: its sha256 differs; "
                "write the kit anew."
            )
        return opened


def read_kit(folder: str | os.PathLike[str]) -> list[Entry]:
    """The entries in the manifest's order. Raises CheckpointError and ConfigError."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise ConfigError(
            f"{folder} is no kit: it has no {MANIFEST}; `refdiff vectors -o FOLDER` writes one"
        )
    manifest = read_json(path, CheckpointError, LARGEST)
    if manifest.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path} has the schema {manifest.get('schema')!r:.60}, expected {SCHEMA!r}: "
            "it was written by another version of refdiff"
        )
    listed: Any = manifest.get("vectors")
    try:
        return [_entry(Path(folder), told) for told in listed]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged: {type(error).__name__} {error}; write the kit anew."
        ) from error


def _entry(folder: Path, told: Mapping[str, Any]) -> Entry:
    path = folder / told["file"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the file {told['file']!r:.60} lies outside of the kit")
    outputs = {name: _expected(output) for name, output in told["outputs"].items()}
    return Entry(
        told["id"],
        told["of"],
        path,
        told["sha256"],
        dict(told["attributes"]),
        outputs,
        dict(told["negatives"]),
    )


def _expected(told: Mapping[str, Any]) -> Expected:
    noise = {
        precision: Noise(
            Level(**n["noise"]),
            Level(**n["floor"]),
            PROFILES[precision],
            tuple(f"run {i + 1}" for i in range(n["runs"])),
            float("inf") if n["independent"] is None else float(n["independent"]),
        )
        for precision, n in told["noise"].items()
    }
    return Expected(noise, (told["bound_max"] or {}).get("float32"))
