"""The stream is PyTorch's: the same words, the same layout of blocks, the same value kept."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import per_sample, torch_cpu
from refdiff.noise.source import narrowed
from refdiff.noise.torch_cpu import TorchCpu
from tests.noise.draws import first_wrong as first_difference
from tests.noise.draws import same_bits, scripts, seeds, ulps

TORCH = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
# In float64 one side errs by, in units of 2^-53, relative: log 2 (1 ulp), of which the square root
# halves 1, its rounding 1, sin or cos 2 (1 ulp). A unit is at most 1 ulp of the product, whose
# rounding is 1/2: 4.5 a side.
ULPS = 9
FLOOR = 1e-6  # where cos or sin vanish, an ulp of them is far below one of this


def torch_dtype(dtype):
    return TORCH[dtype if isinstance(dtype, str) else np.dtype(dtype).name]


def plain(tensor):
    """A tensor as an array; NumPy has no bfloat16, so that comes as float32."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def oracle(seed):
    generator = torch.Generator().manual_seed(seed)
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return lambda kind, shape, dtype: plain(
        draw[kind](tuple(shape), dtype=torch_dtype(dtype), generator=generator)
    )


def agree(kind, dtype, ours, theirs):
    """Equal in every bit, but for normals in float64."""
    if kind == "normal" and ours.dtype == np.float64:
        return ulps(ours, theirs, FLOOR) <= ULPS
    return same_bits(ours, theirs)


def first_wrong(seed, stream, script):
    return first_difference(stream, oracle(seed), script, agree)


@settings(max_examples=1000, deadline=None)
@given(seed=seeds, script=scripts(["normal", "uniform"], [*TORCH]))
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
        start = time.process_time()
        torch_cpu(0).normal(2_000_000)
        took.append(time.process_time() - start)
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


# Rounding to bfloat16.


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, max_value=2.0**100)))
def test_bfloat16_is_rounded_as_torch_rounds(values):
    x = np.array(values, np.float32)
    assert same_bits(narrowed(x, "bfloat16"), plain(torch.from_numpy(x).bfloat16()))


# A stream for each sample, as diffusers' randn_tensor.


@settings(max_examples=100, deadline=None)
@given(
    some=st.lists(seeds, min_size=1, max_size=4),
    batch=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 9), max_size=3),
    dtype=st.sampled_from([*TORCH]),
)
def test_per_sample_is_randn_tensor(some, batch, sizes, dtype):
    from diffusers.utils.torch_utils import randn_tensor

    shape = (batch if len(some) == 1 else len(some), *sizes)
    generators = [torch.Generator().manual_seed(seed) for seed in some]
    ours = [torch_cpu(seed) for seed in some]
    for _ in range(2):
        theirs = plain(randn_tensor(shape, generator=list(generators), dtype=TORCH[dtype]))
        assert agree("normal", dtype, per_sample(ours, shape, dtype), theirs)


@pytest.mark.parametrize(("count", "shape"), [(2, (3, 4)), (0, (0, 4)), (0, (2,)), (2, ())])
def test_per_sample_refuses_another_number_of_streams(count, shape):
    with pytest.raises(ShapeError, match="streams cannot fill"):
        per_sample([torch_cpu(i) for i in range(count)], shape)


# What must be refused.


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**400, 1.5, "3", None, True, np.arange(2)])
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


@pytest.mark.parametrize(
    "dtype", [np.int32, "complex64", "nonsense", "f4,(", "(", object, ">f4", ["bfloat16"], b"f4,"]
)
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_a_dtype_is_refused(draw, dtype):
    with pytest.raises(ConfigError, match="float16, bfloat16, float32 or float64"):
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


class RemainderDrawn(TorchCpu):
    def normal(self, shape, dtype=np.float32):
        return narrowed(super().normal(shape), dtype)


@pytest.mark.parametrize(
    ("stream", "sizes", "dtype", "wrong"),
    [
        (TailKept, [16, 32, 17], "float32", 2),
        (Forgetful, [16, 3, 32, 2], "float32", 3),
        (LowWordFirst, [15], "float32", 0),
        (LowWordFirst, [160], "float64", 0),
        (OneWordTooMany, [64, 64], "float32", 1),
        (RemainderDrawn, [16, 15, 17], "float16", 2),
        (TorchCpu, [64, 17, 3, 2, 5000], "float32", None),
        (TorchCpu, [64, 17, 3, 2, 5000], "bfloat16", None),
    ],
)
def test_a_wrong_stream_is_caught(stream, sizes, dtype, wrong):
    script = [("normal", [size], dtype) for size in sizes]
    assert first_wrong(11, stream(11), script) == wrong


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1), ("float64", 10)])
def test_one_value_off_is_caught(dtype, error):
    theirs = oracle(0)("normal", [4096], dtype)
    ours = theirs.copy()
    ours[1234] += error * np.spacing(ours[1234])
    assert agree("normal", dtype, theirs, theirs)
    assert not agree("normal", dtype, ours, theirs)
