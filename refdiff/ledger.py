"""What ops a run took: how often, which way, how much work, how long.

Work is counted as textbooks do: two operations for each product of a sum, whatever way is taken;
bytes are those of the arrays that come in and go out, each once (Williams et al. 2009, Roofline).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from refdiff.op import Array, Op, around
from refdiff.ops.fused import UNWATCHED
from refdiff.tables import table

PRODUCTS = ("conv2d", "linear", "attention")


@dataclass
class Entry:
    """All calls of one op for arrays of the same shapes."""

    calls: int = 0
    operations: int = 0
    bytes: int = 0
    seconds: float = 0.0


Key = tuple[str, str, str]  # op, shapes, way
Ledger = dict[Key, Entry]


@contextmanager
def ledger() -> Iterator[Ledger]:
    """What is computed inside, op by op; ops within ops are not counted again."""
    found: Ledger = {}
    within = False

    def enter(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        nonlocal within
        if within:
            return compute(*args, **options)
        key = op.name, shapes(op, *args, **options), op.explain(*args, **options)
        within, start = True, time.perf_counter()
        try:
            y = compute(*args, **options)
        finally:
            within = False
        entry = found.setdefault(key, Entry())
        entry.seconds += time.perf_counter() - start
        entry.calls += 1
        entry.operations += operations(op, y, *args)
        entry.bytes += y.nbytes + sum(a.nbytes for a in args if isinstance(a, np.ndarray))
        return y

    with around(enter):
        yield found


def shapes(op: Op[Any], *args: Any, **options: Any) -> str:
    """The arrays and what else matters, short enough for a table."""
    sizes = ["x".join(map(str, a.shape)) for a in args if isinstance(a, np.ndarray) and a.ndim > 1]
    stride = options.get("stride", 1)
    return " ".join(sizes or ["-"]) + (f" /{stride}" if stride != 1 else "")


def operations(op: Op[Any], y: Array, *args: Any) -> int:
    """Floating-point operations of the definition; of what only moves or maps numbers, one each."""
    match op.name:
        case "conv2d":
            return 2 * y.size * args[1][0].size
        case "linear":
            return 2 * y.size * int(args[1].shape[1])
        case "attention":
            q, k, v = args[:3]
            return 2 * q.size * int(k.shape[-2]) + 2 * y.size * int(v.shape[-2])
        case _:
            return int(y.size)


def explained(found: Ledger) -> Iterator[str]:
    """Which way the engine went for each op and shapes, without a word about time."""
    lines = [(*key, str(entry.calls)) for key, entry in sorted(found.items())]
    if lines:
        yield from table([("op", "arrays", "how", "calls"), *lines], left={0, 1, 2})
    if any(how != "definition" for _, _, how in found):
        yield UNWATCHED
