"""Exponential moving average of weights: what is shipped is the average, not the last step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter


class Average:
    """Follows `parameters`; the first updates count more, so that the start is soon forgotten."""

    def __init__(self, parameters: Iterable[Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.values: list[Tensor] = [p.detach().clone() for p in self.parameters]
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        pull = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], pull)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model carries the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)
