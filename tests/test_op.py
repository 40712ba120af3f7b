"""Engines, rounding, and what an op refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refdiff import ops
from refdiff.errors import ConfigError, ShapeError
from refdiff.op import FAST, REGISTRY, Op, around, current_engine, engine, op, round_to

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
numbers = (
    st.floats(width=32)
    | st.floats(-70000, 70000, width=32)
    | st.floats(-(2**-13), 2**-13, width=32)
)


@pytest.mark.parametrize("format", FORMATS)
@given(values=st.lists(numbers, min_size=1, max_size=20))
def test_rounding_is_the_format_s_own(format: str, values: list[float]) -> None:
    """Bit for bit PyTorch's cast there and back: ties, subnormals, overflow, infinities, nan."""
    x = np.array(values, np.float32)
    theirs = torch.tensor(x).to(FORMATS[format]).float().numpy()
    ours = round_to(x, format)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, theirs, equal_nan=True)
    assert np.array_equal(np.signbit(ours), np.signbit(theirs)) or np.isnan(x).any()


@given(values=st.lists(st.floats(-3e38, 3e38), min_size=1, max_size=20))
def test_rounding_float64_to_float32(values: list[float]) -> None:
    x = np.array(values)
    with np.errstate(over="ignore"):
        assert np.array_equal(round_to(x, "float32"), x.astype(np.float32).astype(np.float64))


def test_what_needs_no_rounding_is_handed_on() -> None:
    whole, half = np.arange(3), np.ones(3, np.float16)
    assert round_to(whole, "float16") is whole and round_to(half, "float32") is half
    assert round_to(np.array([1 + 2**-10 + 2**-12]), "tf32")[0] == 1 + 2**-10


def test_engines_nest_and_end() -> None:
    assert str(current_engine()) == "reference" and current_engine(default=FAST) is FAST
    with engine("fast"):
        with engine("reference", rounding="bfloat16") as inner:
            assert str(inner) == "reference, rounding to bfloat16"
            assert ops.silu(np.array([1.0], np.float32))[0] == np.float32(0.73046875)
        assert str(current_engine()) == "fast"
    with pytest.raises(ValueError), engine("fast"):
        raise ValueError
    assert str(current_engine()) == "reference"


def test_plain_sums_are_nearer_the_truth_than_winograd() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 64, 16, 16)), rng.standard_normal((64, 64, 3, 3))
    truth = ops.conv2d(x, w, padding=1)
    errors = []
    for plain in (False, True):
        with engine("fast", plain=plain) as chosen:
            y = ops.conv2d(x.astype(np.float32), w.astype(np.float32), padding=1)
        assert str(chosen) == ("fast, plain sums" if plain else "fast")
        errors.append(abs(y - truth).max())
    assert 0 < 1.5 * errors[1] < errors[0]


@pytest.mark.parametrize(
    ("name", "rounding", "words"),
    [("quick", None, "quick"), ("reference", "int8", "int8"), ("fast", "float16", "reference")],
)
def test_unknown_engines(name: str, rounding: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words), engine(name, rounding):
        pass


def test_a_pullback_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refdiff.op.REGISTRY", {})

    @op
    def double(x: Any) -> Any:
        return 2 * x

    @double.vjp
    def _(y: Any, x: Any) -> Any:
        return lambda g: (2 * g,)

    assert isinstance(double, Op) and repr(double) == "<op double>"
    assert double.pullback and double.pullback(4.0, 2.0)(1.0) == (2.0,)
    assert "double" not in REGISTRY


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape)


@pytest.mark.parametrize("choice", ["reference", "fast"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.conv2d(zeros(1, 2, 4, 4), zeros(1, 3, 3, 3)), "channels"),
        (lambda: ops.conv2d(zeros(1, 4, 4, 4), zeros(3, 2, 1, 1), groups=2), "channels"),
        (lambda: ops.conv2d(zeros(2, 4, 4), zeros(1, 3, 3, 3)), "N,C,H,W"),
        (lambda: ops.conv2d(zeros(1, 3, 2, 9), zeros(1, 3, 3, 3)), "larger"),
        (lambda: ops.linear(zeros(2, 3), zeros(4, 5)), "width"),
        (lambda: ops.group_norm(zeros(1, 4, 2), zeros(4), zeros(4), groups=3, eps=1.0), "groups"),
        (lambda: ops.group_norm(zeros(1, 4, 2), zeros(6), zeros(6), groups=2, eps=1.0), "groups"),
        (lambda: ops.layer_norm(zeros(2, 3), zeros(4), zeros(4)), "width"),
        (lambda: ops.attention(zeros(2, 3), zeros(4, 5), zeros(4, 5)), "fit"),
        (lambda: ops.attention(zeros(2, 3), zeros(4, 3), zeros(5, 5)), "fit"),
        (lambda: ops.attention(zeros(2, 2, 3), zeros(1, 4, 3), zeros(2, 4, 5)), "fit"),
        (lambda: ops.geglu(zeros(2, 3)), "odd"),
        (lambda: ops.embedding(np.array([3]), zeros(3, 2)), "outside"),
        (lambda: ops.embedding(np.array([-1]), zeros(3, 2)), "outside"),
        (lambda: ops.timestep_embedding(zeros(1), 2, freq_shift=1.0), "too small"),
        (lambda: ops.upsample_nearest(zeros(1, 1, 2, 2), size=(0, 4)), "empty"),
    ],
)
def test_misfits_are_refused(call: Any, words: str, choice: str) -> None:
    with engine(choice), pytest.raises(ShapeError, match=words):
        call()


@pytest.mark.parametrize("choice", ["reference", "fast"])
def test_arguments_may_be_named(choice: str) -> None:
    x = np.ones((2, 4), np.float32)
    with engine(choice):
        assert np.array_equal(ops.silu(x=x), ops.silu(x))


def test_upsampling_without_a_size_doubles() -> None:
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    assert np.array_equal(ops.upsample_nearest(x), x.repeat(2, 2).repeat(2, 3))


def test_a_wrapper_stands_around_every_call() -> None:
    """The innermost is asked first, ops within ops too, and outside nothing is left."""
    x, seen = np.linspace(-2, 2, 8).reshape(2, 4), []

    def noting(op: Op[Any], compute: Any, *args: Any, **options: Any) -> Any:
        seen.append(op.name)
        return compute(*args, **options)

    def doubling(op: Op[Any], compute: Any, *args: Any, **options: Any) -> Any:
        y = compute(*args, **options)
        return 2 * y if op.name == "gelu" else y

    with around(noting), around(doubling):
        doubled = ops.geglu(x)
    assert seen == ["geglu", "gelu"]
    np.testing.assert_array_equal(doubled, 2 * ops.geglu(x))
    assert seen == ["geglu", "gelu"]
