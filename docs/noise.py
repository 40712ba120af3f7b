"""Print the table of docs/noise.md: python docs/noise.py."""

import numpy as np

from refdiff import noise
from refdiff.noise import Source

SHAPE = (1, 4, 64, 64)  # Stable Diffusion's latents of a picture of 512 x 512
NAMES = [
    *("torch-cpu", "torch-cpu-2.11", "torch-cuda:t4", "a1111", "jax", "jax-original"),
    *("numpy", "numpy-generator", "libstdc++"),
]


def table() -> str:
    """The first three numbers from seed 0 in every dtype that the stream has."""
    dtypes = Source.dtypes
    lines = [f"| stream | {' | '.join(dtypes)} |", "|---" * (len(dtypes) + 1) + "|"]
    for name in NAMES:
        cells = [first(name, dtype) for dtype in dtypes]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def first(name: str, dtype: str) -> str:
    stream = noise.from_name(name, 0)
    if dtype not in stream.dtypes:
        return "-"
    numbers = stream.normal(SHAPE, dtype).ravel()[:3].astype(np.float64)
    return " ".join(f"{number:.4f}" for number in numbers)


if __name__ == "__main__":
    print(table(), end="")
