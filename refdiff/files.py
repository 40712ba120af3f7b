"""Files from strangers: regular ones, of a size that such a file can have; JSON objects in them."""

import os
from pathlib import Path

from refdiff.errors import RefdiffError
from refdiff.strict_json import parse_json, show

LARGEST_CONFIG = 1_000_000  # bytes; real ones have about 2000
LARGEST_VOCABULARY = 20_000_000
LARGEST_INDEX = 100_000_000


def read_bytes(
    path: str | os.PathLike[str], error: type[RefdiffError], limit: int = LARGEST_CONFIG
) -> bytes:
    """What the file `path` holds, at most `limit` bytes.

    Raises `error`, which says whether the file is a configuration or a part of the weights.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
        raise error(f"{path} is not a regular file, and one is expected.")
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as cause:
        reason = cause.strerror or cause
        raise error(f"{path} cannot be read ({reason}); is the download complete?") from cause
    if len(data) > limit:
        raise error(f"{path} has more than {limit} bytes, too many for what it should hold.")
    return data


def read_json(
    path: str | os.PathLike[str],
    error: type[RefdiffError],
    limit: int = LARGEST_CONFIG,
    *,
    infinities: bool = False,
) -> dict[str, object]:
    """The object in the JSON file `path` of at most `limit` bytes. Raises `error`.

    infinities: whether it may hold Infinity and -Infinity, which are no JSON.
    """
    path = Path(path)
    try:
        value = parse_json(read_bytes(path, error, limit), infinities=infinities)
    except ValueError as cause:
        raise error(f"{path} {cause}; fetch or write the file anew.") from cause
    if not isinstance(value, dict):
        raise error(f"{path} holds {show(value)}, and a JSON object is expected.")
    return value
