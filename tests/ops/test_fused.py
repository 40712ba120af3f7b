"""Ops in one pass: the same bits as one after another, and only where nobody looks between."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff import ops
from refdiff.errors import ShapeError
from refdiff.kernels import norm
from refdiff.op import Array, Op, around, engine
from refdiff.ops.fused import silu_of_group_norm
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
