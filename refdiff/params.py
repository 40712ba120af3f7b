"""Weights are a flat mapping of dotted names, seen through a path.

p / "norm1" goes down     p["weight"] reads     "conv_shortcut" in p asks
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np

from refdiff import kernels
from refdiff.memory import is_small
from refdiff.op import Array
from refdiff.trace import Passenger

P = ParamSpec("P")
R = TypeVar("R")
LARGE = 1 << 18  # numbers from which compiled code pays


class Weights:
    """Named tensors, read from `source` when first used, widened once to the dtype asked for.

    keeps: whether the widened tensors stay; else each is widened whenever it is read.
    """

    def __init__(self, source: Mapping[str, Array], keeps: bool = True) -> None:
        self.source = source
        self.keeps = keeps
        self._widened: dict[tuple[str, str], Array] = {}
        self._paths = {
            ".".join(parts[: i + 1])
            for parts in (name.split(".") for name in source)
            for i in range(len(parts))
        }

    def read(self, name: str, dtype: np.dtype[Any]) -> Array:
        """The tensor `name` in `dtype`: the file's own memory where that is its dtype already."""
        key = (name, dtype.str)
        if is_small():
            self.release()
        if not self.keeps:
            return widened(self.source[name], dtype)
        if is_small():
            return self.source[name].astype(dtype, copy=False)
        if key not in self._widened:  # once, which is not worth compiling for
            self._widened[key] = self.source[name].astype(dtype, copy=False)
        return self._widened[key]

    def release(self) -> None:
        """Give back what files in memory are mapped, if they will be read again anyway."""
        if (not self.keeps or is_small()) and hasattr(self.source, "release"):
            self.source.release()

    @cached_property
    def passing(self) -> "Weights":
        """The same tensors, none of which is kept widened."""
        return Weights(self.source, keeps=False) if self.keeps else self

    def __contains__(self, path: str) -> bool:
        """Whether a tensor has this name, or one lies below this path."""
        return path in self._paths


def widened(x: Array, dtype: np.dtype[Any]) -> Array:
    """x in `dtype`: itself where that is its own, and large tensors of float16 by a kernel."""
    if x.dtype == np.float16 and dtype.name in ("float32", "float64") and x.size >= LARGE:
        return kernels.widen.widen(x, dtype)
    return x.astype(dtype, copy=False)


@dataclass(frozen=True)
class Params:
    """A place in the weights, the dtype they are wanted in, and the recorder that rides along."""

    weights: Weights
    dtype: np.dtype[Any]
    path: str = ""
    trace: Passenger | None = None

    def _name(self, name: str | int) -> str:
        return f"{self.path}.{name}" if self.path else str(name)

    def __truediv__(self, name: str | int) -> "Params":
        return replace(self, path=self._name(name))

    def __getitem__(self, name: str) -> Array:
        return self.weights.read(self._name(name), self.dtype)

    def get(self, name: str) -> Array | None:
        """The tensor, or None where the layer has none (a linear layer without bias)."""
        return self[name] if name in self else None  # noqa: SIM401

    def __contains__(self, name: str) -> bool:
        return self._name(name) in self.weights

    def tap(self, name: str, value: Array) -> Array:
        """Record a value that no module computes, below this path; hand it on."""
        return value if self.trace is None else self.trace.record(self._name(name), value)


def layer(
    f: Callable[Concatenate[Params, P], R],
) -> Callable[Concatenate[Params, P], R]:
    """A function of (p, inputs) whose result is recorded under p's path; of a tuple, the first."""

    @wraps(f)
    def recorded(p: Params, *args: P.args, **kwargs: P.kwargs) -> R:
        if p.trace is None:
            return f(p, *args, **kwargs)
        return p.trace.layer(p.path, partial(f, p, *args, **kwargs))

    return cast(Callable[Concatenate[Params, P], R], recorded)
