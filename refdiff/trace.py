"""A record of named arrays in the order in which they were computed; saved, loaded, and taken.

The name of a layer's result is diffusers' dotted module path; values without a module have a tap
name below their block. The recorder is a passenger of `Params`: nothing here is global.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any, TypeVar, cast

from refdiff import safetensors
from refdiff.errors import CheckpointError, ConfigError
from refdiff.op import Array, Op

R = TypeVar("R")


class Passenger(ABC):
    """What rides along in `Params` and is shown every layer's result, under its full name.

    A name that comes again is counted: `name@2`. notes: what is worth knowing about the run.
    """

    def __init__(self, notes: Mapping[str, str] | None = None) -> None:
        self.notes = dict(notes or {})
        self._seen: dict[str, int] = {}
        self._scope: tuple[str, ...] = ()

    def layer(self, path: str, call: Callable[[], R]) -> R:
        """A layer's result, which `call` computes; of a tuple the first is the one shown."""
        y = call()
        if isinstance(y, tuple):
            return cast(R, (self.record(path, y[0]), *y[1:]))
        return cast(R, self.record(path, cast(Array, y)))

    def record(self, name: str, value: Array) -> Array:
        """Show a value; the model goes on with what this returns."""
        return self.seen(self.counted(name), value)

    @abstractmethod
    def seen(self, name: str, value: Array) -> Array:
        """What a passenger does with a value, and what the model goes on with."""

    def counted(self, name: str) -> str:
        """The full name of what is called `name` within the scopes here, counted."""
        counted, full = self.next_name(name), self._full(name)
        self._seen[full] = self._seen.get(full, 0) + 1
        return counted

    def next_name(self, name: str) -> str:
        """What `counted` is going to say."""
        full = self._full(name)
        count = self._seen.get(full, 0) + 1
        return full if count == 1 else f"{full}@{count}"

    def _full(self, name: str) -> str:
        return ".".join(filter(None, (*self._scope, name))).replace(".@", "@")

    @contextmanager
    def within(self, scope: str) -> Iterator[None]:
        """Put `scope` before the names recorded inside: "unet", "steps.3"."""
        outer = self._scope
        self._scope = (*outer, scope)
        try:
            yield
        finally:
            self._scope = outer


class Trace(Passenger, Mapping[str, Array]):
    """Name -> array, in order of computation.

    wanted: says of a name whether to keep its array; limit: of all arrays' bytes. Raises
    ConfigError for the array that goes beyond it.
    """

    def __init__(
        self,
        notes: Mapping[str, str] | None = None,
        wanted: Callable[[str], bool] = lambda name: True,
        limit: int | None = None,
    ) -> None:
        super().__init__(notes)
        self._arrays: dict[str, Array] = {}
        self.wanted = wanted
        self._limit, self._bytes, self._layer = limit, 0, ""

    def layer(self, path: str, call: Callable[[], R]) -> R:
        """As every passenger; the ops that `call` calls are this layer's."""
        outer, self._layer = self._layer, path
        try:
            return super().layer(path, call)
        finally:
            self._layer = outer

    def op(self, op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        """Stand around every op (`refdiff.op.around`), recording its result as `layer@op`."""
        layer = self._layer
        return self.record(f"{layer}@{op.name}", compute(*args, **options))

    def seen(self, name: str, value: Array) -> Array:
        """Keep it where it is wanted."""
        if self.wanted(name):
            self.keep(name, value)
        return value

    def keep(self, name: str, value: Array) -> None:
        """Put a wanted value where the trace has its values."""
        self.spend(name, value.nbytes)
        self._arrays[name] = value

    def spend(self, name: str, nbytes: int) -> None:
        """Raises ConfigError where the limit has no room for so many bytes more."""
        self._bytes += nbytes
        if self._limit is not None and self._bytes > self._limit:
            raise ConfigError(
                f"{name} takes {nbytes} bytes, which makes {self._bytes} with all before it, and "
                f"the limit is {self._limit}: allow more, or want less by level, globs or steps"
            )

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file; the order of computation and the notes are in its metadata."""
        metadata = {**self.notes, "order": json.dumps(list(self))}
        safetensors.write(path, self, metadata)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Trace":
        """Read what `save` wrote. Raises CheckpointError if the file is no trace."""
        file = safetensors.read(path)
        notes = dict(file.metadata)
        try:
            order = json.loads(notes.pop("order"))
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: no order of computation in the metadata") from error
        if not isinstance(order, list) or sorted(map(str, order)) != sorted(file):
            raise CheckpointError(f"{path}: the order of computation does not name the tensors")
        trace = cls(notes)
        trace._arrays = {name: file[name] for name in order}
        return trace
