"""A record of named arrays in the order in which they were computed; saved, loaded, and taken.

The name of a layer's result is diffusers' dotted module path; values without a module have a tap
name below their block. The recorder is a passenger of `Params`: nothing here is global.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from refdiff import safetensors
from refdiff.errors import CheckpointError
from refdiff.op import Array

R = TypeVar("R")


class Passenger:
    """What rides along in `Params` and is shown every layer's result, under its full name.

    A name that comes again is counted: `name@2`.
    """

    def __init__(self) -> None:
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

    def seen(self, name: str, value: Array) -> Array:
        """What a passenger does with a value."""
        raise NotImplementedError

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
        return ".".join(filter(None, (*self._scope, name)))

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
    """Name -> array, in order of computation."""

    def __init__(self, notes: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._arrays: dict[str, Array] = {}
        self.notes = dict(notes or {})

    def seen(self, name: str, value: Array) -> Array:
        """Keep it."""
        self._arrays[name] = value
        return value

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file; the order of computation and the notes are in its metadata."""
        metadata = {**self.notes, "order": json.dumps(list(self))}
        safetensors.write(path, self._arrays, metadata)

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


class Traceable(Protocol):
    """Whatever can hand its values to a recorder while a `with` lasts."""

    def recording(self, trace: Passenger) -> AbstractContextManager[None]: ...


@contextmanager
def trace(target: Traceable) -> Iterator[Trace]:
    """Record every named value that `target` (a pipeline or a component) computes inside."""
    taken = Trace()
    with target.recording(taken):
        yield taken


@contextmanager
def record(module: Any) -> Iterator[Trace]:
    """The same record of somebody else's module, which has `named_modules` and forward hooks.

    Duck-typed on PyTorch's torch.nn.Module; nothing of PyTorch is imported.
    """
    taken = Trace()

    def hook(name: str) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            if tensor is not None:
                taken.record(name, _to_numpy(tensor))

        return keep

    handles = [m.register_forward_hook(hook(name)) for name, m in module.named_modules()]
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()


def _first_tensor(output: Any) -> Any:
    """The tensor of a module's result: itself, or the first of a tuple or of an output record."""
    if hasattr(output, "detach"):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list) and output:
        return _first_tensor(output[0])
    return None


def _to_numpy(tensor: Any) -> Array:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16; float32 holds every one of its values.
    tensor = tensor.float() if "bfloat16" in str(tensor.dtype) else tensor
    return np.array(tensor.numpy())
