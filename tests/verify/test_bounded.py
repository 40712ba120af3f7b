"""The bounds are proofs: no implementation may leave them, at no element; and they can say no."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from hypothesis import given, settings
from hypothesis import strategies as st

import refdiff.ops  # fills the registry
from refdiff.errors import ConfigError, ShapeError
from refdiff.op import REGISTRY, Op, engine
from refdiff.verify.bound_functions import MINIMUM
from refdiff.verify.bound_rules import RULES, bound, bounding
from refdiff.verify.bounded import Bounded, under
from refdiff.verify.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, TF32, Profile
from tests.ops.cases import DRAW, ORACLE, Case

SEEDS = st.integers(0, 2**32 - 1)
MANY = settings(max_examples=40)
over_ops = pytest.mark.parametrize("name", sorted(REGISTRY))
# The engine that rounds to tf32 rounds every op's result, not a product's factors.
ROUNDING = {
    "tf32": replace(TF32, storage=FORMATS["tf32"]),
    "float16": FLOAT16,
    "bfloat16": BFLOAT16,
}
TORCH = {
    torch.float64: FLOAT64,
    torch.float32: FLOAT32,
    torch.float16: FLOAT16,
    torch.bfloat16: BFLOAT16,
}


def drawn(name: str, seed: int, profile: Profile) -> Case:
    """A case of numbers that the profile's storage has: weights and inputs are exact."""
    case = DRAW[name](np.random.default_rng(seed))
    keep = profile.storage.nearest
    exact = {
        k: keep(a) if isinstance(a, np.ndarray) and k != "t" else a for k, a in case.args.items()
    }
    return replace(case, args=exact)


def bounded(name: str, case: Case, profile: Profile) -> Bounded:
    """The rule's answer; its value is the definition's."""
    y = bound(lambda: case.call(REGISTRY[name], np.float64), profile=profile)
    truth = case.call(REGISTRY[name].definition, np.float64)
    scale = np.abs(truth).max(initial=1e-300)
    np.testing.assert_allclose(y.value, truth, rtol=1e-12, atol=1e-12 * scale)
    assert y.error.shape == y.shape
    assert not np.isnan(y.error).any()
    return y


def torch_call(name: str, case: Case, dtype: torch.dtype) -> np.ndarray:
    """PyTorch's answer in `dtype`; times stay what they are."""

    def tensor(key: str, a: Any) -> Any:
        if a is None:
            return None
        floating = isinstance(a, np.ndarray) and a.dtype.kind == "f" and key != "t"
        return torch.tensor(a).to(dtype) if floating else torch.tensor(a)

    tensors = (tensor(k, a) for k, a in case.args.items())
    return ORACLE[name](*tensors, **case.options).double().numpy()


def test_every_op_has_a_rule() -> None:
    assert set(RULES) == set(REGISTRY)


def test_an_op_without_a_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "silu")
    with bounding(FLOAT32), pytest.raises(ConfigError, match="'silu'"):
        refdiff.ops.silu(np.ones(3))


@over_ops
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=SEEDS)
@MANY
def test_both_faces_stay_within(name: str, dtype: Any, seed: int) -> None:
    """In plain sums, as verdicts ask for them; what Winograd does has a bound of its own."""
    profile = FLOAT32 if dtype == np.float32 else FLOAT64
    case = drawn(name, seed, profile)
    y = bounded(name, case, profile)
    op: Op[Any] = REGISTRY[name]
    assert y.excess(case.call(op.definition, dtype)).count == 0
    if op.fast:
        with engine("fast", plain=True):
            assert y.excess(case.call(op.fast, dtype)).count == 0


@over_ops
@pytest.mark.parametrize("dtype", TORCH, ids=str)
@given(seed=SEEDS)
@MANY
def test_torch_stays_within(name: str, dtype: torch.dtype, seed: int) -> None:
    case = drawn(name, seed, TORCH[dtype])
    y = bounded(name, case, TORCH[dtype])
    assert y.excess(torch_call(name, case, dtype)).count == 0


@over_ops
@pytest.mark.parametrize("format", ROUNDING)
@given(seed=SEEDS)
@MANY
def test_the_rounding_engine_stays_within(name: str, format: str, seed: int) -> None:
    case = drawn(name, seed, ROUNDING[format])
    y = bounded(name, case, ROUNDING[format])
    with engine("reference", rounding=format):
        assert y.excess(case.call(REGISTRY[name], np.float32)).count == 0


@pytest.mark.parametrize("name", ["linear", "conv2d", "attention"])
@given(seed=SEEDS)
@MANY
def test_products_of_rounded_factors_stay_within(name: str, seed: int) -> None:
    """What a tensor core does: the factors cut to tf32, their products summed in float32."""
    case = drawn(name, seed, FLOAT32)
    y = bounded(name, case, TF32)
    factors = ("x", "w", "q", "k", "v")
    cut = {k: FORMATS["tf32"].nearest(a) if k in factors else a for k, a in case.args.items()}
    assert y.excess(replace(case, args=cut).call(REGISTRY[name], np.float32)).count == 0


@given(seed=SEEDS)
@MANY
def test_sinusoids_in_float32_stay_within(seed: int) -> None:
    case = drawn("timestep_embedding", seed, FLOAT32)
    o = case.options
    theirs = get_timestep_embedding(
        torch.tensor(case.args["t"]),
        case.args["width"],
        o["flip_sin_to_cos"],
        o["freq_shift"],
        max_period=o["max_period"],
    )
    assert bounded("timestep_embedding", case, FLOAT32).excess(theirs.numpy()).count == 0


# Useful: near to the textbook's own bound, and able to say no.


@pytest.mark.parametrize("name", ["linear", "conv2d"])
@given(seed=SEEDS)
@MANY
def test_a_sum_of_products_is_bounded_as_the_textbook_does(name: str, seed: int) -> None:
    """gamma_n |W| |x| (Higham 2002, eq. 3.5), to a small factor."""
    case = drawn(name, seed, FLOAT32)
    sizes = replace(case, args={k: None if a is None else abs(a) for k, a in case.args.items()})
    textbook = FLOAT32.gamma(case.args["w"][0].size) * sizes.call(REGISTRY[name], np.float64)
    assert (bounded(name, case, FLOAT32).error <= 5 * textbook + 1e-35).all()


@pytest.mark.parametrize("name", ["linear", "conv2d", "group_norm", "layer_norm"])
def test_a_planted_mistake_is_impossible(name: str) -> None:
    """A relative mistake of 1e-3 in the largest element of a float32 result, and only there."""
    case = drawn(name, 3, FLOAT32)
    y = bounded(name, case, FLOAT32)
    wrong = case.call(REGISTRY[name], np.float32)
    at = np.unravel_index(abs(wrong).argmax(), wrong.shape)
    wrong[at] *= np.float32(1.001)
    excess = y.excess(wrong)
    assert (excess.count, excess.at) == (1, at)
    assert excess.worst > 1


@pytest.mark.parametrize("name", ["embedding", "concat", "upsample_nearest"])
def test_what_only_moves_is_exact(name: str) -> None:
    assert not bounded(name, drawn(name, 3, FLOAT32), FLOAT32).error.any()


def test_a_nan_is_impossible_unless_something_may_overflow() -> None:
    with bounding(FLOAT16):
        y = Bounded.exact(np.array([1.0, 300.0, 250.0])) * np.array([1.0, 300.0, 250.0])
    assert np.isinf(y.error).tolist() == [False, True, False]
    assert y.excess(np.array([np.nan, np.inf, 62500.0])).count == 1


@pytest.mark.parametrize("name", MINIMUM)
def test_each_nonlinearity_falls_to_its_one_minimum_and_rises(name: str) -> None:
    f = REGISTRY[name].definition
    lowest = MINIMUM[name]
    assert np.diff(f(np.linspace(-30, lowest, 20001))).max() <= 1e-16
    assert np.diff(f(np.linspace(lowest, 30, 20001))).min() >= -1e-16


@given(seed=SEEDS)
@MANY
def test_arithmetic_between_ops_stays_within(seed: int) -> None:
    """Sums, products and quotients of moved inputs, in float32."""
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(2, 3, 4)).astype(np.float32) for _ in "xy")
    dx, dy = (1e-4 * rng.uniform(-1, 1, x.shape).astype(np.float32) for _ in "xy")

    def f(x: Any, y: Any) -> Any:
        z = (1 - x.swapaxes(1, 2)[:, None]) * 0.3 / (3 + y.clip(-2, 2).reshape(2, 1, 4, 3))
        return -(2 / (y.transpose(0, 2, 1)[:, None, :] * y.transpose(0, 2, 1)[:, None] + 1) - z)

    moved = (Bounded(np.float64(a), np.float64(abs(d) + 1e-7)) for a, d in ((x, dx), (y, dy)))
    with bounding(FLOAT32):
        z = f(*moved)
    np.testing.assert_allclose(z.value, f(np.float64(x), np.float64(y)), rtol=1e-12)
    assert z.excess(f(x + dx, y + dy)).count == 0
    assert np.isfinite(z.error).all() and len(z) == 2 and z.ndim == 4 and z.dtype == np.float64


def test_it_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match="profile"):
        Bounded.exact(np.ones(2)) + 0.5
    with under(FLOAT32), pytest.raises(ShapeError):
        Bounded.exact(np.ones(2)).excess(np.ones(3))
