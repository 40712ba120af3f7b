"""A vector: named inputs and weights, and a function of refdiff's that says what comes out.

Everything that a vector says of its answer follows from running that function in several ways.
Inputs and weights are numbers of float16 and of bfloat16 alike, so that an implementation in any
precision starts from the same ones.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refdiff import noise
from refdiff.nn.shapes import Shape
from refdiff.op import Array, Op, around, current_engine, round_to
from refdiff.params import Params, Weights
from refdiff.verify.diagnose import REFUSALS
from refdiff.verify.mistakes import CATALOGUE, FAMILIES, Mistake, made
from refdiff.verify.walks import EXACT, Walk

Named = Mapping[str, Any]
Run = Callable[[Params, Named], Named]

TYPICAL = {  # of what is done wrong, where any number can be
    "silu/steepness": 1.702,
    "attention/scale": 0.5,
    "group_norm/eps": 1e-4,
    "layer_norm/eps": 1e-4,
    "timestep_embedding/max-period": 1000.0,
}
LETTERS = {0: "", 1: "N", 2: "ND", 3: "NLD", 4: "NCHW"}
WEIGHT_LETTERS = {1: "O", 2: "OI", 4: "OIkl"}


class Wrong(NamedTuple):
    """What comes out where a known mistake is made."""

    id: str
    title: str
    outputs: Callable[[], Named]


@dataclass(frozen=True, eq=False)
class Vector:
    """One question of the kit.

    id: "group/what/which"; of: what is tested; attributes: all that is no tensor, as JSON has it.
    run: (weights, inputs by name) -> outputs by name, in whatever way of computing is on.
    flags: the properties that this vector tells apart. layouts: a letter an axis.
    wrong: the known mistakes; alternatives: runs that are as right, where only rounding differs.
    bounded: whether the rules of `bound_rules` follow all that is computed.
    """

    id: str
    of: str
    run: Run
    inputs: Mapping[str, Array]
    weights: Mapping[str, Array]
    attributes: Mapping[str, Any]
    flags: tuple[str, ...]
    layouts: Mapping[str, str]
    wrong: "Callable[[Vector], Iterator[Wrong]] | None" = None
    alternatives: tuple[Run, ...] = ()
    bounded: bool = True


Vectors = Iterator[Vector]


def computed(vector: Vector, walk: Walk = EXACT, *mistakes: Mistake, run: Run | None = None) -> Any:
    """The outputs by name, computed that way, with these mistakes made."""
    p = Params(Weights(vector.weights), walk.dtype)
    inputs = {name: walk.of(x) for name, x in vector.inputs.items()}
    with np.errstate(all="ignore"), walk.within(), made(*mistakes):
        return dict((run or vector.run)(p, inputs))


def wrong_ops(vector: Vector) -> Iterator[Wrong]:
    """Every catalogued mistake of an op that the vector calls, made wherever it is called."""
    called: set[str] = set()

    def listening(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        called.add(op.name)
        return compute(*args, **options)

    with around(listening):
        computed(vector)
    for mistake in known_mistakes():
        if mistake.op in called:
            yield Wrong(mistake.id, mistake.title, partial(computed, vector, EXACT, mistake))


def nothing(vector: Vector) -> Iterator[Wrong]:
    """Of a vector that is asked for no mistakes."""
    return iter(())


def known_mistakes() -> Iterator[Mistake]:
    """The catalogue, and of each family the mistake at a typical number: its id says which."""
    yield from CATALOGUE.values()
    for id, family in FAMILIES.items():
        at = family.at(TYPICAL[id])
        yield Mistake(f"{id}={at.value:g}", at.title, at.change, at.value)


def negatives(vector: Vector, exact: Named) -> Iterator[tuple[Wrong, dict[str, Array]]]:
    """The mistakes that can be made here, with what comes out where it has the right shape.

    Outputs that are not finite are left out: a NaN is no neighbour of anything.
    """
    for wrong in (vector.wrong or wrong_ops)(vector):
        with suppress(*REFUSALS):
            outputs = wrong.outputs()
            yield (
                wrong,
                {
                    name: np.asarray(y, np.float64)
                    for name, y in outputs.items()
                    if name in exact and np.shape(y) == exact[name].shape and np.isfinite(y).all()
                },
            )


class Draw:
    """Numbers for a vector: the same ones for the same id, on every machine (NEP 19)."""

    def __init__(self, id: str) -> None:
        digest = hashlib.sha256(id.encode()).digest()
        self._stream = noise.numpy(int.from_bytes(digest[:4], "little"))

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Array:
        """Normally distributed: -> [*shape]"""
        return numbers(mean + scale * self._stream.normal(shape, np.float64))

    def weights(self, shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """Weights that keep activations of size 1, scales near 1, shifts and biases that show."""
        drawn = {}
        for name, shape in shapes.items():
            if len(shape) > 1:
                drawn[name] = self.normal(*shape, scale=float(np.prod(shape[1:])) ** -0.5)
            else:
                drawn[name] = self.normal(*shape, scale=0.3, mean=float(name.endswith("weight")))
        return drawn


def numbers(x: Array) -> Array:
    """The nearest numbers that both float16 and bfloat16 have, as float32. x [*] -> [*]"""
    return round_to(round_to(np.asarray(x, np.float64), "bfloat16"), "float16").astype(np.float32)


def stored(x: Array) -> Array:
    """x as it is kept outside of ops: rounded as their results are. x [*] -> [*]"""
    rounding = current_engine().rounding
    return x if rounding is None else round_to(x, rounding)


def letters(inputs: Mapping[str, Array], weights: Mapping[str, Array]) -> dict[str, str]:
    """Layouts by the number of axes, where nothing else is known."""
    told = {f"in.{name}": LETTERS.get(x.ndim, "") for name, x in inputs.items()}
    return told | {f"w.{name}": WEIGHT_LETTERS.get(x.ndim, "") for name, x in weights.items()}
