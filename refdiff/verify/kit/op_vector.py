"""The vector of one call of an op: at("gelu", "tails", {"x": ...}, "large-values")."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refdiff.op import REGISTRY, Array
from refdiff.ops.activations import sigma
from refdiff.params import Params
from refdiff.verify.kit.vector import Named, Run, Vector, stored

WEIGHTS = {"w", "b", "gamma", "beta", "table"}
ERF = np.vectorize(math.erf, otypes=[float])


def at(op: str, which: str, arguments: Mapping[str, Any], *flags: str, **options: Any) -> Vector:
    """The vector of a call op(*arguments, **options), which may hold numbers beside arrays."""
    names = list(arguments)
    arrays = {k: a for k, a in arguments.items() if isinstance(a, np.ndarray)}

    def calling(f: Callable[..., Array]) -> Run:
        def run(p: Params, inputs: Named) -> Named:
            tensors = {n: inputs[n] if n in inputs else p[n] for n in arrays}
            return {"y": f(*(tensors.get(n, arguments[n]) for n in names), **options)}

        return run

    return Vector(
        id=f"ops/{op}/{which}",
        of=op,
        run=calling(REGISTRY[op]),
        inputs={k: a for k, a in arrays.items() if k not in WEIGHTS},
        weights={k: a for k, a in arrays.items() if k in WEIGHTS},
        attributes={**{k: a for k, a in arguments.items() if k not in arrays}, **options},
        flags=flags,
        layouts=documented(op, arrays),
        alternatives=tuple(calling(f) for f in STEPWISE if f.__name__ == op),
    )


def documented(op: str, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Layouts as the op's own docstring tells them: "x [N,C,*] -> [N,D]"."""
    line = inspect.getdoc(REGISTRY[op].definition) or ""
    told = dict(re.findall(r"(\w+) \[([^\]]*)\]", line))
    result = re.search(r"-> \[([^\]]*)\]", line)
    roles = {f"{'w' if k in WEIGHTS else 'in'}.{k}": told.get(k, "*") for k in arrays}
    return {**roles, "out.y": result[1] if result else "*"}


def gelu(x: Array) -> Array:
    """As the textbook has it: 1 + erf cancels where x is far below zero."""
    return stored(x / 2 * (1 + ERF(x / math.sqrt(2)).astype(x.dtype)))


def geglu(x: Array) -> Array:
    """With that gelu."""
    value, gate = np.split(x, 2, -1)
    return stored(value * gelu(gate))


def quick_gelu(x: Array) -> Array:
    """As three operations, each of which is rounded."""
    return stored(x * stored(sigma(stored(1.702 * x))))


STEPWISE = (gelu, geglu, quick_gelu)  # as honest as the definitions, and off by other roundings
