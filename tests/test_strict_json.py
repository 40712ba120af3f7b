"""Strict JSON: what it lets through it reads as Python does."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refdiff.strict_json import DEEPEST, parse_json, show

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
).filter(lambda value: "Infinity" not in json.dumps(value))


@given(VALUES, st.booleans())
def test_values_come_back_with_their_types(value, ascii_only):
    read = parse_json(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert read == value and repr(read) == repr(value)


@given(st.binary() | TEXT.map(str.encode))
@example(b"100000000000000000001")
def test_arbitrary_bytes_are_json_or_a_value_error(data):
    """What is longer than any 64-bit integer is read as a float."""
    try:
        ours = parse_json(data)
    except ValueError:
        return
    assert ours == json.loads(data, parse_int=lambda t: int(t) if len(t) <= 20 else float(t))


@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_the_depth_is_counted_exactly(brackets):
    begin, end = brackets[:-1], brackets[-1]
    nested = (begin * DEEPEST + "1" + end * DEEPEST).encode()
    assert parse_json(nested) == json.loads(nested)
    with pytest.raises(ValueError, match="nested deeper than 127 levels"):
        parse_json(begin.encode() + nested + end.encode())


def test_minus_zero_is_no_integer():
    assert isinstance(parse_json(b"-0"), float)


def test_what_is_shown_is_short_and_one_line():
    assert show("a\nb") == r"'a\nb'"
    assert len(show("x" * 1000)) == 60


def test_infinities_pass_where_they_may():
    """As diffusers saves lambda_min_clipped of a DPMSolverMultistepScheduler."""
    assert parse_json(b"[-Infinity, Infinity]", infinities=True) == [-math.inf, math.inf]
    for text in (b"NaN", b"1e999"):
        with pytest.raises(ValueError, match="number"):
            parse_json(text, infinities=True)
    with pytest.raises(ValueError, match="number -Infinity"):
        parse_json(b"-Infinity")
