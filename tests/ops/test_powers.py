"""Powers of two, over their whole range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refdiff.kernels.jit import jit
from refdiff.kernels.lanes import ABREAST
from refdiff.kernels.powers import LEAST, power, powers
from refdiff.op import Array

U = np.finfo(np.float32).eps / 2


@jit
def both(x: Array, top: np.float32, alone: Array) -> float:
    for i in range(len(x)):
        alone[i] = power(x[i] - top)
    return powers(x, top)  # type: ignore[no-any-return]


@given(
    lanes=st.integers(1, 5),
    deep=st.sampled_from([1, 20, 126, 300]),
    top=st.integers(-8, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_powers(lanes: int, deep: int, top: int, seed: int) -> None:
    """Within 1.3 units of roundoff, and what is too small is 0; one by one as all at once."""
    rng = np.random.default_rng(seed)
    below = -deep * rng.random(lanes * ABREAST).astype(np.float32)
    below[:4] = 0, -1, LEAST, -np.inf
    x, highest = below + np.float32(top), np.float32(top)
    below = x - highest
    alone = np.full_like(x, np.nan)
    total = both(x, highest, alone)
    truth = np.where(below < LEAST, 0, np.exp2(below.astype(np.float64)))
    assert (abs(x - truth) <= 1.3 * U * truth).all()
    assert (x == alone).all()
    n = len(x) * U
    assert abs(total - x.astype(np.float64).sum()) <= n / (1 - n) * total


def test_every_fraction() -> None:
    """The polynomial's own interval, at all its numbers of the coarsest spacing and many others."""
    x = -np.arange(2**23 + 1, dtype=np.float32)[: 2**23 // ABREAST * ABREAST] * np.float32(2.0**-23)
    truth = np.exp2(x.astype(np.float64))
    both(x, np.float32(0), np.empty_like(x))
    assert (abs(x - truth) <= 1.3 * U * truth).all()


def test_what_is_no_number_stays_none() -> None:
    x = np.zeros(ABREAST, np.float32)
    x[3] = np.nan
    total = both(x, np.float32(0), np.empty_like(x))
    assert np.isnan(total) and np.isnan(x).sum() == 1
