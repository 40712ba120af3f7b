"""NumPy's own streams, by the names and with the checks of the others."""

import numpy as np
import pytest

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import numpy, numpy_generator
from tests.noise.draws import same_bits


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_legacy(seed, dtype):
    stream, theirs = numpy(seed), np.random.RandomState(seed)
    for shape in [(3,), (1, 4, 8, 8), (), (2, 3)]:
        assert same_bits(stream.normal(shape, dtype), np.array(theirs.randn(*shape)).astype(dtype))


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_generator(seed, dtype):
    stream, theirs = numpy_generator(seed), np.random.default_rng(seed)
    for shape in [(3,), (1, 4, 8, 8), (2, 3)]:
        assert same_bits(stream.normal(shape, dtype), theirs.standard_normal(shape, dtype))
        assert same_bits(stream.uniform(shape, dtype), theirs.random(shape, dtype))


def test_known_values():
    legacy = [1.76405235, 0.40015721, 0.97873798, 2.2408932]
    generator = [0.12573022, -0.13210486, 0.64042265, 0.10490012]
    np.testing.assert_allclose(numpy(0).normal(4, "float64"), legacy, rtol=0, atol=0.5e-8)
    np.testing.assert_allclose(
        numpy_generator(0).normal(4, "float64"), generator, rtol=0, atol=0.5e-8
    )


@pytest.mark.parametrize(("make", "above"), [(numpy, 2**32), (numpy_generator, 2**64)])
def test_what_does_not_fit_is_refused(make, above):
    for seed in [-1, above, 0.5, "1", None]:
        with pytest.raises(ConfigError, match="seed"):
            make(seed)
    with pytest.raises(ConfigError, match="float32 or float64"):
        make(0).normal(3, "bfloat16")
    with pytest.raises(ShapeError, match="shape"):
        make(0).normal((2**20, 2**20))
