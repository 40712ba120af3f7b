"""What hasty rounding is taken for is what sums in a row do, whatever the signs of their terms."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import ops
from refdiff.op import Array
from refdiff.verify.walks import one_after_the_other


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def in_a_row(x: Array, w: Array) -> Array:
    """x [R,C] times w [O,C], one product after the other, in their own dtype."""
    y = np.zeros((len(x), len(w)), x.dtype)
    for c in range(x.shape[1]):
        y = y + x[:, c, None] * w[:, c]
    return y


@given(seed=st.integers(0, 2**32 - 1), drift=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=30, deadline=None)
def test_sums_in_a_row(seed: int, drift: float) -> None:
    """Terms that balance, and terms of which one sign is more frequent."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(200, 1500))
    x = (rng.standard_normal((40, channels)) + drift).astype(np.float32)
    w = (rng.standard_normal((50, channels)) + drift * rng.standard_normal((50, 1))).astype(
        np.float32
    )
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    honest = rms(in_a_row(x, w) - exact)
    told = rms(one_after_the_other(ops.linear.definition, x, w) - exact)
    assert 0.7 * honest < told < 4 * honest
    pixels = np.ascontiguousarray(x.T).reshape(1, channels, 5, 8)
    told = rms(
        one_after_the_other(ops.conv2d.definition, pixels, w[..., None, None])[0].reshape(50, -1).T
        - exact
    )
    assert 0.7 * honest < told < 4 * honest


def test_groups_are_summed_apart() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 12, 7, 5)) + 1, rng.standard_normal((6, 4, 3, 3)) + 1
    y = one_after_the_other(ops.conv2d.definition, x, w, groups=3)
    right = ops.conv2d.definition(x, w, groups=3)
    assert 0 < abs(y - right).max() < 1e-12 * abs(right).max()
