"""The same bits with any number of threads, in any batch, and again: every op, both engines."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from refdiff.op import REGISTRY, Array, engine
from refdiff.workers import thread_count, threads
from tests.ops.cases import DRAW, Case, cast

SEEDS = st.integers(0, 2**32 - 1)
BATCHED = {  # which arguments hold one entry for each sample; the others are every sample's
    "add": ("x", "y"),
    "attention": ("q", "k", "v"),
    "concat": ("x", "y"),
    "embedding": ("ids",),
    "timestep_embedding": ("t",),
}
SMALL = {  # so that small arrays, too, are cut into many tiles
    "refdiff.kernels.activations.TILE": 5,
    "refdiff.kernels.norm.TILE": 5,
    "refdiff.kernels.product.ROWS": 3,
    "refdiff.kernels.product.LEAST": 1,
    "refdiff.kernels.product.PANELS": 1,
    "refdiff.kernels.attention.BLOCK": 20,
    "refdiff.kernels.attention.QUERIES": 3,
    "refdiff.kernels.layer_norm.TILE": 5,
    "refdiff.kernels.product.INNER": 3,
    "refdiff.kernels.moving.TILE": 5,
    "refdiff.kernels.pixels.TILE": 5,
    "refdiff.kernels.pixels.FAR": 1,
    "refdiff.kernels.winograd.FEW": 1,
    "refdiff.kernels.winograd.MANY": 2,
}
over_ops = pytest.mark.parametrize("name", sorted(REGISTRY))
engines = pytest.mark.parametrize("choice", ["reference", "fast"])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, size in SMALL.items():
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant)
        monkeypatch.setattr(name, size)
    yield


def sample(case: Case, name: str, i: int) -> Case:
    """The same call with the i-th sample alone."""
    batched = BATCHED.get(name, ("x",))
    if name == "attention" and np.ndim(case.args["mask"]) == np.ndim(case.args["q"]):
        batched = (*batched, "mask")
    return Case(
        {k: a[i : i + 1] if k in batched else a for k, a in case.args.items()}, case.options
    )


def computed(case: Case, name: str, choice: str, dtype: Any, count: int = 1) -> Array:
    with engine(choice), threads(count), np.errstate(all="ignore"):
        return case.call(REGISTRY[name], dtype)


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


@over_ops
@engines
@dtypes
@given(seed=SEEDS)
@settings(max_examples=25)
def test_a_sample_is_the_same_in_every_batch(
    name: str, choice: str, dtype: Any, seed: int, small_tiles: None
) -> None:
    case = DRAW[name](np.random.default_rng(seed))
    whole = computed(case, name, choice, dtype, count=2)
    if whole.ndim > 1 or name == "timestep_embedding":
        for i in range(len(whole)):
            alone = computed(sample(case, name, i), name, choice, dtype)
            assert same(whole[i : i + 1], alone), i


@over_ops
@engines
@given(seed=SEEDS)
@settings(max_examples=25)
def test_threads_and_time_change_nothing(
    name: str, choice: str, seed: int, small_tiles: None
) -> None:
    case = DRAW[name](np.random.default_rng(seed))
    first = computed(case, name, choice, np.float32)
    for count in (1, 2, 3, 8):
        assert same(first, computed(case, name, choice, np.float32, count))


def laid_otherwise(x: Any, rng: np.random.Generator) -> Any:
    """The same numbers with axes in another order in memory, backwards, and with gaps between."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return x
    order = rng.permutation(x.ndim)
    room = np.zeros([2 * x.shape[axis] for axis in order], x.dtype)
    places = tuple(slice(None, None, rng.choice([-2, 2])) for _ in order)
    view = room[places].transpose(np.argsort(order))
    view[...] = x
    return view


@over_ops
@engines
@given(seed=SEEDS)
@settings(max_examples=20)
def test_how_arrays_lie_in_memory_changes_nothing(name: str, choice: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = DRAW[name](rng)
    single = Case({k: cast(a, np.float32) for k, a in case.args.items()}, case.options)
    other = Case({k: laid_otherwise(a, rng) for k, a in single.args.items()}, case.options)
    with engine(choice), np.errstate(all="ignore"):
        y, z = (REGISTRY[name](*c.args.values(), **c.options) for c in (single, other))
    if choice == "fast" and REGISTRY[name].fast:
        assert same(y, z)
    else:  # BLAS reads some of them in another order
        np.testing.assert_allclose(z, y, rtol=1e-3, atol=1e-3 * np.abs(y).max(initial=1))


def large(name: str) -> Case:
    """As large as BLAS would share between threads, and kernels cut into true tiles."""
    rng = np.random.default_rng(0)

    def x(*shape: int) -> Array:
        return rng.standard_normal(shape)

    match name:
        case "conv2d":
            args: dict[str, Any] = {"x": x(2, 64, 33, 31), "w": x(96, 64, 3, 3), "b": x(96)}
            return Case(args, {"padding": 1})
        case "linear":
            return Case({"x": x(2, 700, 96), "w": x(260, 96), "b": x(260)})
        case "attention":
            return Case(
                {"q": x(2, 3, 700, 40), "k": x(2, 3, 600, 40), "v": x(2, 3, 600, 40), "mask": None}
            )
        case "group_norm":
            options = {"groups": 8, "eps": 1e-5}
            return Case({"x": x(2, 64, 61, 67), "gamma": x(64), "beta": x(64)}, options)
        case "layer_norm":
            return Case({"x": x(2, 700, 320), "gamma": x(320), "beta": x(320)})
        case "add" | "concat":
            return Case({"x": x(2, 70, 41, 37), "y": x(2, 70, 41, 37)})
        case "upsample_nearest":
            return Case({"x": x(2, 70, 41, 37)})
        case "softmax":
            return Case({"x": x(2, 700, 600)})
    return Case({"x": x(2, 500, 640)})


@pytest.mark.parametrize("name", sorted(name for name, op in REGISTRY.items() if op.fast))
@engines
@dtypes
def test_neither_do_large_arrays(name: str, choice: str, dtype: Any) -> None:
    case = large(name)
    with threadpool_limits(1):
        first = computed(case, name, choice, dtype)
    with threadpool_limits(2):
        assert same(first, computed(case, name, choice, dtype, 2))
        assert same(first, computed(case, name, choice, dtype, 3))
    for i in (0, 1):
        assert same(first[i : i + 1], computed(sample(case, name, i), name, choice, dtype, 2))


def test_a_sum_that_depends_on_threads_or_the_batch_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is cut into as many parts as there are threads, or samples, gives other bits."""
    op, case = REGISTRY["linear"], large("linear")

    def cut(count: int, x: Array, w: Array, b: Array | None) -> Array:
        inner = np.array_split(np.arange(x.shape[-1]), count)
        y: Array = sum((x[..., some] @ w[:, some].T for some in inner), np.float32(0))
        return y if b is None else y + b

    monkeypatch.setattr(op, "fast", lambda x, w, b=None: cut(thread_count(), x, w, b))
    one, two = (computed(case, "linear", "fast", np.float32, count) for count in (1, 2))
    assert not same(one, two)
    monkeypatch.setattr(op, "fast", lambda x, w, b=None: cut(len(x), x, w, b))
    whole = computed(case, "linear", "fast", np.float32)
    alone = [computed(sample(case, "linear", i), "linear", "fast", np.float32) for i in (0, 1)]
    assert not same(whole, np.concatenate(alone))
