"""Where a trace's arrays go: into memory, or one by one into a file with a page beside it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from refdiff.atomic import atomic_write
from refdiff.errors import ConfigError
from refdiff.manifest import describe, layout, manifest
from refdiff.op import Array
from refdiff.selection import Selection, parse_steps
from refdiff.sketch import sketch, to_json
from refdiff.stream import Stream
from refdiff.trace import Trace


class Options(TypedDict, total=False):
    """What `trace` and `record` take beside whom to watch; see `taking`."""

    level: str
    include: str | Iterable[str]
    exclude: str | Iterable[str]
    steps: str | Iterable[int] | None
    to: str | os.PathLike[str] | None
    sketch: bool
    max_bytes: int | None
    about: Mapping[str, Any]


class FileTrace(Trace):
    """Arrays go to the file as they come, and what stays in memory is a few lines about each.

    As a mapping it reads them back; a trace of sketches (stream None) has none.
    """

    def __init__(self, stream: Stream | None, selection: Selection, limit: int | None) -> None:
        super().__init__(None, selection, limit)
        self._stream = stream
        self.tensors: dict[str, dict[str, Any]] = {}

    def keep(self, name: str, value: Array) -> None:
        """Write it, or its sketch, and describe it."""
        value = np.asarray(value, order="C")
        told = describe(name, value)
        if self._stream is None:
            axis = layout(name, value.ndim).find("C")
            told |= to_json(sketch(value, channel=axis))  # -1, the last, where there is no C
        else:
            self.spend(name, value.nbytes)
            self._stream.append(name, value)
        self.tensors[name] = told

    def __getitem__(self, name: str) -> Array:
        return ({} if self._stream is None else self._stream)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream or ())

    def __len__(self) -> int:
        return len(self._stream or ())


@contextmanager
def taking(
    level: str = "layer",
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    steps: str | Iterable[int] | None = None,
    to: str | os.PathLike[str] | None = None,
    sketch: bool = False,
    max_bytes: int | None = None,
    about: Mapping[str, Any] | None = None,
) -> Iterator[Trace]:
    """A trace to be filled inside; a file is whole when the block ends well, else there is none.

    level: io, block, layer or op; include, exclude: globs of names; steps: "0:3", "0,5" or numbers;
    to: a .safetensors file, with a .json page of the same name beside it; sketch: only the page,
    with a sketch of each tensor; max_bytes: of all arrays; about: more to be said on the page.
    Raises ConfigError for options that make no sense, where the limit is passed, and where nothing
    was written because no name was wanted.
    """
    wanted = None if steps is None else parse_steps(steps) if isinstance(steps, str) else {*steps}
    selection = Selection(level, _several(include), _several(exclude), wanted)
    if to is None:
        if sketch:
            raise ConfigError("sketches go to a file: name it by to, as in to='sketch.json'")
        yield Trace(None, selection, max_bytes)
        return
    place = check_target(to, sketch)
    with ExitStack() as files:
        page = files.enter_context(atomic_write(place.with_suffix(".json")))
        file = None if sketch else files.enter_context(atomic_write(place))
        stream = Stream(file, str(place)) if file else None
        taken = FileTrace(stream, selection, max_bytes)
        yield taken
        if not taken.tensors:
            raise ConfigError(
                f"nothing to write into {place}: no name that was recorded is wanted; leave out "
                "globs and steps, and see which names there are"
            )
        if stream is not None:
            stream.finish({**taken.notes, "order": json.dumps(list(taken.tensors))})
        page.write(manifest(taken.tensors, taken.notes, about or {}))
        page.flush()  # a full disk is noticed before any file takes its name


def check_target(to: str | os.PathLike[str], sketch: bool = False) -> Path:
    """The path of a trace's file. Raises ConfigError for a name that ends in something else."""
    place, suffix = Path(to), ".json" if sketch else ".safetensors"
    if place.suffix != suffix:
        what = "sketches go" if sketch else "a trace goes"
        raise ConfigError(f"{place} cannot be written: {what} to a {suffix} file; name one")
    return place


def _several(globs: str | Iterable[str]) -> tuple[str, ...]:
    return (globs,) if isinstance(globs, str) else tuple(globs)
