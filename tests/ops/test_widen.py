"""float16 weights, widened by a kernel: every number there is, aligned or not."""

from typing import Any

import numpy as np
import pytest

from refdiff.kernels import widen as module
from refdiff.kernels.widen import widen
from refdiff.params import LARGE, Weights

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_is_numpy_s(dtype: Any) -> None:
    ours, theirs = widen(EVERY, dtype), EVERY.astype(dtype)
    assert ours.dtype == dtype and np.array_equal(np.isnan(ours), np.isnan(theirs))
    numbers = ~np.isnan(theirs)
    assert ours[numbers].tobytes() == theirs[numbers].tobytes()  # signs of zeros, too


def test_shapes_and_places_in_memory() -> None:
    raw = np.zeros(2 * EVERY.size + 1, np.uint8)
    raw[1:] = EVERY.view(np.uint8)
    unaligned = raw[1:].view(np.float16).reshape(64, -1, 8)
    assert not unaligned.flags.aligned
    for x in (unaligned, EVERY.reshape(256, 256).T, EVERY[:0].reshape(0, 3)):
        assert np.array_equal(widen(x, np.float32), x.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize("keeps", [True, False])
def test_large_weights_are_widened_by_it_if_every_time(
    keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is widened once is not worth compiling for."""
    sizes: list[int] = []
    monkeypatch.setattr(module, "widen", lambda x, dtype: sizes.append(x.size) or widen(x, dtype))
    large = np.resize(EVERY[1 : 1 << 14], LARGE + 5)
    weights = Weights({"large": large, "small": large[:3]}, keeps)
    for name in ("large", "small"):
        for _ in range(2):
            assert np.array_equal(weights.read(name, np.dtype("f8")), weights.source[name])
    assert sizes == ([] if keeps else [large.size] * 2)
