"""What the bits of an array say of where it was stored."""

import numpy as np
import pytest

from refdiff.op import FORMATS, round_to
from refdiff.verify import precision
from refdiff.verify.precision import effective, narrowed

NUMBERS = np.random.default_rng(0).normal(size=(3, 500))
WIDE = NUMBERS * 2.0 ** np.linspace(-20, 20, 500)  # beyond float16 on both sides


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("format", FORMATS)
def test_the_format_is_found(format: str, dtype: type) -> None:
    numbers = NUMBERS if format == "float16" else WIDE
    assert effective(round_to(numbers, format).astype(dtype)) == format


def test_float64_and_float16_themselves() -> None:
    assert effective(NUMBERS) == "float64"
    assert effective(NUMBERS.astype(np.float16)) == "float16"


def test_one_element_is_enough_to_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PART", 64)
    x = NUMBERS.astype(np.float16).astype(np.float32)
    assert effective(x) == "float16"
    x[2, 417] += np.float32(1e-5)
    assert effective(x) == "float32"


def test_only_the_range_tells_float16_from_tf32() -> None:
    assert effective(round_to(NUMBERS, "tf32")) == "float16"
    assert effective(round_to(NUMBERS, "tf32") * 2.0**-20) == "tf32"


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(100, np.float32),
        np.zeros((0,), np.float32),
        np.full(50, np.nan),
        np.array(0.1, np.float32),
        np.tile([0.0, 0.5, -1.5, -np.inf], 50),
        np.triu(np.full((9, 9), -np.inf), 1),
        np.full(1000, 0.3),
    ],
    ids=str,
)
def test_where_nothing_can_be_told(x: np.ndarray) -> None:
    assert effective(x) is None and narrowed(x) is None


def test_whole_numbers() -> None:
    assert effective(np.arange(3)) == effective(np.arange(77.0)) == "integer"
    assert effective(np.zeros(2, bool)) == "integer"
    assert narrowed(np.arange(77.0)) is None


def test_the_warning() -> None:
    half = NUMBERS.astype(np.float16)
    message = narrowed(half.astype(np.float32))
    assert message and "float32" in message and "float16" in message
    assert narrowed(NUMBERS.astype(np.float32)) is None
    assert narrowed(half) is None
    assert narrowed(half.astype(np.float32), "float16") is None
    assert narrowed(round_to(NUMBERS, "bfloat16"), "float16")
