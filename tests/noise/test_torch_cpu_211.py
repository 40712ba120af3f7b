"""Half precision up to PyTorch 2.11, against C++ on PyTorch's own classes of half numbers.

The oracle draws from std::mt19937 and lets c10::Half and c10::BFloat16 round after every operation,
as PyTorch's own code did; the functions that round too are those of c10/util/BFloat16-math.h.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from refdiff.noise import torch_cpu, torch_cpu_211
from refdiff.noise.torch_cpu_211 import TorchCpu211
from tests.noise.compiled import answer, build
from tests.noise.draws import same_bits

SOURCE = r"""
#include <c10/util/BFloat16-math.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

template <class T> void transform(T* x) {
  for (int j = 0; j < 8; ++j) {
    const T u = 1 - x[j], v = x[j + 8];
    const T r = std::sqrt(-2 * std::log(u)), a = 2.0f * 3.14159265358979323846 * v;
    x[j] = r * std::cos(a) * T(1) + T(0);
    x[j + 8] = r * std::sin(a) * T(1) + T(0);
  }
}

template <class T> void draw(unsigned seed, int n, int digits, bool normal) {
  std::mt19937 words(seed);
  const auto uniform = [&] { return T(float(words() % (1u << digits)) / float(1u << digits)); };
  std::vector<T> x;
  for (int i = 0; i < n; ++i) x.push_back(uniform());
  for (int i = 0; normal && i + 16 <= n; i += 16) transform(&x[i]);
  if (normal && n % 16) {
    for (int i = n - 16; i < n; ++i) x[i] = uniform();
    transform(&x[n - 16]);
  }
  for (const T value : x) { const float f = value; std::fwrite(&f, 4, 1, stdout); }
}

int main(int, char** a) {
  const unsigned seed = std::strtoul(a[2], 0, 10);
  if (a[1][0] == 'f') draw<c10::Half>(seed, std::atoi(a[3]), 11, a[4][0] == 'n');
  else draw<c10::BFloat16>(seed, std::atoi(a[3]), 8, a[4][0] == 'n');
}
"""
HALVES = ["float16", "bfloat16"]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    headers = Path(torch.__file__).parent / "include"
    folder = tmp_path_factory.mktemp("halves")
    return build(folder, SOURCE, "-std=c++20", "-isystem", str(headers))


def is_theirs(oracle, stream, seed, count, kind, dtype):
    theirs = answer(oracle, np.float32, dtype, seed, count, kind)
    ours = getattr(stream, kind)(count, dtype)
    return same_bits(ours.astype(np.float32), theirs)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_any_count(oracle, kind, dtype):
    draw = np.random.default_rng(1)
    for count in [16, 17, 31, 32, *draw.integers(16, 3000, 20), 100_003]:
        seed = int(draw.integers(2**32))
        assert is_theirs(oracle, torch_cpu_211(seed), seed, count, kind, dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_all_other_draws_are_those_of_later_releases(dtype):
    old, new = torch_cpu_211(5), torch_cpu(5)
    for kind, count, name in [
        ("normal", 15, dtype),
        ("normal", 40, "float32"),
        ("normal", 3, dtype),
        ("uniform", 9, "float64"),
        ("normal", 48, "float64"),
        ("uniform", 9, "float32"),
    ]:
        assert same_bits(getattr(old, kind)(count, name), getattr(new, kind)(count, name))


@pytest.mark.parametrize(("dtype", "longest"), [("float16", 3.91), ("bfloat16", 3.34)])
def test_tails_are_short(dtype, longest):
    assert np.abs(torch_cpu_211(0).normal(2**18, dtype).astype(np.float64)).max() <= longest
    assert np.abs(torch_cpu(0).normal(2**18, dtype).astype(np.float64)).max() > 4


class RoundedOnce(TorchCpu211):
    """The fault to be seen: the right uniforms, but only the last result rounded."""

    def _normals(self, count, dtype):
        return super()._normals(count, dtype) if count < 16 else self._rounded(count, dtype)

    def _rounded(self, count, dtype):
        u1, u2 = self._uniforms(count, dtype).astype(float).reshape(-1, 2, 8).swapaxes(0, 1)
        r, a = np.sqrt(-2 * np.log(1 - u1)), 2 * np.pi * u2
        half = torch.from_numpy(np.stack([r * np.cos(a), r * np.sin(a)], 1).ravel())
        return half.to(getattr(torch, dtype)).float().numpy()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("stream", [torch_cpu, RoundedOnce])
def test_another_rounding_is_caught(oracle, stream, dtype):
    assert not is_theirs(oracle, stream(3), 3, 160, "normal", dtype)
