"""Where an implementation's answers come from: a command that is run, or files that are there."""

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from refdiff import safetensors
from refdiff.errors import CheckpointError, ConfigError, RefdiffError
from refdiff.op import Array
from refdiff.verify.dumps import open_dump
from refdiff.verify.kit.read import Entry
from refdiff.verify.kit.write import metadata

SUFFIXES = (".safetensors", ".npz", ".gguf", "")
Answers = Callable[[Entry, Mapping[str, Array]], Mapping[str, Array]]


class Unanswered(RefdiffError):  # noqa: N818 - it is told of one vector, and ends nothing
    """There is no answer, and the message says why."""


def from_files(folder: str) -> Answers:
    """Answers in files named by the vectors' ids. Raises ConfigError where there is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"--dumps {folder} is no folder: name the one that holds the answers")

    def answer(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        paths = [root / f"{entry.id}{suffix}" for suffix in SUFFIXES]
        path = next((p for p in paths if p.exists()), None)
        if path is None:
            raise Unanswered(f"there is no {paths[0]}")
        return loaded(path)

    return answer


def from_command(template: str, timeout: float) -> Answers:
    """Answers of a command that is called once a vector, without a shell.

    {in} and {out} in its words become the names of two files. Raises ConfigError where they do not
    stand there.
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ConfigError(f"--exec {template!r:.100} is no command line: {error}") from error
    if not all(any(hole in word for word in words) for hole in ("{in}", "{out}")):
        raise ConfigError(
            f"--exec {template!r:.100} does not say where {{in}} and {{out}} go: "
            'write --exec "./mine {in} {out}"'
        )

    def answer(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            given, out = Path(folder, "in.safetensors"), Path(folder, "out.safetensors")
            told = metadata(entry.id, entry.of, entry.attributes)
            question = {k: x for k, x in tensors.items() if k.startswith(("in.", "w."))}
            safetensors.write(given, question, told)
            holes = {"{in}": str(given), "{out}": str(out)}
            call([filled(word, holes) for word in words], timeout)
            if not out.exists():
                raise Unanswered("the command ended well and wrote no {out}")
            return {name: x.copy() for name, x in loaded(out).items()}

    return answer


def filled(word: str, holes: Mapping[str, str]) -> str:
    for hole, path in holes.items():
        word = word.replace(hole, path)
    return word


def call(words: list[str], timeout: float) -> None:
    """Run it. Raises ConfigError where there is no such program, Unanswered where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Unanswered(f"the command took longer than {timeout:g} seconds") from error
    except OSError as error:
        raise ConfigError(
            f"--exec cannot run {words[0]!r:.100} ({error.strerror or error}): "
            "name a program that is there"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = f": {said[-1][:200]}" if said else ""
        raise Unanswered(f"the command ended with {done.returncode}{last}")


def loaded(path: Path) -> Mapping[str, Array]:
    try:
        return open_dump(path)
    except CheckpointError as error:
        raise Unanswered(str(error)) from error
