"""The tree is torchsde's, bit for bit, and its increments are Brownian motion's."""

import functools
import warnings

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BatchedBrownianTree as Tree
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.errors import ConfigError, ShapeError
from refdiff.noise import brownian_noise, brownian_tree, torch_cpu, torch_cuda
from refdiff.noise.brownian_path import BrownianPath
from tests.noise.draws import same_bits

DTYPES = ["float16", "bfloat16", "float32", "float64"]
SHAPE = (2, 3, 4)
seeds = st.integers(0, 2**63 - 1) | st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 9))
times = st.floats(-0.5, 16) | st.sampled_from([0.03, 14.6, 0.0, 7.0, 7.000001, 7.0000025])
# two times that are one to 1e-6 have a test of their own
pairs = st.tuples(times, times).filter(lambda pair: pair[0] == pair[1] or not one_time(*pair))
queries = st.lists(pairs, min_size=1, max_size=6)


def one_time(a, b):
    """Whether they are one to 1e-6, before or after they are rounded to float32."""
    return round(a, 6) == round(b, 6) or round(float(np.float32(a)), 6) == round(
        float(np.float32(b)), 6
    )


def theirs(oracle, seed, t0, t1, dtype):
    x = torch.zeros(SHAPE, dtype=getattr(torch, dtype))
    tree = oracle(x, t0, t1, list(seed) if isinstance(seed, tuple) else seed)

    def query(ta, tb):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # times outside the tree
            answer = tree(ta, tb)
        return (answer.float() if dtype == "bfloat16" else answer).numpy()

    return query


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    ends=st.sampled_from([(0.03, 14.6), (14.6, 0.03), (0.0, 1.0), (0.1234567891, 7.0)]),
    dtype=st.sampled_from(DTYPES),
    queries=queries,
)
def test_any_queries_one_after_the_other(seed, ends, dtype, queries):
    mine, other = brownian_tree(seed, SHAPE, *ends, dtype), theirs(Tree, seed, *ends, dtype)
    for ta, tb in queries:
        # -0 is 0 here: torchsde's sign is a factor, of zeros too
        assert same_bits(mine(ta, tb) + 0, other(ta, tb) + 0)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, dtype=st.sampled_from(DTYPES), queries=queries)
def test_the_noise_sampler(seed, dtype, queries):
    mine = brownian_noise(seed, SHAPE, 0.03, 14.6, dtype)
    other = theirs(BrownianTreeNoiseSampler, seed, 0.03, 14.6, dtype)
    for a, b in queries:
        if np.float32(a) != np.float32(b):
            x, y = mine(a, b).astype(np.float64), other(a, b).astype(np.float64)
            # PyTorch's float32 root is off by up to an ulp, 2 units of 2^-24 relative; then a
            # quotient in the dtype: two of its units
            unit = max(2.0**-24, {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 0))
            tiny = 2.0**-24 if dtype == "float16" else 0.0  # its smallest number
            assert (np.abs(x - y) <= 4 * unit * np.abs(y) + tiny).all()


def test_two_times_that_are_one_to_1e_6():
    """No increment; torchsde splits an interval of no length and leaves rounding, a few 1e-17."""
    for dtype in ("float32", "float64"):
        mine = brownian_tree(0, SHAPE, 0.03, 14.6, dtype)(7.0000012, 7.0000009)
        other = theirs(Tree, 0, 0.03, 14.6, dtype)(7.0000012, 7.0000009)
        assert not mine.any()
        assert np.abs(other).max() < {"float32": 1e-8, "float64": 1e-15}[dtype]


# The law.


def test_increments_add_up():
    tree = brownian_tree(3, (1000,), 0.0, 1.0, "float64")
    cuts = np.sort(np.random.default_rng(0).uniform(0, 1, 9))
    parts = sum(tree(a, b) for a, b in zip([0, *cuts], [*cuts, 1], strict=True))
    np.testing.assert_allclose(parts, tree(0, 1), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(tree(0.2, 0.7), -tree(0.7, 0.2))
    assert not tree(0.5, 0.5).any()


@pytest.mark.parametrize(("ta", "tb"), [(0.0, 1.0), (0.3, 0.4), (0.123, 0.9), (0.5, 0.500001)])
def test_variance_is_the_length_and_increments_are_independent(ta, tb):
    n = 200_000
    tree = brownian_tree(1, (n,), 0.0, 1.0, "float64")
    unit = tree(ta, tb) / np.sqrt(tb - ta)
    assert abs(unit.mean()) < 5 / np.sqrt(n)
    assert abs((unit**2).mean() - 1) < 5 * np.sqrt(2 / n)
    if tb < 0.95:
        after = tree(tb, 0.95) / np.sqrt(0.95 - tb)
        assert abs((unit * after).mean()) < 5 / np.sqrt(n)


@settings(max_examples=20, deadline=None)
@given(queries=queries, order=st.randoms(use_true_random=False))
def test_an_answer_depends_on_the_query_alone(queries, order):
    one, two = (brownian_tree(4, (5,), 0.03, 14.6) for _ in range(2))
    first = {query: one(*query) for query in queries}
    shuffled = queries * 2
    order.shuffle(shuffled)
    for query in shuffled:
        assert same_bits(two(*query), first[query])


def test_a_batch_of_seeds_does_not_depend_on_the_batch():
    many = brownian_tree([7, 8, 9], (3, 4, 5), 0.03, 14.6)(1.0, 2.0)
    for i, seed in enumerate([7, 8, 9]):
        alone = brownian_tree([seed], (1, 4, 5), 0.03, 14.6)(1.0, 2.0)
        assert same_bits(many[i : i + 1], alone)
    one, three = (brownian_tree(7, (n, 4, 5), 0.03, 14.6)(1.0, 2.0) for n in (1, 3))
    assert same_bits(one, many[:1])
    assert not same_bits(one, three[:1]) or not same_bits(many, three)


def test_another_program_may_draw():
    draw = functools.partial(torch_cuda, sms=40)
    cuda = brownian_tree(7, (2, 50), 0.03, 14.6, draw=draw)
    assert not same_bits(cuda(1, 2), brownian_tree(7, (2, 50), 0.03, 14.6, draw=torch_cpu)(1, 2))
    seed = int(np.random.SeedSequence(7, pool_size=24).generate_state(1)[0])
    whole = draw(seed).normal((2, 50)) * np.float32(np.sqrt(14.57))
    assert same_bits(cuda(0.03, 14.6), whole)


# What must be refused.


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "12", None, [0, -1], [0, "a"]])
def test_a_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        brownian_tree(seed, (2, 3), 0, 1)


@pytest.mark.parametrize("time", [np.nan, np.inf, -2e6, "soon", None, 10**400, 1j])
def test_a_time_is_refused(time):
    for query in [(time, 1), (0, time)]:
        with pytest.raises(ConfigError, match="a time must be"):
            brownian_tree(0, (2,), *query)
        with pytest.raises(ConfigError, match="a time must be"):
            brownian_tree(0, (2,), 0, 1)(*query)
        with pytest.raises(ConfigError, match="a time must be"):
            brownian_noise(0, (2,), 0, 1)(*query)


@pytest.mark.parametrize(
    ("seed", "shape"), [([1, 2], (3, 4)), ([], (0, 4)), ([1], ()), (1, (-1,)), (1, (2**40,))]
)
def test_a_shape_is_refused(seed, shape):
    with pytest.raises(ShapeError, match="shape"):
        brownian_tree(seed, shape, 0, 1)


def test_a_dtype_and_a_step_of_no_length_are_refused():
    with pytest.raises(ConfigError, match="float16, bfloat16, float32 or float64"):
        brownian_tree(0, (2,), 0, 1, "int8")
    with pytest.raises(ConfigError, match="no length"):
        brownian_noise(0, (2,), 0, 1)(0.5, 0.5 + 1e-9)


def test_a_span_without_length_and_the_widest():
    assert not brownian_tree(0, (2,), 1.0, 1.0)(0.0, 2.0).any()
    wide = brownian_tree(0, (2,), -1e6, 1e6, "float64")
    assert np.abs(wide(0.123456, 0.123457)).max() < 1e-2


# The comparison can say no.


class Unrounded(BrownianPath):
    """Times as they come."""

    def __call__(self, ta, tb):
        return super().__call__(ta + 2e-6, tb)


class OneSeed(BrownianPath):
    """The same normals for both sides of the tree."""

    def _bridge_normal(self, k, depth):
        return super()._bridge_normal(0, depth)


class RightFirst(BrownianPath):
    def _halves(self, interval, middle, whole):
        return super()._halves(interval, middle, whole)[::-1]


@pytest.mark.parametrize("path", [Unrounded, OneSeed, RightFirst, BrownianPath])
def test_a_wrong_path_is_caught(monkeypatch, path):
    monkeypatch.setattr("refdiff.noise.brownian.BrownianPath", path)
    mine, other = brownian_tree(5, SHAPE, 0.03, 14.6), theirs(Tree, 5, 0.03, 14.6, "float32")
    same = same_bits(mine(9.0, 12.3), other(9.0, 12.3))
    assert same == (path is BrownianPath)
