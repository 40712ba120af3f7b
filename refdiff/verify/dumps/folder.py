"""Dumps in pieces: a folder of files of one kind, one a tensor or one a step."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from refdiff import safetensors
from refdiff.errors import CheckpointError
from refdiff.files import LARGEST_INDEX, read_json
from refdiff.strict_json import parse_json, show
from refdiff.verify.dumps.dump import Dump, Entry

TABLE = "trace.json"  # what a trace in pieces may have beside them: {"order": [names], ...}


def open_safetensors(path: Path) -> Dump:
    """A safetensors file, in the order of computation where its metadata tells it."""
    file = safetensors.read(path)
    # a comparison goes through large files tensor after tensor, and keeps none
    entries = {n: Entry(shape, partial(file.copied, n)) for n, shape in file.shapes.items()}
    try:
        order = parse_json(file.metadata.get("order", "").encode())
    except ValueError:
        order = None
    return Dump(path, _in_order(entries, order), file.metadata)


def _in_order(entries: dict[str, Entry], order: object) -> dict[str, Entry]:
    """The entries as `order` lists them; as they are, where it is not a list of their names."""
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        return entries
    known = len(order) == len(entries) and set(order) == set(entries)
    return {name: entries[name] for name in order} if known else entries


def open_folder(path: Path, readers: Mapping[str, Callable[[Path], Dump]]) -> Dump:
    """The tensors of all files in the folder that have one of the extensions in `readers`.

    Names stay as they are, unless two files share one: then every name is put behind its file's,
    "step7.unet.conv_in". Files come in the order of their names, input_2 before input_10.

    Raises CheckpointError where there are no such files or several kinds of them.
    """
    try:
        files = sorted(path.iterdir(), key=_natural)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}).") from error
    table = path / TABLE
    files = [f for f in files if f.suffix in readers and f.name != TABLE]
    # Beside other files, JSON is a page about them or a model's configuration.
    kinds = sorted({f.suffix for f in files} - {".json"}) or [f.suffix for f in files[:1]]
    files = [file for file in files if file.suffix in kinds]
    if len(kinds) != 1:
        found = "files of several kinds, " + ", ".join(kinds) if kinds else "no file"
        raise CheckpointError(
            f"{path} holds {found}, and a folder of one of {', '.join(readers)} is read; name the "
            "file that is meant, or leave one kind."
        )
    dumps = [readers[kinds[0]](file) for file in files]
    entries = _joined(path, dumps)
    notes = {key: text for dump in dumps for key, text in dump.notes.items() if key != "order"}
    if table.exists():
        header = read_json(table, CheckpointError, LARGEST_INDEX)
        entries = _in_order(entries, header.get("order"))
        notes |= {key: text for key, text in header.items() if isinstance(text, str)}
    return Dump(path, entries, notes)


def _joined(path: Path, dumps: list[Dump]) -> dict[str, Entry]:
    entries = {name: entry for dump in dumps for name, entry in dump.entries.items()}
    total = sum(map(len, dumps))
    if len(entries) == total:
        return entries
    joined: dict[str, Entry] = {}
    for dump in dumps:
        for name, entry in dump.entries.items():
            full = f"{dump.path.stem}.{name}"
            if full in joined:
                raise CheckpointError(f"{path} holds {show(full)} twice; rename its files.")
            joined[full] = entry
    return joined


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key by which 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(path.name)]


def _parts(name: str) -> list[str]:
    return re.split(r"([0-9]{1,18})", name)
