"""Verdicts: honest runs pass, mistakes do not, and the reason is printed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from refdiff import ops
from refdiff.op import engine
from refdiff.verify.bound_rules import bound
from refdiff.verify.formats import FLOAT16, FLOAT32
from refdiff.verify.metrics import measure
from refdiff.verify.verdict import Noise, State, Verdict, explain, honest, judge, widening

RNG = np.random.default_rng
EXACT = RNG(0).normal(size=(40, 50))


def blurred(seed: int, size: float = 1e-7, exact: np.ndarray = EXACT) -> np.ndarray:
    return exact + size * RNG(seed).normal(size=exact.shape)


NOISE = honest([blurred(s) for s in range(1, 4)], EXACT, names=("a", "b", "c"))


def state(candidate: np.ndarray, noise: Noise = NOISE, exact: np.ndarray = EXACT) -> State:
    return judge(measure(exact, candidate), noise).state


def test_states_by_size() -> None:
    assert state(EXACT) == state(blurred(9)) == state(blurred(9, 3e-7)) == State.EXPLAINED
    assert state(blurred(9, 1e-6)) == State.LOOSE
    assert state(blurred(9, 3e-6)) == State.UNEXPLAINED


def test_a_few_bad_elements_are_seen_by_quantile_and_maximum() -> None:
    one, some = blurred(9), blurred(9)
    one[3, 4] += 3e-5
    some.flat[:20] += 3e-6
    assert judge(measure(EXACT, one), NOISE).rho.rms < 16
    assert state(one) == State.LOOSE
    assert state(some) == State.LOOSE
    one[3, 4] += 3e-4
    assert state(one) == State.UNEXPLAINED


def test_a_lucky_run_does_not_judge_below_the_floor() -> None:
    noise = honest([EXACT], EXACT)
    assert noise.level.rms == 0 < noise.floor.rms
    assert state(EXACT.astype(np.float32), noise) == State.EXPLAINED
    half = replace(noise, profile=FLOAT16)
    assert honest([EXACT], EXACT, FLOAT16).floor.rms > 4000 * half.floor.rms


def test_ids_are_equal_or_unexplained() -> None:
    ids = np.arange(77)
    noise = honest([ids], ids)
    assert state(ids, noise, ids) == State.EXPLAINED
    assert state(ids[::-1], noise, ids) == State.UNEXPLAINED


@pytest.mark.parametrize("n", [1, 2, 3, 8, 32, 64, 500])
def test_small_tensors_are_judged_fairly(n: int) -> None:
    """Honest normal errors of any count pass, but once in a thousand; 3000 times as large do not.

    Of a single element nothing better can be said than that it is not much too large.
    """
    rng, runs, trials = RNG(n), 4, 3000
    errors = rng.normal(size=(trials, runs + 1, n))
    size = np.sqrt(np.mean(errors**2, -1))
    rho = size[:, 0] / size[:, 1:].max(1)
    assert np.mean(rho > 4 * widening(n, runs)) < 1e-3
    assert np.mean(3000 * rho <= 16 * widening(n, runs)) < (1e-3 if n > 1 else 0.1)


def test_widening_falls_to_one() -> None:
    factors = [widening(n, 3) for n in (0, 1, 2, 8, 63, 64, 10**6)]
    assert sorted(factors, reverse=True) == factors
    assert factors[-2:] == [1, 1]
    assert widening(8, 1) > widening(8, 4)


def test_what_is_not_finite() -> None:
    broken = blurred(9)
    broken[1, 2] = np.nan
    assert state(broken) == State.IMPOSSIBLE  # nothing near 1 overflows float32
    half = honest([blurred(s, 1e-3) for s in range(3)], EXACT, FLOAT16)
    assert state(broken, half) == State.UNEXPLAINED  # on the way to it something may in float16
    assert state(broken, exact=broken) == State.EXPLAINED


def linear_verdict(mistake: float) -> Verdict:
    """A layer in PyTorch's float32, one element of the result off by `mistake`."""
    x, w = RNG(1).normal(size=(5, 300)), RNG(2).normal(size=(70, 300))
    x, w = x.astype(np.float32), w.astype(np.float32)
    y = bound(ops.linear, np.float64(x), np.float64(w), profile=FLOAT32)
    runs = [ops.linear(x, w)]
    with engine("fast"):
        runs.append(ops.linear(x, w))
    candidate = (torch.tensor(x) @ torch.tensor(w).T).numpy()
    candidate[2, 3] *= 1 + mistake
    noise = honest(runs, y.value, names=("reference", "fast"))
    return judge(measure(y.value, candidate), noise, y.excess(candidate))


def test_a_proof_outweighs_everything() -> None:
    assert linear_verdict(0).state == State.EXPLAINED
    verdict = linear_verdict(1e-2)
    assert verdict.state == State.IMPOSSIBLE
    assert verdict.excess and verdict.excess.at == (2, 3)


def test_the_explanation_has_the_numbers() -> None:
    text = explain(linear_verdict(1e-2))
    assert text.startswith("impossible: the rms error")
    for part in (
        "350 elements",
        "2 honest float32 runs (reference, fast)",
        "floor: the exact values rounded to float32",
        "up to 4 explained, up to 16 loose; for the maximum 40 and 160",
        "sums of up to 300 terms): 1 of 350 elements beyond it",
        "at (2, 3)",
    ):
        assert part in text, text
    few = explain(judge(measure(EXACT[0, :4], EXACT[0, :4] + np.nan), NOISE))
    assert "widened by" in few and "4 elements are not finite" in few and "(0,)" in few
