"""Whole folders or none: a new one is filled beside the old, and takes its name at the end."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refdiff.errors import RefdiffError


@contextmanager
def whole_folder(path: str | os.PathLike[str], mark: str) -> Iterator[Path]:
    """An empty folder that becomes `path` when the block ends, and vanishes when it fails.

    A folder that is there already is replaced if it is empty or holds the file `mark`.
    Raises RefdiffError where it is anything else, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not replaceable(target, mark):
        raise RefdiffError(
            f"{path} is there already and holds other things than a kit, and would be replaced; "
            "name a new folder."
        )
    token = secrets.token_hex(8)
    made, old = (target.with_name(f".{token}.{what}") for what in ("tmp", "old"))
    try:
        made.mkdir()
        yield made
        if target.exists():
            target.rename(old)
        made.rename(target)
    except OSError as error:
        raise RefdiffError(
            f"{path} cannot be written ({error.strerror or error}); check permissions and space."
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def replaceable(folder: Path, mark: str) -> bool:
    """Whether nothing is lost with it that could not be made again."""
    return folder.is_dir() and ((folder / mark).is_file() or not any(folder.iterdir()))
