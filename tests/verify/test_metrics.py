"""Metrics against their formulas, on arrays of every kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff.errors import ShapeError
from refdiff.verify import metrics
from refdiff.verify.formats import FORMATS
from refdiff.verify.metrics import measure, ulps

SEEDS = st.integers(0, 2**32 - 1)


def pair(seed: int, n: int = 3000, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    r = scale * rng.normal(size=(2, n // 2))
    return r, r * (1 + 1e-3 * rng.normal(size=r.shape)) + scale * 1e-4


@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
@given(seed=SEEDS)
def test_formulas(chunk: int, scale: float, seed: int) -> None:
    r, c = pair(seed, 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "CHUNK", chunk)
        m = measure(scale * r, scale * c)
    d = c - r
    near = lambda x: pytest.approx(x, rel=1e-9)  # noqa: E731
    assert m.rms == near(scale * np.sqrt(np.mean(d**2)))
    assert m.reference_rms == near(scale * np.sqrt(np.mean(r**2)))
    assert m.relative == near(np.linalg.norm(d) / np.linalg.norm(r))
    assert m.snr == near(-20 * np.log10(m.relative))
    assert m.level.largest == near(scale * abs(d).max())
    assert abs(d)[m.largest_at] == abs(d).max()
    assert m.level.quantile == near(scale * np.sort(abs(d).ravel())[191])  # all but the 8 largest
    assert m.cosine == near((r * c).sum() / np.linalg.norm(r) / np.linalg.norm(c))
    fit = np.linalg.lstsq(r.reshape(-1, 1), c.ravel(), rcond=None)
    assert m.slope == near(fit[0][0])
    assert 1 - m.r_squared == pytest.approx(fit[1][0] / (c**2).sum(), rel=1e-6)
    assert m.z == near(d.mean() / d.std() * np.sqrt(d.size))
    assert m.headroom == near(65504 / (scale * abs(r).max()))
    assert (m.n, m.unequal, m.broken, m.broken_at) == (200, 200, 0, None)


def test_ulps_are_of_the_reference() -> None:
    r = np.float32([1, 1.5, 2, 1024, 0, 1e-45])
    c = np.nextafter(r, np.float32(np.inf), dtype=np.float32)
    single = FORMATS["float32"]
    assert ulps(r.astype(np.float64), c, single) == (1, 1, 1, 1)
    below = np.float64(2) - 2.0**-24  # one spacing of the lower binade is half one of 2's
    assert ulps(np.array([2.0]), np.array([below]), single)[-1] == 0.25
    assert ulps(np.array([1.0]), np.array([1 + 2.0**-10]), FORMATS["float16"])[-1] == 1


def test_a_common_sign_shows() -> None:
    r, c = pair(1)
    biased = measure(r, r + abs(c - r))
    assert abs(biased.z) > 20 > 4 > abs(measure(r, 2 * r - (2 * r - c) - 1e-4).z)


def test_a_forgotten_factor_is_the_slope() -> None:
    r, _ = pair(2)
    m = measure(r, (0.18215 * r).astype(np.float32))
    assert m.slope == pytest.approx(0.18215) and m.r_squared == pytest.approx(1)


def test_what_is_not_finite_is_counted_and_placed() -> None:
    r = np.array([[1.0, -np.inf, np.nan], [np.inf, 2.0, 3.0]])
    c = np.array([[1.0, -np.inf, np.nan], [4.0, np.nan, 3.5]])
    m = measure(r, c)
    assert (m.broken, m.broken_at, m.unequal) == (2, (1, 0), 3)
    assert (m.nans, m.infinities) == ((1, 2), (2, 1))
    assert (m.level.largest, m.largest_at, m.reference_peak) == (0.5, (1, 2), 3.0)


@pytest.mark.parametrize("x", [np.zeros((0, 3)), np.array(2.5), np.array(0.0), np.zeros(4)])
def test_equal_arrays_of_odd_shapes(x: np.ndarray) -> None:
    m = measure(x, x.astype(np.float16))
    assert (m.n, m.unequal, m.rms, m.level.largest, m.largest_at) == (x.size, 0, 0, 0, None)
    assert (m.relative, m.snr, m.cosine, m.slope, m.z) == (0, np.inf, 1, 1, 0)


def test_nothing_where_something_should_be() -> None:
    m = measure(np.zeros(3), np.ones(3))
    assert (m.relative, m.snr, m.cosine, m.slope) == (np.inf, -np.inf, 0, 0)
    assert measure(np.ones(3), np.zeros(3)).slope == 0


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_are_equal_or_not(dtype: type) -> None:
    ids = np.array([0, 1, 1, 0], dtype)
    m = measure(ids, np.array([0, 1, 0, 0], dtype))
    assert (m.unequal, m.level.largest, m.largest_at) == (1, 1, (2,))
    big = np.array([2**62, -(2**63)])
    assert measure(big, big + 1).unequal == 2


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\).*\(2, 1\)"):
        measure(np.zeros(2), np.zeros((2, 1)))
