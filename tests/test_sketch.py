"""Sketches: distances within their stated error, float32's differences seen, files checked."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refdiff
from refdiff.errors import CheckpointError, ShapeError
from refdiff.sketch import LISTS, Sketch, signs, sketch, sketch_distance, to_json

RNG = np.random.default_rng


def distances(a: np.ndarray, b: np.ndarray, seeds: int = 300) -> np.ndarray:
    """Estimated over true, one for each seed."""
    true = np.linalg.norm(a - b) / np.linalg.norm(b)
    found = [sketch_distance(sketch(a, seed=s), sketch(b, seed=s)) for s in range(seeds)]
    return np.array(found) / true


@pytest.mark.parametrize("kind", ["noise", "one element", "a constant", "a wave", "float32"])
def test_the_distance_is_off_by_nine_percent_of_itself(kind: str) -> None:
    b = RNG(0).normal(size=(2, 5, 11, 13))
    change = {
        "noise": 0.01 * RNG(1).normal(size=b.shape),
        "one element": np.eye(1, b.size, 77).reshape(b.shape),
        "a constant": np.full(b.shape, 1e-3),
        "a wave": np.sin(np.arange(b.size)).reshape(b.shape),
        "float32": b.astype(np.float32) - b,
    }[kind]
    ratio = distances(b + change, b)
    if kind == "one element":  # the square of a sign is 1: exact
        assert np.allclose(ratio, 1, atol=1e-9)
    else:
        assert abs(ratio.mean() - 1) < 0.02 and 0.07 < ratio.std() < 0.0975


def test_float32_differences_are_seen_and_float64_rounding_is_not() -> None:
    b = RNG(3).normal(size=(1, 320, 64, 64))
    near = sketch_distance(sketch(b.astype(np.float32)), sketch(b))
    true = np.linalg.norm(b.astype(np.float32) - b) / np.linalg.norm(b)
    assert 0.7 < near / true < 1.3 and true < 1e-7
    assert sketch_distance(sketch(b * (1 + 1e-15)), sketch(b)) < 1e-13
    assert sketch_distance(sketch(b), sketch(b)) == 0


def test_signs_are_even_and_independent() -> None:
    """Over 4096 elements: rows of signs nearly orthogonal, none of them one-sided."""
    drawn = signs(np.arange(4096))
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    products = drawn.T @ drawn / 64  # of standard deviation 1 beside the diagonal
    beside = products[~np.eye(64, dtype=bool)]
    assert np.abs(beside).max() < 5 and abs(beside.std() - 1) < 0.1
    assert np.abs(drawn.sum(0)).max() < 5 * 64


def test_the_hash_is_the_published_one() -> None:
    """fmix32 of MurmurHash3 by Python's own integers, for a few indices."""

    def fmix(h: int) -> int:
        h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        return h ^ h >> 16

    index = np.array([0, 1, 5, 12345, 2**31 - 1])
    for row, i in zip(signs(index, seed=9), index.tolist(), strict=True):
        words = [fmix((fmix(2 * i + half) + 9) & 0xFFFFFFFF) for half in (0, 1)]
        assert row.tolist() == [1.0 if words[k // 32] >> k % 32 & 1 else -1.0 for k in range(64)]


@given(
    shape=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    dtype=st.sampled_from(["f2", "f4", "f8", "i8", ">f4"]),
)
@settings(max_examples=60)
def test_numbers_are_those_of_numpy(shape: tuple[int, ...], dtype: str) -> None:
    x = RNG(0).normal(3, 5, size=shape).astype(dtype)
    s = sketch(x)
    wide = x.astype(np.float64)
    assert s.shape == shape and len(s.samples) == min(x.size, 256)
    if not x.size:
        assert math.isnan(s.mean) and not s.projections.any()
        return
    assert np.isclose(s.mean, wide.mean()) and np.isclose(s.std, wide.std())
    assert np.allclose(s.projections, wide.reshape(-1) @ signs(np.arange(x.size)))
    if x.ndim == 4:
        assert np.allclose(s.channel_mean, wide.mean((0, 2, 3)))
        assert np.allclose(s.channel_std, wide.std((0, 2, 3)))


def test_channels_and_samples_are_spaced_over_all() -> None:
    x = np.arange(1000.0)[None, :, None, None] * np.ones((2, 1, 3, 3))
    s = sketch(x)
    assert np.array_equal(s.channel_mean, np.arange(64) * 1000 // 64)
    assert np.array_equal(s.samples, x.reshape(-1)[np.arange(256) * x.size // 256])
    assert len(json.dumps(to_json(s))) < 12_000


def test_shapes_that_differ_and_numbers_that_are_not_finite() -> None:
    a, b = sketch(np.ones(3)), sketch(np.array([1, np.nan, np.inf]))
    with pytest.raises(ShapeError, match=r"\[3\] and \[1, 3\]"):
        sketch_distance(a, sketch(np.ones((1, 3))))
    assert math.isnan(sketch_distance(b, a))
    assert to_json(b)["projections"] == [None] * 64
    assert sketch_distance(a, sketch(np.zeros(3))) == math.inf


def page(**changes: object) -> dict[str, object]:
    entry = {"shape": [3], "mean": 1.0, "std": 0.0, **to_json(sketch(np.ones(3))), **changes}
    return {"tensors": {"a": entry}}


def test_a_page_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(page(std=None)))
    read = refdiff.read_sketches(tmp_path / "s.json")["a"]
    assert isinstance(read, Sketch) and read.shape == (3,) and math.isnan(read.std)
    assert all(
        np.array_equal(getattr(read, key), getattr(sketch(np.ones(3)), key)) for key in LISTS
    )


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"tensors": []},
        {"tensors": {"a": 7}},
        {"tensors": {"a": {}}},
        page(projections=[1.0]),
        page(projections="abc"),
        page(shape=None),
        page(mean=[]),
        page(samples=[[1.0], [2.0, 3.0]]),
        page(samples={"a": 1}),
    ],
)
def test_other_pages_are_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="--sketch"):
        refdiff.read_sketches(tmp_path / "s.json")
