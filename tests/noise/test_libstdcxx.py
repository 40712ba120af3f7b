"""The stream is GCC's: a C++ program of the standard library's own words answers the same draws."""

import numpy as np
import pytest

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import libstdcxx
from refdiff.noise.libstdcxx import Libstdcxx
from tests.noise.compiled import answer, build
from tests.noise.draws import ulps

# seed, then f<count> or d<count> for every draw; all numbers come as doubles
SOURCE = r"""
#include <cstdio>
#include <cstdlib>
#include <random>

int main(int count, char** arguments) {
  std::mt19937 engine(std::strtoull(arguments[1], nullptr, 10));
  std::normal_distribution<float> single;
  std::normal_distribution<double> twice;
  for (int i = 2; i < count; ++i)
    for (int n = std::atoi(arguments[i] + 1); n > 0; --n) {
      const double z = arguments[i][0] == 'f' ? single(engine) : twice(engine);
      std::fwrite(&z, sizeof z, 1, stdout);
    }
}
"""
# A logarithm within 1 ulp, in float by another library: 2 units, of which the root halves 1. The
# quotient, the root and the product are the same operations, but round what differs: 1 ulp.
ULPS = 2


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    return build(tmp_path_factory.mktemp("libstdcxx"), SOURCE)


def first_wrong(oracle, stream, seed, script):
    """The first draw in which the stream is not the program's, or None."""
    theirs = answer(oracle, np.float64, seed, *(f"{dtype[0]}{n}" for dtype, n in script))
    for i, (dtype, n) in enumerate(script):
        expected, theirs = theirs[:n], theirs[n:]
        kind = "float32" if dtype == "float" else "float64"
        if ulps(stream.normal(n, kind), expected.astype(kind), 1e-300 if n else 0) > ULPS:
            return i
    return None


def test_any_draws_one_after_the_other(oracle):
    draw = np.random.default_rng(0)
    for _ in range(150):
        seed = int(draw.integers(0, 2**64, dtype=np.uint64))
        kinds = draw.choice(["float", "double"], 6)
        counts = draw.choice([0, 1, 2, 3, 7, 100, 1001], 6)
        script = [(str(kind), int(n)) for kind, n in zip(kinds, counts, strict=True)]
        assert first_wrong(oracle, libstdcxx(seed), seed, script) is None


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_a_large_draw(oracle, dtype):
    assert first_wrong(oracle, libstdcxx(1), 1, [(dtype, 1_000_001), (dtype, 3)]) is None


def test_what_does_not_fit_is_refused():
    for seed in [2**64, 0.5, "1", None]:
        with pytest.raises(ConfigError, match="seed"):
            libstdcxx(seed)
    with pytest.raises(ConfigError, match="float32 or float64"):
        libstdcxx(0).normal(3, "float16")
    with pytest.raises(ShapeError, match="shape"):
        libstdcxx(0).normal(-1)


class Eager(Libstdcxx):
    """Draws a pair more than it needs."""

    def _pairs(self, count, kind):
        return super()._pairs(count + 1, kind)[:count]


class KeptFirst(Libstdcxx):
    def _pairs(self, count, kind):
        return super()._pairs(count, kind)[:, ::-1]


class HighWordFirst(Libstdcxx):
    def _words(self, count):
        return super()._words(count).reshape(-1, 2)[:, ::-1].ravel()


class Forgetful(Libstdcxx):
    def _normals(self, count, dtype):
        self._kept.clear()
        return super()._normals(count, dtype)


@pytest.mark.parametrize(
    ("stream", "wrong"),
    [(Eager, 1), (KeptFirst, 0), (HighWordFirst, 0), (Forgetful, 1), (Libstdcxx, None)],
)
def test_a_wrong_stream_is_caught(oracle, stream, wrong):
    assert first_wrong(oracle, stream(4), 4, [("double", 5), ("double", 40)]) == wrong
