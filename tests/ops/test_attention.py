"""The attention kernel over more keys than it reads at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import ops
from refdiff.kernels.attention import KEYS, QUERIES
from tests.ops.cases import size


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_keys_in_several_parts(seed: int) -> None:
    """Larger logits appear late, whole parts are masked, and one query sees nothing at all."""
    rng = np.random.default_rng(seed)
    h, L, S = size(rng, 1, 2), size(rng, 1, 2 * QUERIES), size(rng, KEYS - 5, 3 * KEYS)
    q, k, v = (rng.standard_normal((1, h, n, 12)) for n in (L, S, S))
    k *= np.linspace(0.1, 4, S)[:, None]  # the running maximum has to move
    mask = np.where(rng.random((L, S)) < 0.3, -np.inf, 0.0)
    mask[: L // 2, :KEYS] = -np.inf
    mask[:, -1] = 0.0
    mask[L - 1] = -np.inf
    with np.errstate(invalid="ignore"):
        right = ops.attention.definition(q, k, v, mask)
        y = ops.attention.fast(*(a.astype(np.float32) for a in (q, k, v, mask)))
    assert np.isnan(y[:, :, L - 1]).all() and np.isnan(right[:, :, L - 1]).all()
    np.testing.assert_allclose(y, right, rtol=0, atol=2e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_what_is_no_number_goes_where_it_goes_by_definition(seed: int) -> None:
    """A nan or an infinity in a query reaches its row alone, in a key all rows."""
    rng = np.random.default_rng(seed)
    L, S = size(rng, 2, 40), size(rng, 2, 200)
    arrays = [rng.standard_normal((1, 1, n, 6), np.float32) for n in (L, S, S)]
    odd = np.float32(rng.choice([np.nan, np.inf, -np.inf]))
    arrays[seed % 3][0, 0, rng.integers(2), rng.integers(6)] = odd
    with np.errstate(invalid="ignore", over="ignore"):
        right, y = ops.attention.definition(*arrays), ops.attention.fast(*arrays)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(right))
