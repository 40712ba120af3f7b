"""The candidate's own weights: whether they are the checkpoint's, and the model that has them.

Weights that are rounded or quantised are no mistake of the computation. Where a candidate says
its own, the model is run with them, so that what is left is what it computes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refdiff.errors import ConfigError
from refdiff.op import Array
from refdiff.pipeline import Pipeline
from refdiff.verify.formats import FORMATS
from refdiff.verify.matching import Pair, match
from refdiff.verify.metrics import measure
from refdiff.verify.precision import effective

Named = Mapping[str, Array]
PARTS = ("unet", "vae", "text_encoder")
QUANTISED = 0.1  # relative error up to which weights are the same ones, quantised


def with_weights(model: Any, weights: Named) -> tuple[Any, list[str], list[str]]:
    """The model with the candidate's weights, what is wrong with these, and what is noteworthy.

    Raises ConfigError where none of the names is a weight of the model.
    """
    own = dict(own_weights(model))
    matching = match(own, weights)
    if not matching.pairs:
        raise ConfigError(
            f"none of {len(weights)} tensors is a weight of the model, expected names such as "
            f"{next(iter(own))}: give the candidate's weights, or a --map"
        )
    wrong = [f"{name}: missing" for name in matching.missing]
    wrong += [f"{name}: may be {', '.join(c[:3])}" for name, c in matching.ambiguous.items()]
    wrong += [
        f"{name}: is {list(found)}, expected {list(expected)}"
        for name, (expected, found) in matching.misshapen.items()
    ]
    theirs, rounded = {}, 0
    for pair in matching.pairs:
        theirs[pair.reference] = pair.arrange(weights[pair.candidate])
        off = measure(own[pair.reference].astype(np.float64), theirs[pair.reference]).relative
        rounded += 0 < off <= QUANTISED
        if off > QUANTISED:
            wrong.append(f"{pair.reference}: off by {off:.2g} of its size{_layout(pair)}")
    notes = []
    if rounded:
        formats = sorted({str(effective(x)) for x in theirs.values()} & set(FORMATS))
        notes.append(
            f"{rounded} of {len(own)} weights are not the checkpoint's own but near it (stored as "
            f"{', '.join(formats) or 'integers'}): the model is run with them"
        )
    return exchanged(model, {**own, **theirs}), wrong, notes


def own_weights(model: Any) -> Iterator[tuple[str, Array]]:
    """Every weight by its name; of a pipeline behind the component's."""
    if not isinstance(model, Pipeline):
        yield from model.weights.source.items()
        return
    for part in PARTS:
        for name, weight in getattr(model, part).weights.source.items():
            yield f"{part}.{name}", weight


def exchanged(model: Any, weights: Named) -> Any:
    """The model over other weights."""
    if not isinstance(model, Pipeline):
        return type(model)(model.config, weights)
    parts = {}
    for part in PARTS:
        own = {
            n.removeprefix(f"{part}."): w for n, w in weights.items() if n.startswith(f"{part}.")
        }
        component = getattr(model, part)
        parts[part] = type(component)(component.config, own)
    return replace(model, **parts)


def _layout(pair: Pair) -> str:
    return "" if pair.layout.plain else f", laid out as {pair.layout}"
