"""A race is refused where results differ, and its ratios are of the same rounds."""

import numpy as np
import pytest

from tests.bench.speed.race import DisagreementError, Times, agree, race, ratios


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 3)), np.full(6, 1.01), np.full(6, np.nan)], ids=["shape", "value", "nan"]
)
def test_what_differs_is_not_raced(wrong: np.ndarray) -> None:
    agree({"a": np.ones(6), "b": np.ones(6) + 1e-5})
    with pytest.raises(DisagreementError, match="b "):
        race({"a": lambda: np.ones(6), "b": lambda: wrong})


def test_ratios() -> None:
    times = {"a": Times((1.0, 2.0, 4.0)), "b": Times((3.0, 2.0, 2.0))}
    assert ratios(times, "a")["b"] == (1.0, 0.5, 3.0)
    assert str(times["a"]) == "2 s (1 to 4)"
