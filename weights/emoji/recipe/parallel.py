"""Training with several processes of one thread each, which average their gradients.

Threads that wait for one another at every layer waste most of a machine that is busy with other
work (a fifteenth of the speed was seen); processes meet only once a step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import Parameter


class Team:
    """The processes of one training; a team of one needs no communication."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def average(self, parameters: list[Parameter], fraction: float) -> float:
        """Replace all gradients, and the used share of the time, by their means over the team."""
        if self.size == 1:
            return fraction
        gradients = [p.grad for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([fraction])])
        dist.all_reduce(flat)
        flat /= self.size
        *parts, last = flat.split([*(g.numel() for g in gradients), 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(last)


def _member(rank: int, size: int, store: str, work: Callable[..., None], args: tuple[Any]) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    work(Team(rank, size), *args)
    dist.destroy_process_group()


def together(size: int, work: Callable[..., None], *args: object) -> None:
    """Run work(team, *args) in `size` processes."""
    if size == 1:
        return work(Team(), *args)
    with tempfile.TemporaryDirectory() as folder:
        members = (size, f"{folder}/store", work, args)
        torch.multiprocessing.spawn(_member, members, nprocs=size)
