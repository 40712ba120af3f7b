"""The vectors: what goes in is exact everywhere, what comes out is known, mistakes are seen."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from refdiff.diffusion.samplers import ENTRIES
from refdiff.op import REGISTRY
from refdiff.verify.kit.answer import answer
from refdiff.verify.kit.catalogue import vectors
from refdiff.verify.kit.read import read_kit
from refdiff.verify.kit.vector import Vector, computed, numbers
from refdiff.verify.kit.write import answered, asked, write_kit
from refdiff.verify.walks import HONEST
from tests.bench.adequacy import EXCUSED, FLOORS, kills, page, titles
from tests.verify.kit.implementations import by_torch

ALL = list(vectors())
LARGEST = 60e6  # bytes of the kit
DOCS = Path(__file__).parents[3] / "docs"
by_id = pytest.mark.parametrize("vector", ALL, ids=lambda v: v.id)


def test_every_kind_has_its_vectors() -> None:
    groups: dict[str, set[str]] = {}
    for vector in ALL:
        group, what, which = vector.id.split("/")
        groups.setdefault(f"{group}/{what}", set()).add(which)
    for op in REGISTRY:
        assert 6 <= len(groups[f"ops/{op}"]) <= 12, op
    for entry in ENTRIES:
        assert groups[f"samplers/{entry.name}"] == {"default", "other"}
    for name, found in groups.items():
        assert not name.startswith("blocks/") or len(found) == 3, name
    assert len({v.id for v in ALL}) == len(ALL)


@by_id
def test_every_precision_starts_from_the_same_numbers(vector: Vector) -> None:
    for x in (*vector.inputs.values(), *vector.weights.values()):
        if x.dtype.kind == "f":
            assert x.dtype == np.float32 and np.array_equal(x, numbers(x))
            assert np.array_equal(x, x.astype(np.float16))
    assert vector.flags and set(vector.layouts) >= set(asked(vector))


@by_id
def test_answers_come_again(vector: Vector) -> None:
    """Bit for bit, and to 1e-12 from kernels that sum in another order."""
    exact, again = computed(vector), computed(vector)
    fast = computed(vector, HONEST["float64"][0])
    for name, y in exact.items():
        assert np.array_equal(y, again[name])
        size = np.sqrt(np.mean(np.square(y.astype(np.float64))))
        assert np.abs(y - fast[name]).max() <= 1e-12 * max(size, np.abs(y).max())


def test_answers_are_those_of_torch(ops: Path) -> None:
    right = by_torch(torch.float64)
    for entry in read_kit(ops):
        tensors = entry.tensors()
        theirs, ours = right(entry, tensors)["out.y"], tensors["out.y"]
        assert np.abs(theirs - ours).max() <= 1e-12 * np.abs(ours).max(), entry.id


def test_the_kit_sees_every_mistake() -> None:
    """And it is small, and its answers are known far better than float32 rounds."""
    size, found = 0, []
    for vector in ALL:
        told = answer(vector)
        found.append((vector.id, told))
        size += sum(x.nbytes for x in (*asked(vector).values(), *answered(told).values()))
        for output in told.outputs.values():
            noise = output.noise["float32"].unit.rms
            assert output.uncertainty <= 1e-3 * noise, vector.id
    assert size < LARGEST
    best = kills(found)
    assert set(best) == set(titles())
    for id, kill in best.items():
        assert kill.rho >= FLOORS["float32"], id
        assert (kill.rho16 >= FLOORS["float16"]) == (id not in EXCUSED), id
    ours, theirs = (text.split("| mistake")[0] for text in (page(best, len(ALL)), written()))
    assert ours == theirs


def written() -> str:
    return (DOCS / "adequacy.md").read_text()


def test_a_mistake_that_nothing_shows_is_missed() -> None:
    """The page can say no."""
    best = kills([(v.id, answer(v)) for v in ALL if v.id == "ops/silu/grid"])
    assert "0 of" not in page(best, 1) and "| `none` | 0e0 | 0e0 |" in page(best, 1)


def files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_kits_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_kit(tmp_path / name, "ops/*norm/*")
    a, b = (dict(files(tmp_path / name)) for name in ("a", "b"))
    assert a == b and len(a) == 15 + 2 + 3
