"""Whether weights are exactly those that a model reads: both ways, and every number finite."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from refdiff.checkpoints.weight_files import Source, WeightFiles, open_weights
from refdiff.errors import CheckpointError, ConfigError
from refdiff.files import read_json
from refdiff.strict_json import show

# The bits of the exponent in each type that weights may have: all set in NaN and infinities alone.
EXPONENT: Mapping[str, np.unsignedinteger[Any]] = {
    "F64": np.uint64(0x7FF0_0000_0000_0000),
    "F32": np.uint32(0x7F80_0000),
    "F16": np.uint16(0x7C00),
    "BF16": np.uint16(0x7F80),
}
CHUNK = 1 << 18  # elements looked at together, so that no large copy is made
NAMED = 3  # tensors named in a message before the rest is counted


def check(weights: WeightFiles, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse weights that are not those of `shapes`, name by name, or are not finite floats.

    Reads all of the weights once. `where` is the folder, for messages.
    Raises CheckpointError which names the first few tensors.
    """
    sources = weights.sources
    problems = {
        "missing": [name for name in shapes if name not in sources],
        "unknown to the model": [show(name) for name in sources if name not in shapes],
        "of another shape": [
            f"{name} (is {list(source.shape)}, expected {list(shapes[name])})"
            for name, source in sources.items()
            if name in shapes and source.shape != tuple(shapes[name])
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {_some(names)}" for what, names in problems.items() if names)
        raise CheckpointError(
            f"{where}: the weights are not those that config.json describes; {told}. "
            "Take both from the same checkpoint."
        )
    for name, source in sources.items():
        _check_finite(name, source)


def _check_finite(name: str, source: Source) -> None:
    file, stored, shape = source
    dtype = file.info(stored).dtype
    if dtype not in EXPONENT:
        raise CheckpointError(
            f"{file.path}: tensor {name} is of type {dtype}, and weights are one of "
            f"{', '.join(EXPONENT)}; quantised weights must be converted first."
        )
    mask = EXPONENT[dtype]
    bits = file.stored(stored).reshape(-1).view(mask.dtype)
    for start in range(0, bits.size, CHUNK):
        bad = (bits[start : start + CHUNK] & mask) == mask
        if bad.any():
            first = start + int(bad.argmax())
            place = [int(i) for i in np.unravel_index(first, shape)]
            value = file[stored].reshape(-1)[first]
            raise CheckpointError(
                f"{file.path}: tensor {name} holds {value} at {place}; the file is damaged, or "
                "its training or conversion overflowed: fetch another."
            )
    file.release()


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


C = TypeVar("C")


def load_checked(
    folder: str | os.PathLike[str],
    stem: str,
    read_config: Callable[[Mapping[str, object], str], C],
    param_shapes: Callable[[C], Mapping[str, tuple[int, ...]]],
    rename: Callable[[WeightFiles], WeightFiles] = lambda weights: weights,
) -> tuple[C, WeightFiles]:
    """Configuration and weights of a component's folder, checked against each other.

    Raises ConfigError or CheckpointError.
    """
    path = Path(folder) / "config.json"
    config = read_config(read_json(path, ConfigError), str(path))
    weights = rename(open_weights(folder, stem))
    check(weights, param_shapes(config), str(folder))
    return config, weights
