"""Whole files or none: output goes to a neighbour that takes the target's name at the end."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from refdiff.errors import RefdiffError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends, and vanishes when the block fails.

    The temporary file lies in the target's own folder, since a rename is only atomic within one
    file system. A symbolic link is followed: the file it names is replaced, the link stays.

    Raises RefdiffError where the target is not a regular file, its folder is missing or
    unwritable, or the block raises an OSError (a full disk) that names no other file; its other
    exceptions pass through.
    """
    target = check_writable(path)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # Opened by name, not by tempfile, so that the result has the permissions of any new file.
        with open(temporary, "x+b") as file:
            yield file
        os.replace(temporary, target)
    except OSError as error:
        if error.filename and str(error.filename) != str(temporary):
            raise  # another file's trouble, which the block ran into
        raise RefdiffError(
            f"{path} cannot be written ({error.strerror or error}); check permissions and space."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The regular file that `path` names or may become: to be asked before hours of work.

    Raises RefdiffError where `atomic_write` would, as far as that can be seen beforehand.
    """
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        raise RefdiffError(f"{path} is a folder, and a file is to be written; name a file in it.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise RefdiffError(f"{path} is a device or pipe, and only a regular file can be replaced.")
    if not os.path.isdir(target.parent):
        raise RefdiffError(
            f"{path} cannot be written: there is no folder {target.parent}; create it first."
        )
    if not os.access(target.parent, os.W_OK):
        raise RefdiffError(f"{path} cannot be written: its folder is read-only for you.")
    return target
