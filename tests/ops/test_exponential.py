"""The exponential of kernels, over its whole range."""

import numpy as np

from refdiff.kernels.exponential import LEAST, exp_from

MOST = 1.5 * 2.0**-24  # relative, as its docstring says


def test_it_is_as_near_as_it_says() -> None:
    x = np.linspace(LEAST, 0, 1 << 20, dtype=np.float32)[None]
    right, y = np.exp(x.astype(np.float64)), x.copy()
    exp_from(y, np.zeros((1, 1), np.float32))
    normal = right >= np.finfo(np.float32).tiny
    assert np.max(abs(y - right)[normal] / right[normal]) <= MOST


def test_the_ends() -> None:
    x = np.float32([[0, -np.inf, -100, -1e30, np.nan]])
    exp_from(x, np.zeros((1, 1), np.float32))
    assert x[0, :4].tolist() == [1, 0, 0, 0] and np.isnan(x[0, 4])
