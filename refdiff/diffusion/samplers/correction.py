"""What may be done to a predicted x0 before it is used. x0 [N,C,H,W] -> [N,C,H,W]."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refdiff.diffusion.types import Array

Correction = Callable[[Array], Array]


def keep(x0: Array) -> Array:
    """Nothing: latents know no bounds."""
    return x0


@dataclass(frozen=True)
class Clip:
    """Clamp to [-limit, limit], where pixels lie (DDPM, 2006.11239, section 3.3)."""

    limit: float = 1.0

    def __call__(self, x0: Array) -> Array:
        return np.clip(x0, -self.limit, self.limit)


@dataclass(frozen=True)
class DynamicThreshold:
    """Clamp each sample to its own quantile s of |x0| and divide by s (Imagen, 2205.11487, 2.3).

    s is at least 1, where this is Clip(1), and at most limit, which wins where limit < 1.
    """

    ratio: float = 0.995
    limit: float = 1.0

    def __call__(self, x0: Array) -> Array:
        s = _quantile(np.abs(x0).reshape(len(x0), -1), self.ratio)
        s = s.reshape(-1, *(1,) * (x0.ndim - 1))
        s = np.minimum(np.maximum(s, 1.0), self.limit)
        return np.clip(x0, -s, s) / s


def _quantile(rows: Array, ratio: float) -> Array:
    """Of each row, linear between its numbers in their own precision, as PyTorch: [N,M] -> [N]"""
    kind, ordered = rows.dtype.type, np.sort(rows, axis=1)
    rank = kind(ratio) * kind(rows.shape[1] - 1)
    low = int(rank)
    w, high = rank - kind(low), min(low + 1, rows.shape[1] - 1)
    a, b = ordered[:, low], ordered[:, high]
    return a + w * (b - a) if w < 0.5 else b - (b - a) * (1 - w)
