"""How arrays lie in memory, told by compiled code, and results that it lays down itself."""

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import kernels
from refdiff.kernels.jit import jit
from refdiff.kernels.laid import (
    alike,
    in_a_row,
    in_order,
    in_pixels,
    like,
    numbers,
    pixels,
    with_channels,
)
from refdiff.kernels.scratch import LINE
from refdiff.op import Array

WAYS = st.sampled_from([slice(None)] * 6 + [slice(None, None, 2), slice(None, None, -1)])


@st.composite
def arrays(draw: Any, least: int = 1) -> Array:
    """With axes in any order, some with gaps or backwards, and often one number or none."""
    axes = draw(st.integers(least, 4))
    shape = draw(st.lists(st.integers(0, 4), min_size=axes, max_size=axes))
    whole = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    some = whole[tuple(draw(st.lists(WAYS, min_size=axes, max_size=axes)))]
    return some.transpose(draw(st.permutations(range(axes))))


def last(x: Array) -> Array:
    """The channels, where there are any, as the last axis."""
    return np.moveaxis(x, 1, -1) if x.ndim > 1 else x


@jit
def told(x: Array, y: Array) -> tuple[bool, bool, bool]:
    """How they lie."""
    return in_order(x), in_pixels(x), alike(x, y)


@jit
def copied(x: Array) -> Array:
    """Number by number, in the order of memory."""
    y = like(x)
    some, to = numbers(x), numbers(y)
    for i in range(len(to)):
        to[i] = some[i]
    return y


@jit
def doubled(x: Array) -> Array:
    """Every channel twice. x [N,C,*] -> [N,2C,*]"""
    C = x.shape[1]
    y = with_channels(x, 2 * C)
    some, to = pixels(x), pixels(y)
    for n in range(some.shape[0]):
        for p in range(some.shape[1]):
            for c in range(2 * C):
                to[n, p, c] = some[n, p, c % C]
    return y


@given(x=arrays(), data=st.data())
@settings(max_examples=400, deadline=None)
def test_how_arrays_lie(x: Array, data: Any) -> None:
    y = np.empty(x.shape, np.float32) if data.draw(st.booleans()) else x
    flags = [(a.flags.c_contiguous, last(a).flags.c_contiguous) for a in (x, y)]
    together = any(a and b for a, b in zip(*flags, strict=True))
    assert told(x, y) == (*flags[0], together)
    by_the_interpreter = in_order.py_func(x), in_pixels.py_func(x)  # type: ignore[attr-defined]
    assert by_the_interpreter == flags[0]


@given(x=arrays())
@settings(max_examples=200, deadline=None)
def test_a_result_like_another(x: Array) -> None:
    """Laid down alike, beginning with a line of caches, and nobody else's memory."""
    if not (x.flags.c_contiguous or last(x).flags.c_contiguous):
        x = x.copy()
    for run in (copied, copied.py_func):  # type: ignore[attr-defined]
        y, expected = run(x), x.copy()
        if x.size:
            assert [s for s, n in zip(y.strides, y.shape, strict=True) if n > 1] == [
                s for s, n in zip(x.strides, x.shape, strict=True) if n > 1
            ]
        assert not np.shares_memory(x, y)
        assert y.flags.writeable
        np.testing.assert_array_equal(y, expected)
    assert copied(x).ctypes.data % LINE == 0


@given(x=arrays(least=2))
@settings(max_examples=200, deadline=None)
def test_pixels_with_other_channels(x: Array) -> None:
    x = np.moveaxis(np.ascontiguousarray(last(x)), -1, 1)
    for run in (doubled, doubled.py_func):  # type: ignore[attr-defined]
        y = run(x)
        np.testing.assert_array_equal(y, np.concatenate([x, x], 1))
        assert last(y).flags.c_contiguous


@jit
def first_channels(x: Array) -> Array:
    """Of every pixel. x [N,*,C] -> [N P]"""
    some = in_a_row(x)
    y = np.empty(some.shape[0] * some.shape[1], np.float32)
    for n in range(some.shape[0]):
        for p in range(some.shape[1]):
            y[n * some.shape[1] + p] = some[n, p, 0]
    return y


@given(x=arrays(least=2))
@settings(max_examples=100, deadline=None)
def test_pixels_in_a_row(x: Array) -> None:
    x = np.ascontiguousarray(x)
    for run in (first_channels, first_channels.py_func):  # type: ignore[attr-defined]
        if x.shape[-1]:
            np.testing.assert_array_equal(run(x), x[..., 0].ravel())


def test_results_that_nobody_uses_are_given_back() -> None:
    x = np.zeros(1 << 21, np.float32)
    copied(x)
    tracemalloc.start()
    try:
        y = copied(x)
        for _ in range(5):
            copied(x)
        assert x.nbytes <= tracemalloc.get_traced_memory()[0] < 2 * x.nbytes
        del y
        assert tracemalloc.get_traced_memory()[0] < x.nbytes
    finally:
        tracemalloc.stop()


def test_a_result_lives_as_long_as_it_is_used() -> None:
    """Its memory is given to no other meanwhile."""
    for _ in range(20):
        kept = [copied(np.full((64, 64), i, np.float32)) for i in range(20)]
        views = [y[1:, 1:].T for y in kept]
        del kept
        gc.collect()
        assert all((v == i).all() for i, v in enumerate(views))


def test_a_kernel_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of any module; what is missing within one is told as it is."""

    def without_numba(name: str) -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    with pytest.raises(AttributeError, match=r"module 'refdiff.kernels' has no attribute 'no'"):
        kernels.no  # noqa: B018
    monkeypatch.setattr(kernels, "import_module", without_numba)
    with pytest.raises(ModuleNotFoundError, match="numba"):
        kernels.no  # noqa: B018
