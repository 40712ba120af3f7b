"""Whole networks give the same bits with any number of threads and in any batch."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import refdiff
from refdiff.nn import unet
from refdiff.op import Array, engine
from refdiff.workers import threads
from tests.nn import oracle
from tests.nn.test_networks import unet_case

engines = pytest.mark.parametrize("choice", ["reference", "fast"])


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


@engines
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=oracle.SEEDS)
@settings(max_examples=8)
def test_unet(choice: str, dtype: Any, seed: int) -> None:
    config, module, x, t, context = unet_case(seed, np.float32)
    p = oracle.params(module)

    def run(some: slice, count: int) -> Array:
        with engine(choice), threads(count):
            inputs = x[some].astype(dtype), t[some], context[some].astype(dtype)
            return unet.unet(p, *inputs, config=config)

    whole = run(slice(None), 1)
    assert all(same(whole, run(slice(None), count)) for count in (1, 2, 3))
    for i in range(len(x)):
        assert same(whole[i : i + 1], run(slice(i, i + 1), 2))


@engines
def test_the_shipped_model(choice: str) -> None:
    """Text, U-Net and picture of three samples at once, and of each alone."""
    pipe, rng = refdiff.load(), np.random.default_rng(0)
    ids = np.array([pipe.tokenizer(text) for text in ("a cat", "two frogs", "")])
    size = pipe.unet.config.sample_size
    x = rng.standard_normal((3, pipe.unet.config.in_channels, size, size), np.float32)

    def run(some: slice, count: int) -> list[Array]:
        with engine(choice), threads(count):
            states = pipe.text_encoder(ids[some])
            eps = pipe.unet(x[some], 500, states.last_hidden_state)
            return [states.last_hidden_state, states.pooled, eps, pipe.vae.decode(x[some])]

    whole = run(slice(None), 1)
    for count in (2, 3):
        assert all(map(same, whole, run(slice(None), count)))
    for i in range(3):
        alone = run(slice(i, i + 1), 2)
        assert all(same(a[i : i + 1], b) for a, b in zip(whole, alone, strict=True))
