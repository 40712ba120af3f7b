"""Every network, on configurations drawn at random, against PyTorch in float64: 1e-11 relative."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from refdiff.errors import ShapeError
from refdiff.nn import clip, unet, unet_unconditional, vae
from refdiff.op import engine
from refdiff.params import Params
from refdiff.recording import record
from refdiff.trace import Trace
from tests.nn import oracle

BOUND = 1e-11
MANY = settings(max_examples=40)


def with_trace(p: Params) -> tuple[Params, Trace]:
    trace = Trace()
    return Params(p.weights, p.dtype, trace=trace), trace


def unet_case(seed: int, dtype: Any = np.float64) -> tuple[Any, ...]:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_unet(rng)
    module = oracle.build(oracle.UNet, options, seed, torch.tensor(np.zeros(0, dtype)).dtype)
    if dtype == np.float64:
        module.time_proj = oracle.ExactTimes(module.time_proj)
    factor = 2 ** (len(config.channels) - 1)
    H, W = (int(n) for n in rng.integers(1, 5, 2))
    if rng.integers(2):  # sizes that the levels divide; else any, odd ones too
        H, W = H * factor, W * factor
    N = int(rng.integers(1, 3))
    x = rng.normal(size=(N, config.in_channels, H, W)).astype(dtype)
    t = rng.integers(0, 1000, N)
    context = rng.normal(size=(N, int(rng.integers(1, 8)), config.context)).astype(dtype)
    return config, module, x, t, context


def run_torch(module: Any, x: np.ndarray, t: np.ndarray, context: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return module(torch.tensor(x), torch.tensor(t), torch.tensor(context)).sample


@pytest.mark.parametrize("choice", ["reference", "fast"])
@given(seed=oracle.SEEDS)
@MANY
def test_unet(choice: str, seed: int) -> None:
    config, module, x, t, context = unet_case(seed)
    with engine(choice):
        ours = unet.unet(oracle.params(module), x, t, context, config=config)
    assert oracle.relative(ours, run_torch(module, x, t, context)) <= BOUND


@given(seed=oracle.SEEDS)
@settings(max_examples=15)
def test_every_tensor_on_the_way(seed: int) -> None:
    """A trace of ours has a tensor for each of the oracle's modules, and they are equal."""
    config, module, x, t, context = unet_case(seed)
    p, ours = with_trace(oracle.params(module))
    unet.unet(p, x, t, context, config=config)
    with record(module) as theirs:
        run_torch(module, x, t, context)
    silent = ("nonlinearity", "dropout", "conv_act", "time_embedding.act", "to_out.1", "ff.net.1")
    expected = {n for n in theirs if not any(part in n for part in silent)}
    assert expected - set(ours) == set()
    for name in expected:
        assert oracle.relative(ours[name], theirs[name]) <= BOUND, name


@given(seed=oracle.SEEDS)
@settings(max_examples=15)
def test_a_forgotten_bias_is_found_where_it_is(seed: int) -> None:
    """The comparison of traces can say no, and names the first tensor that is wrong."""
    config, module, x, t, context = unet_case(seed)
    p, right = with_trace(oracle.params(module))
    unet.unet(p, x, t, context, config=config)
    name = "up_blocks.0.resnets.0.conv1"
    with torch.no_grad():
        getattr(module.up_blocks[0].resnets[0].conv1, "bias").zero_()  # noqa: B009
    p, wrong = with_trace(oracle.params(module))
    unet.unet(p, x, t, context, config=config)
    first = next(n for n in right if oracle.relative(wrong[n], right[n]) > BOUND)
    assert first == name


@given(seed=oracle.SEEDS)
@MANY
def test_unconditional_unet(seed: int) -> None:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_unconditional(rng)
    module = oracle.build(oracle.UnconditionalUNet, options, seed, torch.float64)
    module.time_proj = oracle.ExactTimes(module.time_proj)
    factor = 2 ** (len(config.channels) - 1)
    N, H, W = (int(n) for n in rng.integers(1, 4, 3))
    x = rng.normal(size=(N, config.in_channels, H * factor, W * factor))
    t = rng.integers(0, 1000, N)
    ours = unet_unconditional.unconditional_unet(oracle.params(module), x, t, config=config)
    with torch.no_grad():
        theirs = module(torch.tensor(x), torch.tensor(t)).sample
    assert oracle.relative(ours, theirs) <= BOUND


@given(seed=oracle.SEEDS)
@MANY
def test_vae(seed: int) -> None:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_vae(rng)
    module = oracle.build(oracle.VAE, options, seed, torch.float64)
    p = oracle.params(module)
    # odd sizes too: the encoder halves them with its lopsided padding
    H, W = (int(n) * config.factor + int(rng.integers(2)) for n in rng.integers(1, 5, 2))
    image = rng.normal(size=(2, config.in_channels, H, W))
    mean, logvar = vae.encode(p, image, config=config)
    z = rng.normal(size=mean.shape)
    with torch.no_grad():
        posterior = module.encode(torch.tensor(image)).latent_dist
        picture = module.decode(torch.tensor(z)).sample
    assert oracle.relative(mean, posterior.mean) <= BOUND
    assert oracle.relative(logvar, posterior.logvar) <= BOUND
    assert oracle.relative(vae.decode(p, z, config=config), picture) <= BOUND


@given(seed=oracle.SEEDS)
@MANY
def test_clip(seed: int) -> None:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_clip(rng)
    module = oracle.build(oracle.CLIP, options, seed, torch.float64)
    ids = rng.integers(0, config.vocab, (2, int(rng.integers(1, config.positions + 1))))
    ours = clip.clip_text(oracle.params(module, "text_model."), ids, config=config)
    with torch.no_grad():
        theirs = module(torch.tensor(ids), output_hidden_states=True)
    assert oracle.relative(ours.last_hidden_state, theirs.last_hidden_state) <= BOUND
    assert oracle.relative(ours.pooled, theirs.pooler_output) <= BOUND
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert oracle.relative(a, b) <= BOUND


NETWORKS = {
    "unet": (oracle.draw_unet, oracle.UNet, unet.param_shapes, ""),
    "unconditional": (
        oracle.draw_unconditional,
        oracle.UnconditionalUNet,
        unet_unconditional.param_shapes,
        "",
    ),
    "vae": (oracle.draw_vae, oracle.VAE, vae.param_shapes, ""),
    "clip": (oracle.draw_clip, oracle.CLIP, clip.param_shapes, "text_model."),
}


@pytest.mark.parametrize("name", NETWORKS)
@given(seed=oracle.SEEDS)
@settings(max_examples=25)
def test_param_shapes_are_the_oracle_s(name: str, seed: int) -> None:
    draw, cls, shapes, prefix = NETWORKS[name]
    config, options = draw(oracle.RNG(seed))
    module = oracle.build(cls, options, seed, torch.float32)
    theirs = {prefix + n: tuple(w.shape) for n, w in module.state_dict().items()}
    assert shapes(config) == theirs


class Reads(dict):
    """A mapping that remembers what was read of it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        self.names.add(name)
        return super().__getitem__(name)


@given(seed=oracle.SEEDS)
@settings(max_examples=15)
def test_every_weight_is_read_and_no_other(seed: int) -> None:
    config, module, x, t, context = unet_case(seed)
    p = oracle.params(module)
    reads = Reads(p.weights.source)
    p = Params(type(p.weights)(reads), p.dtype)
    unet.unet(p, x, t, context, config=config)
    assert reads.names == set(unet.param_shapes(config))


def test_float32_stays_float32_and_is_near() -> None:
    config, module, x, t, context = unet_case(5, np.float32)
    for choice in ("reference", "fast"):
        with engine(choice):
            ours = unet.unet(oracle.params(module), x, t, context, config=config)
        assert ours.dtype == np.float32
        assert oracle.relative(ours, run_torch(module, x, t, context)) <= 1e-4


def test_rounding_reaches_every_op() -> None:
    config, module, x, t, context = unet_case(9)
    p = oracle.params(module)
    exact = unet.unet(p, x, t, context, config=config)
    gaps = []
    for format in ("float32", "float16", "bfloat16"):
        with engine("reference", rounding=format):
            gaps.append(oracle.relative(unet.unet(p, x, t, context, config=config), exact))
    assert 0 < gaps[0] < 1e-5 < gaps[1] < gaps[2] < 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": (0, 1)}, "latents"),
        ({"x": (0,)}, "text states"),
        ({"context": (2,)}, "text states"),
        ({"t": (0,)}, "one time"),
    ],
)
def test_misfits_are_refused(change: dict[str, tuple[int, ...]], words: str) -> None:
    config, module, *inputs = unet_case(3)
    inputs = dict(zip(("x", "t", "context"), inputs, strict=True))
    for key, axes in change.items():
        for axis in axes:
            inputs[key] = np.concatenate([inputs[key], inputs[key], inputs[key]], axis)
    with pytest.raises(ShapeError, match=words):
        unet.unet(oracle.params(module), **inputs, config=config)


def test_ids_outside_are_refused() -> None:
    config, options = oracle.draw_clip(oracle.RNG(0))
    p = oracle.params(oracle.build(oracle.CLIP, options, 0, torch.float32), "text_model.")
    with pytest.raises(ShapeError, match="outside"):
        clip.clip_text(p, np.array([[config.vocab]]), config=config)
    with pytest.raises(ShapeError, match="expected"):
        clip.clip_text(p, np.zeros((1, config.positions + 1), int), config=config)
    with pytest.raises(ShapeError, match="autoencoder"):
        vae_config, vae_options = oracle.draw_vae(oracle.RNG(0))
        q = oracle.params(oracle.build(oracle.VAE, vae_options, 0, torch.float32))
        vae.decode(q, np.zeros((1, 9, 2, 2), np.float32), config=vae_config)
