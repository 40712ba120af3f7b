"""Keys, words, uniforms and normals are JAX's, in both modes of its counter."""

import contextlib

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import noise
from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import erf_inv as inverse
from refdiff.noise import jax as ours
from refdiff.noise import threefry
from tests.noise.draws import same_bits, ulps

DTYPES = ["float16", "bfloat16", "float32", "float64"]
MODES = [True, False]
seeds = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 100)
# few shapes, because JAX compiles for each; other counts are in the tests of words
shapes = st.sampled_from([(5, 13)])


@contextlib.contextmanager
def mode(partitionable, x64):
    with jax.threefry_partitionable(partitionable), jax.enable_x64(x64):
        yield


def plain(array):
    """A JAX array as NumPy's; bfloat16 as float32."""
    array = np.array(array)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def draw(kind, seed, shape, dtype, partitionable):
    """JAX's numbers; float64 in 64-bit mode."""
    with mode(partitionable, dtype == "float64"):
        return plain(getattr(jax.random, kind)(jax.random.key(seed), shape, dtype))


def key(seed, dtype, partitionable):
    return noise.jax_key(seed, partitionable=partitionable, x64=dtype == "float64")


def horner_error(coefficients, t):
    """What Horner's rule of degree n errs by, relative to the polynomial, in units of 2^-53.

    It is 2n units of sum |c_k t^k| (Higham 2002, eq. 5.3).
    """
    size = np.polyval(np.abs(coefficients), np.abs(t)) * 2 * (len(coefficients) - 1)
    return size / np.abs(np.polyval(coefficients, t))


def log1p_error():
    """What log1p errs by, relative, in units of 2^-53: its last sum by 2, and by its fraction."""
    y = np.linspace(1 - np.sqrt(2), -1e-6, 10001)
    n, d = inverse.LOG1P_N, inverse.LOG1P_D
    share = np.abs(y**3 * np.polyval(n, y) / np.polyval(d, y) / np.log1p(y))
    return 2 + (share * (horner_error(n, y) + horner_error(d, y) + 4)).max()


def normal_error():
    """What √2 x P(w) errs by, relative, in units of 2^-53.

    An error of w, that of log1p and 3 for the root and the shift, moves P by |w P'(w)|; two more
    units are the products.
    """
    worst, below = 0.0, 0.0
    for limit, centre, coefficients in inverse.DOUBLE:
        root = np.linspace(np.sqrt(below), np.sqrt(min(limit, 40.0)), 1001)
        argument = root if below else root**2
        slope = np.abs(np.polyval(np.polyder(coefficients), argument - centre)) * argument
        moved = (log1p_error() + 3) * slope / np.polyval(coefficients, argument - centre)
        total = horner_error(coefficients, argument - centre) + moved + 2
        worst, below = max(worst, total.max()), limit
    return worst


ULPS = 2 * normal_error()  # both sides; a unit is at most an ulp


def agree(kind, dtype, mine, theirs):
    """Equal in every bit, but for normals in float64."""
    if kind == "normal" and dtype == "float64":
        return ulps(mine, theirs, 1e-300) <= ULPS
    return same_bits(mine, theirs)


# Random123's known answers, tests/kat_vectors: "threefry2x32 20", counter, key, output.
@pytest.mark.parametrize(
    ("counter", "words", "output"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_cipher_s_known_answers(counter, words, output):
    x0, x1 = (np.array([word], np.uint32) for word in counter)
    assert [int(y[0]) for y in threefry.threefry(words, x0, x1)] == list(output)


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_words(width, count):
    for partitionable in MODES:
        with mode(partitionable, True):
            theirs = np.array(jax.random.bits(jax.random.key(9), (count,), f"uint{width}"))
        bits = threefry.partitionable_bits if partitionable else threefry.original_bits
        assert same_bits(bits((0, 9), count, width), theirs)


@settings(max_examples=50, deadline=None)
@given(
    seed=seeds,
    shape=shapes,
    dtype=st.sampled_from(DTYPES),
    kind=st.sampled_from(["normal", "uniform"]),
    partitionable=st.booleans(),
)
def test_draws(seed, shape, dtype, kind, partitionable):
    mine = getattr(key(seed, dtype, partitionable), kind)(shape, dtype)
    assert agree(kind, dtype, mine, draw(kind, seed, shape, dtype, partitionable))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("partitionable", MODES)
def test_a_large_draw(dtype, partitionable):
    """So many that the far tail is met: in float32 all of its 2^23 uniforms are likely."""
    shape = (4_000_003,) if dtype == "float32" else (400_003,)
    mine = key(5, dtype, partitionable).normal(shape, dtype)
    assert agree("normal", dtype, mine, draw("normal", 5, shape, dtype, partitionable))


def test_the_tails_in_float64():
    x = 1 - 2.0 ** -np.linspace(1, 53, 5000)
    x = np.concatenate([x, -x])
    with jax.enable_x64(True):
        theirs = np.array(jax.lax.erf_inv(x))
    assert agree("normal", "float64", inverse.erf_inv(x), theirs)


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    count=st.sampled_from([0, 1, 3]),
    number=st.integers(0, 2**32 - 1),
    x64=st.booleans(),
)
def test_keys(seed, count, number, x64):
    for partitionable in MODES:
        mine = noise.jax_key(seed, partitionable=partitionable, x64=x64)
        with mode(partitionable, x64):
            theirs = jax.random.key(seed)
            parts = jax.random.key_data(jax.random.split(theirs, count))
            folded = jax.random.key_data(jax.random.fold_in(theirs, number))
            assert mine.words == tuple(map(int, jax.random.key_data(theirs)))
        assert [part.words for part in mine.split(count)] == [tuple(map(int, p)) for p in parts]
        assert mine.fold_in(number).words == tuple(map(int, folded))
        assert all(part.partitionable == partitionable for part in mine.split(count))


@pytest.mark.parametrize("partitionable", MODES)
def test_the_stream_is_the_idiom(partitionable):
    stream = noise.jax(3, partitionable=partitionable)
    with mode(partitionable, False):
        theirs = jax.random.key(3)
        assert same_bits(stream.normal((2, 5)), plain(jax.random.normal(theirs, (2, 5))))
        for _ in range(3):
            theirs, part = jax.random.split(theirs)
            assert same_bits(stream.normal(7), plain(jax.random.normal(part, (7,))))


def test_a_key_is_pure():
    one = noise.jax_key(1)
    np.testing.assert_array_equal(one.normal(9), one.normal(9))
    assert one.split() == noise.jax_key(1).split()


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.0, "1", True])
def test_a_seed_is_refused(seed):
    for make in (noise.jax, noise.jax_key):
        with pytest.raises(ConfigError, match="seed"):
            make(seed)


@pytest.mark.parametrize("number", [-1, 2**32, 0.5])
def test_a_number_to_fold_in_is_refused(number):
    with pytest.raises(ConfigError, match="seed"):
        noise.jax_key(0).fold_in(number)


def test_what_does_not_fit_is_refused():
    for shape in [(-1,), (2**40,), "ab"]:
        with pytest.raises(ShapeError, match="shape"):
            noise.jax(0).normal(shape)
    with pytest.raises(ConfigError, match="float16, bfloat16, float32 or float64"):
        noise.jax_key(0).uniform(3, "int32")
    with pytest.raises(ShapeError, match="more than one key gives"):
        noise.jax_key(0, partitionable=False).normal(2**31, "float64")


# The comparison can say no.


def swapped(words, count, width):
    high, low = threefry.partitionable_pairs(words, count)
    return low.astype(np.uint64) << np.uint64(32) | high


def in_pairs(words, count, width):
    x = np.arange(count, dtype=np.uint32)
    return np.stack(threefry.threefry(words, x[::2], x[1::2]), 1).ravel()


@pytest.mark.parametrize(
    ("name", "fault", "dtype", "partitionable"),
    [
        ("partitionable_bits", swapped, "float64", True),
        ("original_bits", in_pairs, "float32", False),
        ("erf_inv", lambda x: np.float32(1 + 2**-23) * inverse.erf_inv(x), "float32", True),
        ("erf_inv", lambda x: (1 + 1e-13) * inverse.erf_inv(x), "float64", True),
    ],
)
def test_a_fault_is_caught(monkeypatch, name, fault, dtype, partitionable):
    import sys

    theirs = draw("normal", 4, (8,), dtype, partitionable)
    assert agree("normal", dtype, key(4, dtype, partitionable).normal(8, dtype), theirs)
    monkeypatch.setattr(sys.modules["refdiff.noise.jax"], name, fault)
    assert not agree("normal", dtype, key(4, dtype, partitionable).normal(8, dtype), theirs)


def test_the_modes_differ():
    assert not same_bits(key(0, "float32", True).normal(8), key(0, "float32", False).normal(8))
    assert ours is noise.jax
