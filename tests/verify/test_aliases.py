"""Foreign spellings, against diffusers' own converters of CompVis' checkpoints."""

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.nn import unet, vae
from refdiff.verify.aliases import compvis, old_attention, pair_aliases
from tests.nn import oracle


def draw_names(seed):
    """A U-Net's weights as diffusers' converter can read them: as many layers at every level."""
    rng = np.random.default_rng(seed)
    while True:
        config, options = oracle.draw_unet(rng)
        if len(set(config.layers)) == 1 and len(set(config.depth)) == 1:
            return list(unet.param_shapes(config)), options


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_diffusers_converter_turns_our_compvis_unet_back(seed):
    names, options = draw_names(seed)
    spelled = compvis(names)
    theirs = {
        f"model.diffusion_model.{spelled[n]}": torch.full((1,), i) for i, n in enumerate(names)
    }
    options["layers_per_block"] = options["layers_per_block"][0]
    back = convert_ldm_unet_checkpoint(theirs, options | {"class_embed_type": None})
    assert {name: int(value) for name, value in back.items()} == {n: i for i, n in enumerate(names)}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_diffusers_converter_turns_our_compvis_vae_back(seed):
    config, options = oracle.draw_vae(np.random.default_rng(seed))
    names = list(vae.param_shapes(config))
    spelled = compvis(names)
    theirs = {f"first_stage_model.{spelled[n]}": torch.full((1, 1), i) for i, n in enumerate(names)}
    back = convert_ldm_vae_checkpoint(theirs, options)
    assert {name: int(value.flatten()[0]) for name, value in back.items()} == {
        n: i for i, n in enumerate(names)
    }


NAMES, _ = draw_names(3)
BOTH = [f"unet.{name}" for name in NAMES] + [
    f"vae.{name}" for name in vae.param_shapes(oracle.draw_vae(np.random.default_rng(1))[0])
]
PORTS = {
    "unet.": lambda name: f"unet.{name}",
    "model.diffusion_model.": lambda name: f"model.diffusion_model.{compvis(NAMES)[name]}",
    "underscores": lambda name: name.replace(".", "_"),
    "slashes": lambda name: "/" + name.replace(".", "/"),
    "old attention": lambda name: old_attention([name])[name],
    "kernels": lambda name: (
        name.removesuffix("weight") + "kernel" if name.endswith("weight") else name
    ),
}


@pytest.mark.parametrize("port", PORTS)
def test_ports_of_one_component(port):
    theirs = {name: PORTS[port](name) for name in NAMES}
    assert pair_aliases(NAMES, list(theirs.values())[::-1]) == theirs


def test_components_that_share_names_stay_apart():
    spelled = compvis(BOTH)
    theirs = {
        name: spelled[name]
        .replace("unet.", "model.diffusion_model.", 1)
        .replace("vae.", "first_stage_model.", 1)
        for name in BOTH
    }
    assert pair_aliases(BOTH, list(theirs.values())) == theirs


CLIP, UNET = "cond_stage_model.transformer.", "/unet/down_blocks.0/attentions.0"


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("down_blocks.0.resnets.0.conv1", "/down_blocks.0/resnets.0/conv1/Conv_output_0"),
        ("unet.down_blocks.0.attentions.0.proj_in", f"{UNET}/proj_in/Add_2_output_0"),
        ("text_model.final_layer_norm.weight", f"{CLIP}final_layer_norm.weight"),
        ("text_model.final_layer_norm.weight", f"{CLIP}text_model.final_layer_norm.weight"),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1", "encoder.layers.0.mlp.fc1"),
        ("conv_norm_out.bias", "unet/conv_norm_out/bias"),
    ],
)
def test_single_spellings(name, theirs):
    assert pair_aliases([name, "other"], ["stranger", theirs]) == {name: theirs}


def test_names_that_are_not_unique_are_left():
    nodes = ["/mid/attn/to_out.0/MatMul_output_0", "/mid/attn/to_out.0/Add_output_0"]
    assert pair_aliases(["mid.attn.to_out.0"], nodes) == {}
    assert pair_aliases(["unet.conv_in", "vae.conv_in"], ["conv_in"]) == {}


def test_names_from_strangers_cost_nothing():
    names = ["down_blocks.999999999.resnets.999999999.conv1", "", ".", "/", "a" * 10_000, "._:/"]
    assert pair_aliases(names, names[::-1])[names[0]] == names[0]
