"""Whole blocks within their bounds: what model code does between ops is carried as well."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from refdiff.nn import clip, unet
from refdiff.nn.resnet import resnet_block
from refdiff.nn.transformer import attention_block, transformer_block
from refdiff.op import engine
from refdiff.params import Params
from refdiff.verify.bound_rules import bound
from refdiff.verify.bounded import Bounded
from refdiff.verify.formats import BFLOAT16, FLOAT16, FLOAT32, Profile
from tests.nn import oracle

TORCH = {torch.float32: FLOAT32, torch.float16: FLOAT16, torch.bfloat16: BFLOAT16}


@dataclass(frozen=True)
class Block:
    """A module of PyTorch's and a function of ours on the same weights, and inputs for both."""

    module: torch.nn.Module  # its weights are numbers of the format under test
    theirs: Callable[..., Any]
    ours: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    prefix: str = ""

    def torch(self, dtype: torch.dtype) -> np.ndarray:
        self.module.to(dtype)
        with torch.no_grad():
            y = self.theirs(*(torch.tensor(a).to(dtype if a.dtype.kind == "f" else torch.int64)
                              for a in self.inputs))  # fmt: skip
        self.module.float()
        return y.double().numpy()

    def numpy(self, dtype: Any) -> Any:
        p = replace(oracle.params(self.module, self.prefix), dtype=np.dtype(dtype))
        return self.ours(p, *(a.astype(dtype) if a.dtype.kind == "f" else a for a in self.inputs))

    def bound(self, profile: Profile) -> Bounded:
        y: Bounded = bound(self.numpy, np.float64, profile=profile)
        assert np.isfinite(y.value).all() and not np.isnan(y.error).any()
        return y


def draw_resnet(rng: np.random.Generator, seed: int, dtype: torch.dtype) -> Block:
    config, options = oracle.draw_unet(rng)
    module = oracle.build(oracle.UNet, options, seed, dtype).mid_block.resnets[0].float()
    norm = dict(groups=config.groups, eps=config.eps, scale_shift=config.scale_shift)
    N, H, W = sizes(rng)
    shapes = (N, config.channels[-1], H, W), (N, config.time_width)
    return Block(module, module, partial(resnet_block, **norm), numbers(rng, dtype, *shapes))


def draw_transformer(rng: np.random.Generator, seed: int, dtype: torch.dtype) -> Block:
    config, options = oracle.draw_unet(rng)
    middle = oracle.build(oracle.UNet, options, seed, dtype).mid_block
    module = middle.attentions[0].transformer_blocks[0].float()
    N, L, S = sizes(rng)
    return Block(
        module,
        lambda x, context: module(x, encoder_hidden_states=context),
        partial(transformer_block, heads=config.heads[-1]),
        numbers(rng, dtype, (N, L, config.channels[-1]), (N, S, config.context)),
    )


def draw_attention(rng: np.random.Generator, seed: int, dtype: torch.dtype) -> Block:
    config, options = oracle.draw_vae(rng)
    options["mid_block_add_attention"] = True
    module = oracle.build(oracle.VAE, options, seed, dtype).decoder.mid_block.attentions[0].float()
    N, H, W = sizes(rng)
    ours = partial(attention_block, heads=1, groups=config.groups, eps=1e-6)
    return Block(module, module, ours, numbers(rng, dtype, (N, config.channels[-1], H, W)))


def draw_clip(rng: np.random.Generator, seed: int, dtype: torch.dtype) -> Block:
    """An encoder layer between the embeddings and the last norm."""
    config, options = oracle.draw_clip(rng)
    module = oracle.build(oracle.CLIP, options | {"num_hidden_layers": 1}, seed, dtype).float()
    ids = rng.integers(0, config.vocab, (2, int(rng.integers(1, config.positions + 1))))
    return Block(
        module,
        lambda ids: module(ids).last_hidden_state,
        lambda p, ids: clip.clip_text(p, ids, config=replace(config, layers=1)).last_hidden_state,
        (ids,),
        prefix="text_model.",
    )


def sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    """Samples, and two sizes of which the first is no 1: PyTorch norms no single number."""
    return int(rng.integers(1, 4)), int(rng.integers(2, 6)), int(rng.integers(1, 5))


def numbers(
    rng: np.random.Generator, dtype: torch.dtype, *shapes: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """float32 arrays of numbers that `dtype` has."""
    arrays = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return tuple(TORCH[dtype].storage.nearest(a) for a in arrays)


BLOCKS = {
    "resnet": draw_resnet,
    "transformer": draw_transformer,
    "attention": draw_attention,
    "clip": draw_clip,
}
over_blocks = pytest.mark.parametrize("name", BLOCKS)
SOME = settings(max_examples=12)


@over_blocks
@pytest.mark.parametrize("dtype", TORCH, ids=str)
@given(seed=oracle.SEEDS)
@SOME
def test_torch_stays_within(name: str, dtype: torch.dtype, seed: int) -> None:
    block = BLOCKS[name](oracle.RNG(seed), seed, dtype)
    assert block.bound(TORCH[dtype]).excess(block.torch(dtype)).count == 0


@over_blocks
@given(seed=oracle.SEEDS)
@SOME
def test_refdiff_stays_within(name: str, seed: int) -> None:
    block = BLOCKS[name](oracle.RNG(seed), seed, torch.float32)
    y = block.bound(FLOAT32)
    for choice in ("reference", "fast"):
        with engine(choice):
            assert y.excess(block.numpy(np.float32)).count == 0
    for profile in (FLOAT16, BFLOAT16):
        with engine("reference", rounding=profile.name):
            assert block.bound(profile).excess(block.numpy(np.float32)).count == 0


@over_blocks
def test_a_forgotten_bias_is_impossible(name: str) -> None:
    block = BLOCKS[name](oracle.RNG(5), 5, torch.float32)
    y = block.bound(FLOAT32)
    bias = [w for k, w in block.module.named_parameters() if k.endswith("bias")][-1]
    bias.data.zero_()
    assert y.excess(block.torch(torch.float32)).count > 0


@given(seed=oracle.SEEDS)
@settings(max_examples=6)
def test_a_whole_network_stays_within(seed: int) -> None:
    """The times' sinusoids in float32 included, which is where diffusers is furthest off."""
    rng = oracle.RNG(seed)
    config, options = oracle.draw_unet(rng)
    module = oracle.build(oracle.UNet, options, seed, torch.float32)
    factor = 2 ** (len(config.channels) - 1)
    N, t = 2, rng.integers(0, 1000, 2)
    x, context = numbers(
        rng, torch.float32, (N, config.in_channels, factor, factor), (N, 3, config.context)
    )
    p: Params = replace(oracle.params(module), dtype=np.dtype(np.float64))
    y = bound(unet.unet, p, np.float64(x), t, np.float64(context), config=config, profile=FLOAT32)
    with torch.no_grad():
        theirs = module(torch.tensor(x), torch.tensor(t), torch.tensor(context)).sample
    assert y.excess(theirs.double().numpy()).count == 0
