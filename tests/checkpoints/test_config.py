"""Configurations: every key classified, published ones read, all else refused by name."""

import dataclasses
import inspect
import json
import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.checkpoints import clip, unet, unet_unconditional, vae
from refdiff.errors import ConfigError
from refdiff.nn import clip as nn_clip
from refdiff.nn import unet as nn_unet
from refdiff.nn import unet_unconditional as nn_unet_unconditional
from refdiff.nn import vae as nn_vae
from tests.checkpoints import published
from tests.nn import oracle

WEIGHTS = Path(__file__).parents[2] / "weights/emoji"
MODULES = {
    diffusers.UNet2DConditionModel: unet,
    diffusers.UNet2DModel: unet_unconditional,
    diffusers.AutoencoderKL: vae,
    transformers.CLIPTextConfig: clip,
}
SMALL: dict[Any, dict[str, Any]] = {
    unet: published.UNET_SD15,
    unet_unconditional: published.UNET_DDPM,
    vae: published.VAE_SD15,
    clip: published.CLIP_SD15,
}
each_class = pytest.mark.parametrize("cls", MODULES, ids=lambda cls: cls.__name__)


@each_class
def test_every_key_of_the_class_is_classified_once(cls):
    table = MODULES[cls].TABLE
    keys = inspect.signature(cls.__init__).parameters.keys() - {"self", "args", "kwargs"}
    groups = [set(table.read), set(table.neutral), set(table.ignored)]
    assert keys <= set.union(*groups)
    assert sum(map(len, groups)) == len(set.union(*groups))


@each_class
def test_absent_keys_take_the_default_of_the_class(cls):
    table = MODULES[cls].TABLE
    for key, parameter in inspect.signature(cls.__init__).parameters.items():
        if key in table.read:
            assert table.read[key].default == parameter.default, key
        elif key in table.neutral and key != "architectures":
            assert parameter.default in table.neutral[key], key


@pytest.mark.parametrize(
    ("module", "shapes", "config", "count"),
    [
        (unet, nn_unet, published.UNET_SD15, 859_520_964),
        (unet, nn_unet, published.UNET_SD21, 865_910_724),
        (unet_unconditional, nn_unet_unconditional, published.UNET_DDPM, 113_673_219),
        (vae, nn_vae, published.VAE_SD15, 83_653_863),
        (vae, nn_vae, published.VAE_SD21, 83_653_863),
        (clip, nn_clip, published.CLIP_SD15, 123_060_480),
        (clip, nn_clip, published.CLIP_SD21, 340_387_840),
    ],
)
def test_published_configurations_have_the_published_number_of_weights(
    module, shapes, config, count
):
    read = module.read_config(config, "config.json")
    assert sum(map(math.prod, shapes.param_shapes(read).values())) == count


def test_the_fields_of_stable_diffusion():
    sd15 = unet.read_config(published.UNET_SD15, "")
    assert sd15 == nn_unet.UNetConfig(
        in_channels=4,
        out_channels=4,
        channels=(320, 640, 1280, 1280),
        down=(True, True, True, False),
        up=(False, True, True, True),
        layers=(2, 2, 2, 2),
        heads=(8, 8, 8, 8),
        depth=(1, 1, 1, 1),
        context=768,
        groups=32,
        eps=1e-5,
        linear_projection=False,
        scale_shift=False,
        flip_sin_to_cos=True,
        freq_shift=0,
        sample_size=64,
    )
    sd21 = unet.read_config(published.UNET_SD21, "")
    assert sd21 == dataclasses.replace(
        sd15, heads=(5, 10, 20, 20), context=1024, linear_projection=True, sample_size=96
    )
    picture = vae.read_config(published.VAE_SD21, "")
    assert (picture.scaling_factor, picture.shift_factor, picture.sample_size) == (0.18215, 0, 768)
    text = clip.read_config(published.CLIP_SD21, "")
    assert (text.layers, text.heads, text.activation, text.eos) == (23, 16, "gelu", 2)


def test_the_shipped_folder_is_read():
    for module, name in ((unet, "unet"), (vae, "vae"), (clip, "text_encoder")):
        config, weights = module.load(WEIGHTS / name)
        assert len(weights) > 0
        assert module.read_config(json.loads((WEIGHTS / name / "config.json").read_text()), "")
        assert dataclasses.is_dataclass(config)
    written = json.loads((WEIGHTS / "vae" / "config.json").read_text())
    assert vae.load(WEIGHTS / "vae")[0].scaling_factor == written["scaling_factor"]


# ---- What the classes themselves save -------------------------------------------------------

DRAWS = {
    "unet": (unet, oracle.draw_unet, diffusers.UNet2DConditionModel),
    "unconditional": (unet_unconditional, oracle.draw_unconditional, diffusers.UNet2DModel),
    "vae": (vae, oracle.draw_vae, diffusers.AutoencoderKL),
    "clip": (clip, oracle.draw_clip, transformers.CLIPTextModel),
}


@pytest.mark.parametrize("kind", DRAWS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_the_class_saves_is_loaded_whole(kind, seed, tmp_path_factory):
    module, draw, cls = DRAWS[kind]
    config, options = draw(np.random.default_rng(seed))
    folder = tmp_path_factory.mktemp(kind)
    original = build(cls, options)
    original.save_pretrained(folder)
    read, weights = module.load(folder)
    assert (
        dataclasses.replace(read, sample_size=None) == config if kind != "clip" else read == config
    )
    prefix = "text_model." if kind == "clip" else ""
    state = {prefix + name: w for name, w in original.state_dict().items()}
    assert set(weights) == set(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(weights[name], tensor.numpy())


def build(cls: Any, options: dict[str, Any]) -> Any:
    if cls is transformers.CLIPTextModel:
        return cls(transformers.CLIPTextConfig(**options))
    return cls(**options)


# ---- Refusals -------------------------------------------------------------------------------


def refused(module: Any, **changes: object) -> str:
    with pytest.raises(ConfigError) as caught:
        module.read_config(SMALL[module] | changes, "some/config.json")
    message = str(caught.value)
    assert message.startswith("some/config.json: ") and len(message) < 500
    return message


@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__)
def test_a_key_that_switches_something_on_is_refused_by_name(module):
    for key in module.TABLE.neutral:
        for value in ("other", 7, True, [1]):
            if value is True and True in module.TABLE.neutral[key]:
                continue
            message = refused(module, **{key: value})
            assert repr(key) in message and repr(value) in message
            assert module.TABLE.class_name in message


@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__)
def test_an_unknown_key_is_refused_by_name(module):
    assert "'speed' = 3" in refused(module, speed=3)


@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__)
def test_values_of_the_wrong_type_are_refused(module):
    for key, (default, kind) in module.TABLE.read.items():
        wrong = [{}, [], "word", -1.5, math.nan, math.inf, 10**30, [None], [[1]]]
        if not isinstance(default, bool):
            wrong += [True, False]
        for value in wrong:
            if not (value == -1.5 and key == "shift_factor"):
                assert repr(key) in refused(module, **{key: value}), (key, value)
        assert kind.holds(list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("module", "changes", "words"),
    [
        (unet, {"in_channels": 0}, "'in_channels' = 0"),
        (unet, {"in_channels": 70000}, "from 1 to 65536"),
        (unet, {"in_channels": 4.0}, "'in_channels' = 4.0"),
        (unet, {"block_out_channels": []}, "a list of 1 to 8"),
        (unet, {"block_out_channels": [32] * 9}, "a list of 1 to 8"),
        (unet, {"block_out_channels": [320, 640, 1280]}, "3 entries, one for each"),
        (unet, {"attention_head_dim": [8, 8]}, "4 entries"),
        (unet, {"layers_per_block": [2, 2, 2]}, "'layers_per_block' = [2, 2, 2]"),
        (unet, {"transformer_layers_per_block": [[1], [1], [1], [1]]}, "whole number"),
        (unet, {"norm_num_groups": 7}, "'norm_num_groups' = 7"),
        (unet, {"attention_head_dim": 7}, "a divisor of 320"),
        (unet, {"num_attention_heads": 7}, "'num_attention_heads' = 7"),
        (unet, {"norm_num_groups": None}, "'norm_num_groups' = None"),
        (unet, {"cross_attention_dim": [768] * 4}, "'cross_attention_dim'"),
        (unet, {"down_block_types": ["KDownBlock2D"] * 4}, "'CrossAttnDownBlock2D' or"),
        (unet, {"up_block_types": ["CrossAttnDownBlock2D"] * 4}, "'up_block_types'"),
        (unet, {"mid_block_type": None}, "'mid_block_type' = None"),
        (unet, {"addition_embed_type": "text_time"}, "'addition_embed_type' = 'text_time'"),
        (unet, {"_class_name": "UNet3DConditionModel"}, "'UNet3DConditionModel'"),
        (unet, {"freq_shift": 160}, "less than half"),
        (unet, {"norm_eps": 0}, "above 0"),
        (unet, {"only_cross_attention": 0}, "'only_cross_attention' = 0"),
        (unet, {"downsample_padding": True}, "'downsample_padding' = True"),
        (unet_unconditional, {"attention_head_dim": 7}, "a divisor of 512"),
        (unet_unconditional, {"downsample_padding": 2}, "'downsample_padding' = 2"),
        (unet_unconditional, {"freq_shift": 64}, "less than half"),
        (unet_unconditional, {"attn_norm_num_groups": 8}, "'attn_norm_num_groups' = 8"),
        (vae, {"scaling_factor": 0}, "'scaling_factor' = 0"),
        (vae, {"latents_mean": [0.0] * 4}, "'latents_mean'"),
        (vae, {"up_block_types": ["UpDecoderBlock2D"]}, "4 entries"),
        (vae, {"norm_num_groups": 3}, "a divisor of 128"),
        (clip, {"num_attention_heads": 7}, "a divisor of hidden_size = 768"),
        (clip, {"hidden_act": "relu"}, "'quick_gelu' or 'gelu'"),
        (clip, {"eos_token_id": 49408}, "less than vocab_size"),
        (clip, {"architectures": ["CLIPTextModelWithProjection"]}, "CLIPTextModelWithProjection"),
        (clip, {"model_type": "t5"}, "'t5'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_words(module, changes, words):
    assert words in refused(module, **changes)


def test_heads_may_be_named_rightly_and_matter_only_where_a_level_attends():
    config = unet.read_config(published.UNET_SD15 | {"num_attention_heads": [4, 5, 8, 10]}, "")
    assert config.heads == (4, 5, 8, 10)
    plain = {"down_block_types": ["DownBlock2D"] * 4, "up_block_types": ["UpBlock2D"] * 4}
    changed = published.UNET_SD15 | plain | {"attention_head_dim": [7, 7, 7, 8]}
    assert unet.read_config(changed, "").heads == (7, 7, 7, 8)
    middle = {"attention_head_dim": [8, 8, 8, 7]}  # no block of the last level attends but this
    with pytest.raises(ConfigError, match="a divisor of 1280"):
        unet.read_config(published.UNET_SD15 | plain | middle, "")
    finest_up = plain | {"up_block_types": ["UpBlock2D"] * 3 + ["CrossAttnUpBlock2D"]}
    with pytest.raises(ConfigError, match="a divisor of 320"):
        unet.read_config(published.UNET_SD15 | finest_up | {"attention_head_dim": [7, 8, 8, 8]}, "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__)
@given(data=st.data())
def test_whatever_the_values_only_a_config_error_comes_out(module, data):
    keys = st.sampled_from(
        [*module.TABLE.read, *module.TABLE.neutral, *module.TABLE.ignored, "new"]
    )
    numbers = st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=5)
    changes = data.draw(st.dictionaries(keys, JSON | numbers, max_size=4))
    try:
        config = module.read_config(SMALL[module] | changes, "")
    except ConfigError:
        return
    assert dataclasses.is_dataclass(config) and hash(config) is not None
