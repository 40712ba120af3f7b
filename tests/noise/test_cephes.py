"""log, sin and cos over the 2^24 arguments that a float32 uniform can make."""

import numpy as np

from refdiff.noise import cephes, fused
from tests.noise.draws import same_bits

CHUNK = 2**17


def uniforms(every=1):
    """All of them in chunks, or every so manieth, the odd ones and the even."""
    for start in range(0, 2**24, CHUNK * every):
        numbers = np.arange(start, start + CHUNK * every, every)
        yield (numbers + numbers // every % every).astype(np.float32) * np.float32(2**-24)


def functions(u):
    return [cephes.log(1 - u), cephes.log_xla(1 - u), *cephes.sincos(np.float32(2 * np.pi) * u)]


def once(a, b, c):
    """a b + c with one rounding: where the float64 sum is not exact its last bit is made odd.

    Rounding to odd and then to a format more than two bits shorter is rounding once (Boldo and
    Melquiond 2008, Theorem 1).
    """
    product, c = a.astype(np.float64) * b, np.float64(c)
    total = product + c
    seen = total - product
    rest = (product - (total - seen)) + (c - seen)  # Knuth's TwoSum: total + rest is the sum
    bits = np.ascontiguousarray(total).view(np.int64)
    step = np.where((rest > 0) == (total > 0), 1, -1)
    return (bits + np.where((rest != 0) & (bits % 2 == 0), step, 0)).view(np.float64).astype("f4")


def separate(a, b, c):
    """a b + c with two roundings, as a build without fused operations computes it."""
    return a.astype(np.float32) * b + c


def differing(monkeypatch, fma):
    """How many of the functions' chunks another way to fuse changes."""
    count = 0
    for u in uniforms(every=8):
        ours = functions(u)
        with monkeypatch.context() as patch:
            patch.setattr(cephes, "fma", fma)
            patch.setattr(fused, "fma", fma)
            count += sum(not same_bits(x, y) for x, y in zip(ours, functions(u), strict=True))
    return count


def test_every_sum_is_rounded_as_if_once(monkeypatch):
    assert differing(monkeypatch, once) == 0


def test_unfused_sums_are_caught(monkeypatch):
    assert differing(monkeypatch, separate) > 0


def test_the_polynomials_are_the_functions():
    """In units of 2^-24, relative; where cos vanishes, of the smallest cos around it."""
    worst = np.zeros(4)
    for u in uniforms():
        x, angle = (1 - u).astype(np.float64), (np.float32(2 * np.pi) * u).astype(np.float64)
        exact = [np.log(x), np.log(x), np.sin(angle), np.cos(angle)]
        error = np.abs(np.array(functions(u)) - exact) / np.maximum(np.abs(exact), 2e-7)
        worst = np.maximum(worst, error.max(axis=1) * 2**24)
    assert (worst <= [3.3, 3.3, 2, 2]).all(), worst
