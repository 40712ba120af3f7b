"""Raw binary files with a JSON file beside them that says what lies where.

    {"tensors": {name: {"file": "x.bin", "dtype": "float32", "shape": [2, 3],
                        "order": "C" or "F", "offset": bytes}, ...}}

Values are little-endian; order and offset may be left out. A file lies in the JSON file's folder
or below it.
"""

import os
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from refdiff.errors import CheckpointError
from refdiff.files import LARGEST_INDEX, read_json
from refdiff.op import Array
from refdiff.strict_json import show
from refdiff.verify.dumps.dump import BFLOAT16, Dump, Entry, check_shape, map_file

DTYPES = ("float32", "float16", BFLOAT16, "float64", "int32", "int64")
KEYS = {"file", "dtype", "shape", "order", "offset"}


class _Place(NamedTuple):
    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    fortran: bool


def open_raw(path: Path) -> Dump:
    """The tensors that the JSON file `path` names, in its order; its other text becomes notes.

    Raises CheckpointError where an entry is not as above, or its file is missing or too short.
    """
    header = read_json(path, CheckpointError, LARGEST_INDEX)
    tensors = header.get("tensors")
    if not isinstance(tensors, dict):
        raise CheckpointError(
            f"{path} has as tensors {show(tensors)}, and an object of entries by name is expected."
        )
    entries: dict[str, Entry] = {}
    for name, entry in tensors.items():
        try:
            place = _place(path.parent, entry)
        except ValueError as error:
            raise CheckpointError(f"{path}: tensor {show(name)} {error}.") from error
        _read(place)
        entries[name] = Entry(place.shape, partial(_read, place))
    notes = {key: text for key, text in header.items() if isinstance(text, str)}
    return Dump(path, entries, notes)


def _read(place: _Place) -> Array:
    # Mapped anew each time: a dump may have more files than a process may hold open.
    file = map_file(place.path)
    return file.array(place.dtype, place.shape, place.begin, fortran=place.fortran)


def _place(folder: Path, entry: object) -> _Place:
    """Where a tensor lies; ValueError says what is wrong with its entry."""
    if not isinstance(entry, dict) or not entry.keys() <= KEYS:
        raise ValueError(f"is {show(entry)}, and an object with {', '.join(sorted(KEYS))} is due")
    dtype, shape = entry.get("dtype"), entry.get("shape")
    order, offset = entry.get("order", "C"), entry.get("offset", 0)
    if dtype not in DTYPES:
        raise ValueError(f"has the dtype {show(dtype)}, not one of {', '.join(DTYPES)}")
    if order not in ("C", "F"):
        raise ValueError(f"has the order {show(order)}, not C or F")
    if not isinstance(shape, list) or not all(_is_count(size) for size in [*shape, offset]):
        raise ValueError(
            f"has the shape {show(shape)} at offset {show(offset)}, not whole numbers >= 0"
        )
    check_shape(tuple(shape), 8, lambda problem: CheckpointError(f"{folder} {problem}."))
    return _Place(_inside(folder, entry.get("file")), dtype, tuple(shape), offset, order == "F")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _inside(folder: Path, name: object) -> Path:
    """The file `name` of the folder, wherever links lead; ValueError where it is outside."""
    plain = isinstance(name, str) and name and not any(c in name for c in "\\:\0")
    if plain and not PurePosixPath(str(name)).is_absolute():
        path = Path(os.path.realpath(folder / str(name)))
        if path.is_relative_to(os.path.realpath(folder)):
            return path
    raise ValueError(f"lies in {show(name)}, and the name of a file in {folder} is expected")
