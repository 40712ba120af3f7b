"""Layouts: named ones are found and undone; what the values do not prove is not guessed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff.verify.fused import split_fused
from refdiff.verify.layouts import choose, fits

SEEDS = st.integers(0, 2**32 - 1)
N, C, H, W, L, D = 2, 3, 5, 4, 7, 6

# The candidate's way of holding a reference of the first shape.
NAMED = {
    "as it is": ((N, C, H, W), lambda x: x),
    "NHWC": ((N, C, H, W), lambda x: x.transpose(0, 2, 3, 1)),
    "CHW": ((1, C, H, W), lambda x: x[0]),
    "WHCN": ((N, C, H, W), lambda x: x.transpose(3, 2, 1, 0)),
    "HWIO": ((C, D, 2, 5), lambda x: x.transpose(2, 3, 1, 0)),
    "OHWI": ((C, D, 2, 5), lambda x: x.transpose(0, 2, 3, 1)),
    "transposed": ((C, D), lambda x: x.T),
    "square, transposed": ((D, D), lambda x: x.T),
    "1x1 convolution": ((C, D), lambda x: x[:, :, None, None]),
    "missing axis": ((C, D, 1, 1), lambda x: x[..., 0, 0]),
    "flat": ((N, C, H, W), lambda x: x.reshape(N, -1)),
    "tokens of a picture": ((N, C, H, W), lambda x: x.reshape(N, C, H * W).swapaxes(1, 2)),
    "picture of tokens": ((N, H * W, C), lambda x: x.swapaxes(1, 2).reshape(N, C, H, W)),
    "heads in the batch": ((N, C, L, D), lambda x: x.reshape(N * C, L, D)),
    "heads apart": ((N * C, L, D), lambda x: x.reshape(N, C, L, D)),
    "heads in the width": ((N, C, L, D), lambda x: x.swapaxes(1, 2).reshape(N, L, C * D)),
    "heads, width to batch": (
        (N, L, C * D),
        lambda x: x.reshape(N, L, C, D).swapaxes(1, 2).reshape(N * C, L, D),
    ),
    "heads, batch to width": (
        (N * C, L, D),
        lambda x: x.reshape(N, C, L, D).swapaxes(1, 2).reshape(N, L, C * D),
    ),
    "guidance": ((4, C, H, W), lambda x: np.concatenate([x[2:], x[:2]])),
    "guidance, NHWC": ((N, C, H, W), lambda x: x[::-1].transpose(0, 2, 3, 1)),
    "guidance, heads": ((4, C, L, D), lambda x: np.roll(x, 2, 0).reshape(4 * C, L, D)),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("noise", [0, 1e-6, 3e-4])
def test_every_named_layout_is_found_and_undone(name, noise):
    shape, there = NAMED[name]
    rng = np.random.default_rng(len(name))
    reference = rng.normal(size=shape)
    candidate = there(reference + noise * rng.normal(size=shape)).astype(np.float32)
    layout = choose(reference, candidate)
    assert layout is not None and layout in fits(reference.shape, candidate.shape)
    np.testing.assert_allclose(layout.apply(candidate), reference, atol=1e-6 + 6 * noise)
    assert np.array_equal(layout.invert(layout.apply(candidate)), candidate)
    assert layout.plain == (name == "as it is")


def test_layouts_say_what_they_do():
    shapes = [(2, 3, 5, 4), (2, 5, 4, 3), (2, 20, 3), (3, 5, 4)]
    texts = [[str(layout) for layout in fits(shapes[0], shape)] for shape in shapes]
    assert texts[0] == ["as it is", "a b c d -> a b c d, halves swapped"]
    assert texts[1] == ["a c d b -> a b c d", "a c d b -> a b c d, halves swapped"]
    assert texts[2][0] == "a (c d) b -> a b c d"
    assert texts[3] == []
    assert [str(layout) for layout in fits((1, 3, 5, 4), (3, 5, 4))] == ["a b c -> 1 a b c"]


@given(SEEDS)
def test_all_that_fits_is_a_bijection(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 5)))
    other = tuple(int(n) for n in rng.permutation(shape))
    if rng.integers(2) and len(other) > 1:
        at = rng.integers(len(other) - 1)
        other = (*other[:at], other[at] * other[at + 1], *other[at + 2 :])
    layouts = fits(shape, other)
    assert len(set(layouts)) == len(layouts)
    assert (shape != other) or layouts[0].plain
    for layout in layouts:
        x = np.arange(math.prod(shape)).reshape(other)
        y = layout.apply(x)
        assert y.shape == shape and sorted(y.ravel()) == list(range(y.size))
        assert np.array_equal(layout.invert(y), x)
        assert np.array_equal(x.ravel()[layout.source(np.arange(y.size))], y.ravel())
        assert str(layout)


@given(SEEDS)
def test_unrelated_tensors_have_no_layout(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 5, 3))
    mean = rng.choice([0, 1, 100])
    ours, theirs = mean + rng.normal(size=(2, *shape))
    assert choose(ours, theirs.transpose(rng.permutation(3))) is None


def test_a_wrong_order_that_is_nearly_right_is_not_guessed():
    x = np.random.default_rng(0).normal(size=(6, 6))
    nearly = x + x.T + 1e-4 * x
    assert choose(nearly, nearly.T + 1e-5) == fits((6, 6), (6, 6))[0]  # both orders would do
    y = np.random.default_rng(1).normal(size=(2, 6, 6, 3))
    y += y.swapaxes(1, 2)
    y[0, 0, 1] += 1e-3
    assert choose(y, y.transpose(0, 3, 1, 2) + 1e-4) is None


def test_the_plain_layout_yields_to_one_that_is_a_hundred_times_better():
    x = np.random.default_rng(0).normal(size=(8, 8))
    x = x + x.T + 0.02 * x
    assert not choose(x, x.T).plain
    assert choose(x, x + 0.005 * np.roll(x, 1)).plain


def test_values_that_are_the_same_in_every_layout_are_no_question():
    assert choose(np.ones((2, 4, 4)), np.ones((4, 4, 2))) is not None
    assert choose(np.zeros((4, 4)), np.zeros((4, 4))).plain


def test_not_a_number_is_found_where_it_was():
    x = np.random.default_rng(0).normal(size=(3, 4))
    x[1, 2], x[0, 0] = np.nan, np.inf
    assert choose(x, x.T.astype(np.float32)) is not None
    assert choose(x, np.nan_to_num(x).T) is None
    assert choose(x, np.full_like(x, np.nan)) is None


def test_shapes_that_no_layout_joins():
    assert fits((2, 3), (7,)) == fits((0, 3), (3, 0)) == fits((2, 6), (3, 4)) == ()
    assert choose(np.ones((2, 3)), np.ones(7)) is None
    assert choose(np.ones((0, 3)), np.ones((0, 3))).plain


def test_many_axes_only_as_they_are():
    x = np.random.default_rng(0).normal(size=(2,) * 7)
    assert choose(x, x).plain and choose(x, x.T) is None


@given(SEEDS)
def test_fused_queries_keys_and_values(seed):
    rng = np.random.default_rng(seed)
    heads, width, inner, count = (int(n) for n in (*rng.integers(1, 5, 3), rng.integers(2, 4)))
    shape = [(heads * width + 2, heads * width), (2, inner + 4, heads * width)][rng.integers(2)]
    parts = rng.normal(size=(count, *shape))
    split = parts.reshape(*parts.shape[:-1], heads, width)
    across = np.moveaxis(split, 0, -2 if rng.integers(2) else -3)  # within each head, or in a row
    fused = across.reshape(*shape[:-1], count * shape[-1])
    fused = fused.T if rng.integers(2) else fused
    layout = split_fused(parts, fused.astype(np.float32))
    assert layout is not None
    np.testing.assert_allclose(layout.apply(fused), parts)
    assert split_fused(parts, rng.normal(size=fused.shape)) is None
    assert split_fused([*parts, parts[0][..., :1]], fused) is None
