"""The catalogue: enough of it, each entry a mistake, none twice."""

import copy
from typing import Any

import numpy as np
import pytest

from refdiff import ops
from refdiff.op import REGISTRY
from refdiff.verify.diagnose import REFUSALS
from refdiff.verify.mistakes import CATALOGUE, FAMILIES, made
from refdiff.verify.mistakes.recipes import RECIPES
from tests.verify.mutants import MUTANTS

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


# arguments for which every mistake is one: square where transposing is to be possible
CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "group_norm": [((normal(2, 8, 5, 3), normal(8), normal(8)), {"groups": 2, "eps": 1e-4})],
    "layer_norm": [((normal(2, 5, 6), normal(6), normal(6)), {"eps": 1e-4})],
    "silu": [((normal(3, 4),), {})],
    "gelu": [((normal(3, 4),), {})],
    "quick_gelu": [((normal(3, 4),), {})],
    "geglu": [((normal(2, 3, 8),), {})],
    "attention": [
        (tuple(normal(2, 4, 5, 6) for _ in "qkv"), {}),
        ((*(normal(2, 4, 5, 6) for _ in "qkv"), np.triu(np.full((5, 5), -np.inf), 1)), {}),
    ],
    "conv2d": [
        ((normal(2, 4, 6, 7), normal(4, 4, 3, 3), normal(4)), {"padding": 1}),
        ((normal(2, 4, 6, 7), normal(4, 4, 3, 3)), {"stride": 2, "padding": (0, 1, 0, 1)}),
        ((normal(2, 4, 6, 7), normal(4, 4, 3, 3)), {"stride": 2, "padding": 1}),
        ((normal(2, 4, 6, 7), normal(4, 4, 1, 1)), {}),
    ],
    "linear": [
        ((normal(2, 3, 6), normal(6, 6), normal(6)), {}),
        ((normal(3, 6), normal(4, 6)), {}),
    ],
    "add": [((normal(2, 3, 4, 5), normal(2, 3, 4, 5)), {})],
    "concat": [((normal(2, 3, 4, 5), normal(2, 2, 4, 5)), {})],
    "upsample_nearest": [((normal(2, 3, 4, 5),), {})],
    "embedding": [((np.array([[1, 3, 2]]), normal(7, 4)), {})],
    "timestep_embedding": [((np.array([10.5, 900.25]), 8), {})],
}


def test_there_are_sixty_and_more() -> None:
    assert len(CATALOGUE) + len(RECIPES) >= 150
    titles = [(m.op, m.title) for m in CATALOGUE.values()]
    assert len(set(titles)) == len(titles)
    assert len({r.id for r in RECIPES}) == len(RECIPES)
    assert {m.op for m in (*CATALOGUE.values(), *FAMILIES.values())} <= REGISTRY.keys()


@pytest.mark.parametrize("id", CATALOGUE)
def test_a_mistake_changes_something(id: str) -> None:
    """And never the arguments themselves."""
    mistake, changed = CATALOGUE[id], False
    op = REGISTRY[mistake.op]
    for args, options in CASES[mistake.op]:
        before = copy.deepcopy(args)
        right = op(*args, **options)
        try:
            with made(mistake), np.errstate(all="ignore"):
                wrong = op(*args, **options)
        except REFUSALS:
            continue
        assert all(map(np.array_equal, before, args))
        changed |= np.shape(wrong) != np.shape(right) or not np.allclose(wrong, right, atol=1e-9)
    assert changed


@pytest.mark.parametrize("id", FAMILIES)
def test_a_family_has_a_number(id: str) -> None:
    family = FAMILIES[id]
    low, high = family.at(family.low), family.at(family.high)
    assert low.title != high.title and low.value == family.low
    args, options = CASES[family.op][0]
    results = []
    for mistake in (low, high):
        with made(mistake), np.errstate(all="ignore"):
            results.append(REGISTRY[family.op](*args, **options))
    assert not np.array_equal(*results)


def test_a_mistake_at_one_call_only() -> None:
    x = np.linspace(-2, 2, 9)
    with made(CATALOGUE["silu/relu"], only=1):
        results = [ops.silu(x) for _ in range(3)]
    assert np.array_equal(results[0], ops.silu(x)) and np.array_equal(results[2], ops.silu(x))
    assert np.array_equal(results[1], np.maximum(x, 0))


def test_mutants_are_named_as_the_catalogue_is() -> None:
    known = {*CATALOGUE, *FAMILIES}
    assert all(set(m.ids) <= known for m in MUTANTS)
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 90
