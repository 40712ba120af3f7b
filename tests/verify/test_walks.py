"""Shortcuts that change nothing: attention in blocks, exact values by kernels, quantiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff import ops
from refdiff.kernels import attention as kernel
from refdiff.verify import replay, walks
from refdiff.verify.along import along
from refdiff.verify.formats import FLOAT32
from refdiff.verify.metrics import quantile
from refdiff.verify.verdict import State
from tests.verify.tiny import Tiny, tiny

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    rng = np.random.default_rng(seed)
    n, h, L, S, d, e = (int(k) for k in rng.integers(1, 7, 6))
    shapes = ((n, h, L, d), (n, h, S, d), (n, h, S, e))
    mask = rng.standard_normal([(L, S), (n, 1, 1, S)][rng.integers(2)])
    return [rng.standard_normal(s) for s in shapes], mask if rng.integers(2) else None


@given(SEEDS, st.integers(1, 40))
def test_blocks_change_nothing(seed: int, size: int) -> None:
    (q, k, v), mask = draw(seed)
    right = ops.attention.definition(q, k, v, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "LOGITS", size)
        patch.setattr(kernel, "BLOCK", size)
        blocks = walks.in_blocks(ops.attention.definition, q, k, v, mask)
        fast = kernel.attend(q, k, v, mask)
    np.testing.assert_allclose(blocks, right, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(fast, right, rtol=1e-12, atol=1e-13)


@given(SEEDS, st.floats(0.01, 1))
def test_a_quantile_is_numpys(seed: int, q: float) -> None:
    rng = np.random.default_rng(seed)
    x = abs(rng.standard_normal(int(rng.integers(1, 500)))) ** rng.integers(1, 6)
    x[rng.random(x.size) < rng.random()] = 0
    assert quantile(x, q) == np.quantile(x, q, method="inverted_cdf")


def test_kernels_judge_as_definitions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Tiny = tiny("unet", 3)
    monkeypatch.setattr(replay, "LARGE", 0)
    found = along(model.ours, model.reference(), model.reference(), FLOAT32).findings
    assert len(found) > 10
    assert all(f.verdict.state == State.EXPLAINED for f in found.values())
    assert max(f.verdict.metrics.relative for f in found.values()) < 1e-12
