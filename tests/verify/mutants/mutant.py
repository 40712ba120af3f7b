"""A mutant: which model, what is planted where, and which of refdiff's mistakes it is."""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from torch import nn

Rng = np.random.Generator
Forward = Callable[..., Any]


class Mutant(NamedTuple):
    """A planted mistake.

    plant: changes a model and says the path of the layer that is now wrong. ids: what a diagnosis
    may call it; the first is the best name.
    """

    name: str
    model: str  # unet, decoder, encoder or text
    plant: Callable[[nn.Module, Rng], str]
    ids: tuple[str, ...]


def some(
    model: nn.Module, rng: Rng, kind: str, fits: Callable[[str, Any], bool] = lambda n, m: True
) -> tuple[str, Any]:
    """The path of one of the model's modules of a class, and the module."""
    found = [(n, m) for n, m in model.named_modules() if type(m).__name__ == kind and fits(n, m)]
    return found[rng.integers(len(found))]


def instead(
    kind: str,
    make: Callable[[Any], Forward],
    fits: Callable[[str, Any], bool] = lambda n, m: True,
) -> Callable[[nn.Module, Rng], str]:
    """Plant another forward, made of the module, in one module of a class."""

    def plant(model: nn.Module, rng: Rng) -> str:
        name, module = some(model, rng, kind, fits)
        module.forward = make(module)
        return name

    return plant


def setting(
    kind: str, fits: Callable[[str, Any], bool] = lambda n, m: True, **attributes: Any
) -> Callable[[nn.Module, Rng], str]:
    """Plant other attributes in one module of a class."""

    def plant(model: nn.Module, rng: Rng) -> str:
        name, module = some(model, rng, kind, fits)
        for key, value in attributes.items():
            setattr(module, key, value)
        return name

    return plant


def patched(module: nn.Module, target: str, wrong: Callable[..., Any]) -> Forward:
    """The module's own forward, during which a function of torch is another one."""
    right = module.forward

    def forward(*args: Any, **options: Any) -> Any:
        with mock.patch(target, wrong):
            return right(*args, **options)

    return forward
