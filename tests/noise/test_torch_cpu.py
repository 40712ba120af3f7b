"""The stream is PyTorch's: the same words, the same layout of blocks, the same value kept."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import torch_cpu
from refdiff.noise.torch_cpu import TorchCpu

TORCH = {np.float32: torch.float32, np.float64: torch.float64}
# The float32 bound is derived where the stream is. In float64 one side errs by, in units of 2^-53,
# relative: log 2 (1 ulp), of which the square root halves 1, its rounding 1, sin or cos 2 (1 ulp).
# A unit is at most 1 ulp of the product, whose rounding is 1/2: 4.5 a side.
ULPS = {np.float32: 4, np.float64: 9}
FLOOR = 1e-6  # where cos or sin vanish, 17 units of 1e-8 are far below an ulp of this

seeds = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 100)
shapes = (
    st.lists(st.integers(0, 40), max_size=2)
    | st.lists(st.integers(0, 17), max_size=3)
    | st.integers(0, 5000).map(lambda size: [size])
)
draws = st.lists(
    st.tuples(st.sampled_from(["normal", "uniform"]), shapes, st.sampled_from([*TORCH])),
    min_size=1,
    max_size=8,
)


def oracle(seed):
    generator = torch.Generator().manual_seed(seed)
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return lambda kind, shape, dtype: draw[kind](
        tuple(shape), dtype=TORCH[dtype], generator=generator
    ).numpy()


def ulps(ours, theirs):
    """The greatest distance in units in the last place, for values below FLOOR those of FLOOR."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    unit = np.spacing(np.maximum(np.abs(theirs), theirs.dtype.type(FLOOR)))
    return (np.abs(ours - theirs) / unit).max(initial=0)


def first_wrong(seed, stream, script):
    """The first draw of the script in which the stream is not PyTorch's, or None."""
    theirs = oracle(seed)
    for i, (kind, shape, dtype) in enumerate(script):
        allowed = ULPS[dtype] if kind == "normal" else 0
        if ulps(getattr(stream, kind)(shape, dtype), theirs(kind, shape, dtype)) > allowed:
            return i
    return None


@settings(max_examples=1000, deadline=None)
@given(seed=seeds, script=draws)
def test_any_draws_one_after_the_other(seed, script):
    assert first_wrong(seed, torch_cpu(seed), script) is None


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("count", range(50))
def test_every_small_count(dtype, count):
    script = [("normal", [count], dtype), ("normal", [1], dtype), ("uniform", [1], dtype)]
    assert first_wrong(7, torch_cpu(7), script) is None


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("shape", [(1, 4, 64, 64), (2_000_003,)])
def test_large_draws(shape, dtype):
    assert first_wrong(1234, torch_cpu(1234), [("normal", shape, dtype)]) is None


def test_known_values():
    values = torch_cpu(42).normal((4, 4))
    assert values[0] == pytest.approx([1.9269153, 1.4872841, 0.9007172, -2.1055212], rel=2**-22)


def test_two_million_take_well_under_a_second():
    torch_cpu(0).normal(1000)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        torch_cpu(0).normal(2_000_000)
        took.append(time.perf_counter() - start)
    assert min(took) < 1


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**64 - 1, 2**32, 2**32 + 5, -5, np.int64(3)])
def test_seeds_at_the_ends(seed):
    assert first_wrong(int(seed), torch_cpu(seed), [("normal", [20], np.float32)]) is None


def test_streams_are_apart():
    one, two = torch_cpu(3), torch_cpu(3)
    first = one.normal(5)
    np.testing.assert_array_equal(two.normal(5), first)
    assert not np.array_equal(one.normal(5), first)


def test_defaults_and_bare_sizes():
    assert torch_cpu(0).normal(3).dtype == torch_cpu(0).uniform((2,)).dtype == np.float32
    assert torch_cpu(0).normal(()).shape == ()
    assert torch_cpu(0).normal((0, 3)).shape == (0, 3)
    assert torch_cpu(0).normal((4, np.int64(5)), "float64").shape == (4, 5)


# What must be refused.


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**400, 1.5, "3", None, True])
def test_a_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        torch_cpu(seed)


@pytest.mark.parametrize(
    "shape",
    [
        *[(-1,), (3, -2), -5, (0, -1), (2**40,), (0, 2**70), (2**16, 2**16), [1] * 65],
        *["ab", None, (1.5,), ("3",), ((2, 3),)],
    ],
)
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_a_shape_is_refused_and_nothing_drawn(draw, shape):
    stream = torch_cpu(9)
    with pytest.raises(ShapeError, match="shape"):
        getattr(stream, draw)(shape)
    assert first_wrong(9, stream, [("normal", [20], np.float32)]) is None


@pytest.mark.parametrize("dtype", [np.float16, np.int32, "complex64", "nonsense", object])
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_a_dtype_is_refused(draw, dtype):
    with pytest.raises(ConfigError, match="float32 or float64"):
        getattr(torch_cpu(0), draw)(4, dtype)


# The comparison can say no: each stream has one fault, and the draw it spoils is named.


class TailKept(TorchCpu):
    def normal(self, shape, dtype=np.float32):
        whole = -(-shape[0] // 16) * 16
        return super().normal([whole], dtype)[: shape[0]]


class Forgetful(TorchCpu):
    def normal(self, shape, dtype=np.float32):
        self._kept = None
        return super().normal(shape, dtype)


class LowWordFirst(TorchCpu):
    def _words(self, count):
        words = super()._words(count)
        return words.reshape(-1, 2)[:, ::-1].ravel() if count % 2 == 0 else words


class OneWordTooMany(TorchCpu):
    def _words(self, count):
        return super()._words(count + 1)[:count]


@pytest.mark.parametrize(
    ("stream", "sizes", "dtype", "wrong"),
    [
        (TailKept, [16, 32, 17], np.float32, 2),
        (Forgetful, [16, 3, 32, 2], np.float32, 3),
        (LowWordFirst, [15], np.float32, 0),
        (LowWordFirst, [160], np.float64, 0),
        (OneWordTooMany, [64, 64], np.float32, 1),
        (TorchCpu, [64, 17, 3, 2, 5000], np.float32, None),
    ],
)
def test_a_wrong_stream_is_caught(stream, sizes, dtype, wrong):
    script = [("normal", [size], dtype) for size in sizes]
    assert first_wrong(11, stream(11), script) == wrong


def test_one_value_five_ulp_off_is_caught():
    theirs = oracle(0)("normal", [4096], np.float32)
    ours = theirs.copy()
    ours[1234] += 5 * np.spacing(ours[1234])
    assert ulps(ours, theirs) > ULPS[np.float32] >= ulps(theirs, theirs)
