"""Ops in one pass: the same bits as one after another, and only where nobody looks between."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff import ops
from refdiff.errors import ShapeError
from refdiff.kernels import gated, norm, winograd
from refdiff.op import Array, Op, around, engine
from refdiff.ops.fused import (
    conv2d_of_enlarged,
    conv2d_plus,
    geglu_of_linear,
    linear_plus,
    silu_of_group_norm,
)
from tests.ops.cases import DRAW, normal, size

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
def test_the_same_bits(seed: int, dtype: Any) -> None:
    case = DRAW["group_norm"](np.random.default_rng(seed))
    for kind in "fast", "reference":
        with engine(kind):
            together = case.call(silu_of_group_norm, dtype)
            expected = ops.silu(case.call(ops.group_norm, dtype))
        assert together.dtype == dtype
        assert together.tobytes() == expected.tobytes()


@given(seed=SEEDS, block=st.integers(1, 20_000))
def test_however_pixels_are_divided(seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    C = 4 * size(rng, 1, 40)
    x = normal(rng, size(rng, 1, 3), size(rng, 1, 16), size(rng, 1, 16), C).astype(np.float32)
    x, weights = np.moveaxis(x, -1, 1), normal(rng, 2, C).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch, engine("fast"):
        patch.setattr(norm, "TILE", block)
        expected = ops.silu(ops.group_norm(x, *weights, groups=4, eps=1e-5))
        y = silu_of_group_norm(x, *weights, groups=4, eps=1e-5)
    assert y.tobytes() == expected.tobytes()


def drawn(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return normal(rng, *shape).astype(dtype)


def picture(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    """Its channels innermost, as kernels lay it down, or outermost. shape (N,C,H,W)"""
    x = drawn(rng, dtype, *shape)
    if rng.random() < 0.3:
        return x
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def both(together: Callable[[], Array], one_by_one: Callable[[], Array]) -> None:
    """The same bits in both engines."""
    for kind in "fast", "reference":
        with engine(kind):
            y, expected = together(), one_by_one()
        assert y.dtype == expected.dtype and y.shape == expected.shape
        assert y.tobytes() == expected.tobytes()


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float32, np.float64]))
def test_a_convolution_and_what_it_is_added_to(seed: int, dtype: Any) -> None:
    """Of a picture, or of a number for each channel, in all ways of convolving."""
    rng = np.random.default_rng(seed)
    N, C, O = size(rng, 1, 3), size(rng, 1, 40), size(rng, 1, 70)  # noqa: E741
    k, stride = [(3, 1), (1, 1), (3, 2), (2, 1)][rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])]
    x, w = (
        picture(rng, dtype, N, C, size(rng, 3, 21), size(rng, 3, 20)),
        drawn(rng, dtype, O, C, k, k),
    )
    b = drawn(rng, dtype, O) if rng.random() < 0.7 else None
    options = {"stride": stride, "padding": size(rng, 0, k // 2)}
    result = ops.conv2d(x, w, b, **options).shape
    to = picture(rng, dtype, *result) if rng.random() < 0.6 else drawn(rng, dtype, N, O, 1, 1)
    both(
        lambda: conv2d_plus(x, w, b, to, **options),
        lambda: ops.add(ops.conv2d(x, w, b, **options), to),
    )


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float32, np.float64]))
def test_a_product_and_what_it_is_added_to(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    I, O = size(rng, 1, 60), size(rng, 1, 150)  # noqa: E741
    lead = [*rng.integers(1, 4, size(rng, 0, 2)), size(rng, 1, 230)][-size(rng, 0, 3) or 3 :]
    x, w, to = (drawn(rng, dtype, *shape) for shape in ((*lead, I), (O, I), (*lead, O)))
    b = drawn(rng, dtype, O) if rng.random() < 0.7 else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refdiff.kernels.product.INNER", int(rng.choice([7, 1280])))
        both(lambda: linear_plus(x, w, b, to), lambda: ops.add(ops.linear(x, w, b), to))


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float32, np.float64]))
def test_a_product_and_its_gate(seed: int, dtype: Any) -> None:
    """However columns are divided."""
    rng = np.random.default_rng(seed)
    I, D = size(rng, 1, 60), size(rng, 1, 150)  # noqa: E741
    lead = [*rng.integers(1, 4, size(rng, 0, 1)), size(rng, 1, 230)]
    x, w = drawn(rng, dtype, *lead, I), drawn(rng, dtype, 2 * D, I)
    b = drawn(rng, dtype, 2 * D) if rng.random() < 0.7 else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gated, "PANELS", int(rng.choice([1, 1 << 12, 1 << 18])))
        patch.setattr(gated, "TILES", size(rng, 1, 8))
        both(lambda: geglu_of_linear(x, w, b), lambda: ops.geglu(ops.linear(x, w, b)))


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float32, np.float64]))
def test_a_convolution_of_what_is_enlarged(seed: int, dtype: Any) -> None:
    """However tiles are divided; to twice the size, or another."""
    rng = np.random.default_rng(seed)
    N, C, O = size(rng, 1, 3), size(rng, 1, 90), size(rng, 1, 70)  # noqa: E741
    H, W = size(rng, 1, 14), size(rng, 1, 14)
    x, w = picture(rng, dtype, N, C, H, W), drawn(rng, dtype, O, C, 3, 3)
    b = drawn(rng, dtype, O) if rng.random() < 0.7 else None
    other = (size(rng, 1, 2 * H), size(rng, 1, 2 * W))
    to = [None, (2 * H, 2 * W), other][rng.choice(3, p=[0.5, 0.3, 0.2])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "MANY", int(rng.choice([3, 64])))
        both(
            lambda: conv2d_of_enlarged(x, w, b, size=to),
            lambda: ops.conv2d(ops.upsample_nearest(x, size=to), w, b, padding=1),
        )


def test_they_are_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a network is large enough: none of the ops that are fused is called."""
    rng = np.random.default_rng(0)
    x, w, b = picture(rng, np.float32, 2, 64, 16, 16), drawn(rng, np.float32, 64, 64, 3, 3), None
    rows, square, time = x.reshape(2, 64, -1).swapaxes(1, 2), w[:, :, 0, 0], x[:, :, :1, :1]

    def called(op: Op[Any], *args: Any, **options: Any) -> Array:
        raise AssertionError(f"{op.name} was called")

    monkeypatch.setattr(Op, "__call__", called)
    with engine("fast"):
        silu_of_group_norm(x, *w[:2, :, 0, 0], groups=4, eps=1e-5)
        conv2d_plus(x, w, b, x, padding=1)
        conv2d_plus(x, w, b, time, padding=1)
        conv2d_plus(x, w[:, :, :1, :1], b, x)
        linear_plus(rows, square, b, rows)
        geglu_of_linear(rows, square)
        conv2d_of_enlarged(x, w)


def test_who_stands_around_ops_sees_them() -> None:
    seen: list[str] = []

    def watching(op: Op[Any], compute: Callable[..., Array], *args: Any, **options: Any) -> Array:
        seen.append(op.name)
        return compute(*args, **options)

    x, ones = np.ones((1, 4, 2, 2), np.float32), np.ones(4, np.float32)
    with engine("fast"):
        silu_of_group_norm(x, ones, ones, groups=2, eps=1e-5)
        with around(watching):
            silu_of_group_norm(x, ones, ones, groups=2, eps=1e-5)
    assert seen == ["group_norm", "silu"]


@pytest.mark.parametrize("kind", ["fast", "reference"])
def test_groups_that_do_not_divide_the_channels(kind: str) -> None:
    x, ones = np.ones((1, 4, 2, 2), np.float32), np.ones(4, np.float32)
    with engine(kind), pytest.raises(ShapeError, match="3 groups"):
        silu_of_group_norm(x, ones, ones, groups=3, eps=1e-5)


@pytest.mark.parametrize("kind", ["fast", "reference"])
def test_shapes_that_do_not_fit(kind: str) -> None:
    """As the ops themselves say."""
    x, w = np.ones((1, 4, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    rows = np.ones((9, 5), np.float32)
    with engine(kind):
        with pytest.raises(ShapeError, match=r"conv2d: x .* has not the channels of w"):
            conv2d_plus(x, w, None, x, padding=1)
        with pytest.raises(ShapeError, match=r"conv2d: x .* has not the channels of w"):
            conv2d_of_enlarged(x, w)
        with pytest.raises(ShapeError, match="upsample_nearest: the size 0 x 16 is empty"):
            conv2d_of_enlarged(x, w, size=(0, 16))
        with pytest.raises(ShapeError, match=r"linear: x .* has not the width of w"):
            linear_plus(rows, rows[:, :4], None, rows)
        with pytest.raises(ShapeError, match=r"linear: x .* has not the width of w"):
            geglu_of_linear(rows, rows[:, :4])
        with pytest.raises(ShapeError, match=r"geglu: the width of x .* is odd"):
            geglu_of_linear(rows, rows)
