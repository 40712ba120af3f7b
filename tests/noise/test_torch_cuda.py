"""The CUDA stream: published numbers of real GPUs, and cuRAND simulated a thread at a time.

No GPU runs here. The published numbers are from issues of pytorch/pytorch, printed to 4 decimals.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import torch_cuda, torch_cuda_one_wave
from refdiff.noise.philox import philox
from refdiff.noise.torch_cuda import BLOCK, GPUS, TorchCuda
from tests.noise.draws import same_bits, scripts

# The GPU's sine and cosine are off by about 2^-21, and no radius here is above 8.
FAST_SINE = 8 * 2.0**-21
PRINTED = 0.5e-4
# Between float32 and float64 the angle, in two roundings, is off by up to 2^-21. The uniform is by
# up to 2^-25, which moves r^2 near 1 by 2^-24: r by as much over 2r, or at most by 2^-12.
ANGLE = 8 * 2.0**-21
NEAR_ONE = 2.0**-12


def gpu(seed, name):
    sms, threads = GPUS[name]
    return torch_cuda(seed, sms=sms, threads_per_sm=threads)


# Random123's known answers, tests/kat_vectors: "philox4x32 10", counter, key, output.
@pytest.mark.parametrize(
    ("counter", "seed", "output"),
    [
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([2**32 - 1] * 4, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            0x299F31D0A4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_cipher_s_known_answers(counter, seed, output):
    words = philox(tuple(np.array([word], np.uint32) for word in counter), seed)
    assert [int(word[0]) for word in words] == output


# Published by users of the GPU named; the rows and columns are those that PyTorch prints.
ENDS = np.ix_([0, 1, 2, -3, -2, -1], [0, 1, 2, -3, -2, -1])
A4000 = [
    [2.8731, 5.2727, 2.9889, 1.6853, 9.6331, 6.6319],
    [3.9968, 3.8097, 5.7328, 4.4029, 3.9804, 7.4698],
    [6.5552, 4.0857, 4.2315, 2.7704, 3.5479, 3.3063],
    [8.6297, 2.3137, 6.2596, 7.9358, 4.4697, 2.7475],
    [7.0551, 7.8583, 3.9990, 4.1139, 8.9315, 4.2042],
    [2.7337, 2.2106, 7.7815, 8.2207, 6.5395, 4.2604],
]
SOME_28_SMS = [
    [0.1940, 2.1614, -0.1721, 1.4540, -2.7733, -0.8932],
    [-0.4574, 0.8063, 0.1580, 0.1124, 0.2769, -1.2535],
    [1.1346, -0.6329, -0.9147, -1.0001, -1.1552, -0.6955],
    [-0.4861, 0.3358, 1.0578, -0.7282, 0.5087, 0.1318],
    [0.7881, 0.8339, -1.1424, -0.6297, -1.1112, -0.4091],
    [-1.2356, -0.4083, -0.4695, -0.4841, 1.2850, -0.0282],
]


def test_above_one_wave_on_an_rtx_a4000():
    """Issue #97097: normal_(5, 5**.5) of 100000 numbers, where 73728 threads fit."""
    values = gpu(14, "rtx-a4000").normal((1000, 100))[ENDS]
    spread = math.sqrt(5)
    assert np.abs(spread * values + 5 - A4000).max() <= PRINTED + spread * FAST_SINE


@pytest.mark.parametrize(
    ("name", "last"),
    [("h100-sxm", [-0.6970, -0.7780, 0.3267]), ("a100", [0.1549, -0.6797, -0.1656])],
)
def test_many_waves_on_an_a100_and_an_h100(name, last):
    """Issue #143086: 9483264 numbers, more than eight steps of every thread."""
    values = gpu(1, name).normal((1, 49 * 12 * 112 * 144))[0]
    published = [-0.2963, 2.6764, -0.1408, *last]
    assert np.abs(values[[0, 1, 2, -3, -2, -1]] - published).max() <= PRINTED + FAST_SINE


def test_above_one_wave_on_28_multiprocessors():
    """Issue #158398 names no GPU, but of 64 to 512 blocks only 168 = 28 * 6 give its last row."""
    values = torch_cuda(42, sms=28).normal((1, 64, 2048))[0][ENDS]
    assert np.abs(values - SOME_28_SMS).max() <= PRINTED + FAST_SINE
    others = [TorchCuda(42, blocks) for blocks in range(64, 513, 13) if blocks != 168]
    for other in others:
        last = other.normal((64, 2048))[-1, [0, 1, 2, -3, -2, -1]]
        assert np.abs(last - SOME_28_SMS[-1]).max() > 0.1


@pytest.mark.parametrize(
    ("seed", "shape", "where", "published"),
    [
        # issue #79496; #62467 on an RTX A6000; the docstring of A1111's modules/rng_philox.py
        (10, (3,), np.s_[:], [-0.1029, 1.6810, -0.2708]),
        (43, (1, 3, 128, 128), np.s_[0, :, 0, 0], [1.9983, 0.8704, 2.1127]),
        (0, (3, 4), np.s_[0], [-0.92466259, -0.42534415, -2.6438457, 0.14518388]),
        (0, (3, 4), np.s_[1], [-0.12086647, -0.57972564, -0.62285122, -0.32838709]),
        (0, (3, 4), np.s_[2], [-1.07454231, -0.36314407, -1.67105067, 2.26550497]),
    ],
)
def test_one_wave(seed, shape, where, published):
    printed = PRINTED if max(len(f"{abs(x):.8f}".rstrip("0")) for x in published) < 8 else 0
    for stream in (torch_cuda(seed, sms=84), torch_cuda_one_wave(seed)):
        assert np.abs(stream.normal(shape)[where] - published).max() <= printed + FAST_SINE


# cuRAND and PyTorch's kernel, simulated: one thread after the other, one number at a time.


class CurandThread:
    """The state that curand_init(seed, thread, offset) sets up."""

    def __init__(self, seed, thread, offset):
        self.seed, self.thread, self.step = seed, thread, offset // 4

    def curand4(self):
        step, self.step = self.step, self.step + 1
        c = [step & 0xFFFFFFFF, step >> 32, self.thread, 0]
        k = [self.seed & 0xFFFFFFFF, self.seed >> 32]
        for _ in range(10):
            p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [
                *(q >> 32 ^ c[1] ^ k[0], q & 0xFFFFFFFF),
                *(p >> 32 ^ c[3] ^ k[1], p & 0xFFFFFFFF),
            ]
            k = [k[0] + 0x9E3779B9 & 0xFFFFFFFF, k[1] + 0xBB67AE85 & 0xFFFFFFFF]
        return c


def f32(x):
    return float(np.float32(x))


def numbers(words, kind, dtype):
    """What one call of curand_uniform4, normal4, uniform2_double or normal2_double returns."""
    if dtype == "float64":
        pairs = [words[0] ^ words[1] << 21, words[2] ^ words[3] << 21]
        uniforms = [z * 2.0**-53 + 2.0**-54 for z in pairs]
        angles = [2 * math.pi * uniforms[1]]
    else:
        uniforms = [f32(f32(w) * 2.0**-32 + 2.0**-33) for w in words]
        scale = f32(2 * math.pi) * 2.0**-32
        angles = [f32(f32(w) * scale + scale / 2) for w in words[1::2]]
    if kind == "uniform":
        return uniforms
    radii = [math.sqrt(-2 * math.log(u)) for u in uniforms[::2]]
    return [r * f(a) for r, a in zip(radii, angles, strict=False) for f in (math.sin, math.cos)]


def simulated(seed, blocks):
    offset = 0

    def draw(kind, shape, dtype):
        nonlocal offset
        count, each = math.prod(shape), 2 if dtype == "float64" else 4
        out = np.empty(count, np.float64)
        if count:
            threads = BLOCK * min((count + BLOCK - 1) // BLOCK, blocks)
            rounded = ((count - 1) // (threads * each) + 1) * threads * each
            for thread in range(threads):
                state = CurandThread(seed, thread, offset)
                for linear in range(thread, rounded, threads * each):
                    values = numbers(state.curand4(), kind, dtype)
                    for j, value in enumerate(values):
                        if linear + threads * j < count:
                            out[linear + threads * j] = value
            offset += rounded // (threads * each) * 4
        if dtype == "float16":
            out = out.astype(np.float32)
        out = out.astype(dtype)
        return np.where((out == 1) & (kind == "uniform"), out.dtype.type(0), out).reshape(shape)

    return draw


def agree(kind, dtype, ours, theirs):
    """Equal in every bit, but for float64 normals, where 2 ulp are a sine's and a product's."""
    if kind == "normal" and dtype == "float64":
        return np.allclose(ours, theirs, rtol=0, atol=8 * 4 * 2.0**-52)
    return same_bits(ours, theirs)


def first_wrong(seed, stream, blocks, script):
    theirs = simulated(seed % 2**64, blocks)
    for i, (kind, shape, dtype) in enumerate(script):
        if not agree(kind, dtype, getattr(stream, kind)(shape, dtype), theirs(kind, shape, dtype)):
            return i
    return None


sizes = st.sampled_from([0, 1, 5, 255, 256, 257, 1000, 1024, 1025, 2049]).map(lambda n: [n])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(-(2**63), 2**64 - 1),
    sms=st.integers(1, 3),
    script=scripts(["normal", "uniform"], ["float16", "float32", "float64"], sizes),
)
def test_any_draws_one_after_the_other(seed, sms, script):
    stream = torch_cuda(seed, sms=sms, threads_per_sm=300)
    assert first_wrong(seed, stream, sms, script[:4]) is None


def test_bfloat16_is_float32_rounded():
    pairs = [(torch_cuda(3, sms=2), torch_cuda(3, sms=2)) for _ in range(2)]
    for kind, (one, two) in zip(["normal", "uniform"], pairs, strict=True):
        half, single = getattr(one, kind)(5000, "bfloat16"), getattr(two, kind)(5000)
        assert np.abs(half - np.where(half == 0, half, single)).max() <= np.abs(single).max() / 256
        assert not (half.view(np.uint32) & 0xFFFF).any()


def test_a_late_step_has_two_words():
    stream = torch_cuda(3, sms=1, threads_per_sm=256)
    stream._step = 2**32 - 1
    theirs = [v for step in (2**32 - 1, 2**32) for v in numbers(thread_0(step), "uniform", "f4")]
    np.testing.assert_array_equal(stream.uniform(2048)[::256], np.array(theirs, np.float32))


def thread_0(step):
    return CurandThread(3, 0, 4 * step).curand4()


@pytest.mark.parametrize("name", GPUS)
def test_below_one_wave_all_are_equal(name):
    sms, threads = GPUS[name]
    wave = sms * (threads // BLOCK) * BLOCK
    whole, other = gpu(7, name).normal(wave), torch_cuda(7, sms=200).normal(wave)
    assert same_bits(whole, other)
    off = np.abs(torch_cuda_one_wave(7).normal(wave) - whole)
    assert off.max() <= NEAR_ONE + ANGLE
    assert np.mean(off > 2 * ANGLE) < 1e-3
    assert not same_bits(gpu(7, name).normal(wave + 1), torch_cuda(7, sms=200).normal(wave + 1))


def test_draws_of_a_latent_differ_from_card_to_card():
    latents = {torch_cuda(0, sms=sms).normal((1, 16, 128, 128)).tobytes() for sms in (28, 46, 82)}
    assert len(latents) == 3


# One wave: a draw is a step, whatever its size.


def test_one_wave_takes_a_step_a_draw():
    stream = torch_cuda_one_wave(2**40 + 7)
    for step, count in enumerate([3, 0, 700, 1]):
        states = [CurandThread(2**40 + 7, thread, 4 * step) for thread in range(count)]
        words = np.array([state.curand4() for state in states]).reshape(-1, 4)
        radius = np.sqrt(-2 * np.log(words[:, 0] * 2.0**-32 + 2.0**-33))
        turn = words[:, 1] * 2.0**-32 + 2.0**-33
        theirs = radius * np.sin(turn * f32(2 * math.pi))
        assert same_bits(stream.normal(count), theirs.astype(np.float32))


@pytest.mark.parametrize("seed", [-1, 2**64, 0.0, "0"])
def test_one_wave_refuses_a_seed(seed):
    with pytest.raises(ConfigError, match="seed"):
        torch_cuda_one_wave(seed)


# What must be refused.


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "3", None, True])
def test_a_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        torch_cuda(seed, sms=1)


@pytest.mark.parametrize(
    ("sms", "threads"), [(0, 1536), (-1, 1536), (70000, 1536), (1, 255), (1, 10**9), ("2", 256)]
)
def test_an_absurd_gpu_is_refused(sms, threads):
    with pytest.raises(ConfigError, match="of a GPU is an integer from"):
        torch_cuda(0, sms=sms, threads_per_sm=threads)


def test_what_does_not_fit_is_refused():
    for shape in [(-1,), (2**40,), "ab"]:
        with pytest.raises(ShapeError, match="shape"):
            torch_cuda(0, sms=1).normal(shape)
    with pytest.raises(ConfigError, match="float16, bfloat16, float32 or float64"):
        torch_cuda_one_wave(0).normal(3, "int8")


# The simulation and the published numbers can say no.


class CountsDraws(TorchCuda):
    """One step a draw, however many were taken."""

    def _drawn(self, count, make, each):
        before = self._step
        drawn = super()._drawn(count, make, each)
        self._step = before + (count > 0)
        return drawn


class FourInARow(TorchCuda):
    """A thread's numbers beside one another instead of a wave apart."""

    def _drawn(self, count, make, each):
        return super()._drawn(count, lambda words: [np.stack(make(words), 1).ravel()], each)


class CosineFirst(TorchCuda):
    def _drawn(self, count, make, each):
        return super()._drawn(count, lambda words: [x for x in make(words)[::-1]], each)


@pytest.mark.parametrize(
    ("stream", "sizes", "wrong"),
    [
        (CountsDraws, [300, 2049, 4], 2),
        (FourInARow, [5], 0),
        (CosineFirst, [5], 0),
        (TorchCuda, [300, 2049, 4], None),
    ],
)
def test_a_wrong_stream_is_caught(stream, sizes, wrong):
    script = [("normal", [size], "float32") for size in sizes]
    assert first_wrong(5, stream(5, 2), 2, script) == wrong


def test_another_gpu_is_caught_by_the_published_numbers():
    spread = math.sqrt(5)
    for stream in (gpu(14, "t4"), torch_cuda_one_wave(14)):
        values = stream.normal((1000, 100))[ENDS]
        assert np.abs(spread * values + 5 - A4000).max() > 1
