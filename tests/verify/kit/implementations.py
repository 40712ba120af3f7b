"""Implementations to be judged: PyTorch's ops, and refdiff's own in other precisions, with bugs."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from refdiff.op import Array
from refdiff.verify.diagnose import REFUSALS
from refdiff.verify.kit.answers import Answers, Unanswered
from refdiff.verify.kit.catalogue import vectors
from refdiff.verify.kit.read import Entry
from refdiff.verify.kit.vector import Vector, computed
from refdiff.verify.mistakes import Mistake
from refdiff.verify.walks import HONEST, Walk
from tests.ops.cases import ORACLE

ARGUMENTS = {  # the order in which an op takes its tensors, where it is no other than the file's
    "conv2d": ("in.x", "w.w", "w.b"),
    "linear": ("in.x", "w.w", "w.b"),
    "group_norm": ("in.x", "w.gamma", "w.beta"),
    "layer_norm": ("in.x", "w.gamma", "w.beta"),
    "embedding": ("in.ids", "w.table"),
    "attention": ("in.q", "in.k", "in.v", "in.mask"),
    "add": ("in.x", "in.y"),
    "concat": ("in.x", "in.y", "in.z"),
    "timestep_embedding": ("in.t",),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "timestep_embedding": {"flip_sin_to_cos": True, "freq_shift": 0.0, "max_period": 1e4},
    "conv2d": {"padding": 0},
}


def by_torch(dtype: Any = torch.float32, oracles: Mapping[str, Any] = ORACLE) -> Answers:
    """PyTorch's ops in that dtype; what is no op is not answered."""

    def answer(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        if not entry.id.startswith("ops/"):
            raise Unanswered("not an op")
        names = ARGUMENTS.get(entry.of, ("in.x",))
        given = [tensor(tensors[name], dtype) for name in names if name in tensors]
        if entry.of in ("conv2d", "linear", "attention") and len(given) < len(names):
            given.append(None)
        options = {**DEFAULTS.get(entry.of, {}), **entry.attributes}
        if entry.of == "concat":
            y = torch.cat(given, options["axis"])
        elif entry.of == "upsample_nearest":
            H, W = given[0].shape[2:]
            y = oracles[entry.of](given[0], size=tuple(options["size"] or (2 * H, 2 * W)))
        else:
            y = oracles[entry.of](*given, **options)
        return {"out.y": y.to(torch.float64 if dtype == torch.bfloat16 else y.dtype).numpy()}

    return answer


def tensor(x: Array, dtype: Any) -> Any:
    made = torch.tensor(np.array(x))
    return made.to(dtype) if made.is_floating_point() else made


@cache
def every() -> dict[str, Vector]:
    """All vectors by id."""
    return {vector.id: vector for vector in vectors()}


def by_refdiff(walk: Walk = HONEST["float32"][0], *mistakes: Mistake) -> Answers:
    """refdiff itself in some way of computing, with mistakes."""

    def answer(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        try:
            outputs = computed(every()[entry.id], walk, *mistakes)
        except REFUSALS as error:
            raise Unanswered(str(error)) from error
        return {f"out.{name}": np.asarray(y) for name, y in outputs.items()}

    return answer


def changed(answers: Answers, change: Callable[[dict[str, Array]], None]) -> Answers:
    """The same answers with something done to them."""

    def answer(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        copies = {name: np.array(y) for name, y in answers(entry, tensors).items()}
        change(copies)
        return copies

    return answer
