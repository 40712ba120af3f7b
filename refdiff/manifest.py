"""The page beside a trace: what was run, and of each tensor what can be said without its data."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from refdiff.op import Array
from refdiff.sketch import moments
from refdiff.version import __version__

SCHEMA = 1
LAYOUTS = {0: "", 1: "N", 2: "ND", 3: "NLD", 4: "NCHW"}


def manifest(
    tensors: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str], about: Mapping[str, Any]
) -> bytes:
    """The page as JSON; `order` says in which order the tensors were computed."""
    head = {"schema": SCHEMA, "refdiff": __version__, **notes, **about, "order": list(tensors)}
    if "settings" in notes:
        # JSON has no infinity, which a sampler's option may be; here it is a word
        head["settings"] = json.loads(notes["settings"], parse_constant=str)
    return page(head, tensors)


def page(head: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Any]]) -> bytes:
    """JSON to be read by people, too: a line a key of the head, a line a tensor."""
    keys = ",\n".join(f" {_dump(key)}: {_dump(value)}" for key, value in head.items())
    lines = ",\n".join(f"  {_dump(name)}: {_dump(told)}" for name, told in tensors.items())
    return f'{{\n{keys},\n "tensors": {{\n{lines}\n }}\n}}\n'.encode()


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def describe(name: str, x: Array) -> dict[str, Any]:
    """Shape, layout, type, sha256 of the bytes as the trace has them, and four numbers.

    min, max, mean and std are null where one of the elements is not finite, or there is none.
    """
    flat = np.asarray(x, order="C").reshape(-1)
    numbers = (*extremes(flat), *moments(flat))
    finite = all(map(math.isfinite, numbers))
    named = zip(("min", "max", "mean", "std"), numbers, strict=True)
    return {
        "shape": list(x.shape),
        "layout": layout(name, x.ndim),
        "dtype": x.dtype.name,
        "sha256": hashlib.sha256(as_stored(flat)).hexdigest(),
        **{key: number if finite else None for key, number in named},
    }


def layout(name: str, ndim: int) -> str:
    """A letter an axis: N C H W L D, h heads, S keys, R rows of the plan; "" if it is unknown."""
    path, *marks = name.split("@")
    op = next((mark for mark in marks if not mark.isdecimal()), None)
    if path.startswith("plan."):
        return "R"
    if path == "tokens" or path == "inputs.input_ids":
        return "NL"
    if op in ("softmax", "attention"):
        return {"softmax": "NhLS", "attention": "NhLD"}[op] if ndim == 4 else ""
    if path.endswith(".group_norm") and ndim == 3:
        return "NCL"
    return LAYOUTS.get(ndim, "")


def extremes(flat: Array) -> tuple[float, float]:
    """Least and largest; nan where there is a nan, or nothing."""
    return (float(flat.min()), float(flat.max())) if flat.size else (math.nan, math.nan)


def as_stored(flat: Array) -> memoryview:
    """The bytes of a contiguous array, little-endian."""
    return flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8).data
