"""Which names are wanted: levels nest, globs and steps cut, and whatever is unclear is refused."""

import pytest

from refdiff.errors import ConfigError
from refdiff.selection import LEVELS, Selection, level_of, parse_steps

NAMES = {
    "io": [
        *(
            "tokens",
            "text_states",
            "plan.alpha_bar",
            "latents",
            "steps.3.x_in",
            "steps.12.eps_text",
        ),
        *(
            "steps.0.unet",
            "z",
            "vae",
            "picture",
            "inputs.sample",
            "output",
            "output.pooled",
            "vae@2",
        ),
    ],
    "block": [
        *("steps.0.unet.down_blocks.0", "steps.0.unet.up_blocks.1.attentions.0", "mid_block"),
        *("unet.mid_block.resnets.1", "steps.0.unet.time_embedding", "conv_in", "vae.decoder"),
        *("text_encoder.text_model.encoder.layers.0@2", "vae.decoder.up_blocks.0.upsamplers.0"),
    ],
    "layer": [
        *("steps.0.unet.down_blocks.0.resnets.0.norm1", "conv_act", "unet.time_embedding.linear_1"),
        *(
            "steps.0.unet.mid_block.attentions.0.transformer_blocks.0",
            "a.to_out.0",
            "x.nonlinearity@2",
        ),
    ],
    "op": ["steps.0.unet.conv_in@conv2d", "a.attn1@softmax@2", "steps.0.unet@timestep_embedding"],
}


@pytest.mark.parametrize("level", LEVELS)
def test_every_name_has_its_level_and_finer_ones_hold_it(level: str) -> None:
    for name in NAMES[level]:
        assert level_of(name) == level, name
        kept = [wanted for wanted in LEVELS if Selection(wanted)(name)]
        assert kept == list(LEVELS[LEVELS.index(level) :])


def test_globs_go_over_dots_and_exclude_wins() -> None:
    select = Selection("op", ("*attn1*", "z"), ("*.to_q",))
    assert select("unet.a.attn1@softmax") and select("z")
    assert not select("unet.a.attn1.to_q") and not select("unet.a.attn2")


def test_steps_cut_what_belongs_to_a_step_only() -> None:
    select = Selection(steps=parse_steps("0,2:4"))
    kept = [i for i in range(30) if select(f"steps.{i}.out")]
    assert kept == [0, 2, 3] and select("picture") and select("plan.t")
    assert parse_steps("7:") >= {7, 99} and 6 not in parse_steps("7:")


@pytest.mark.parametrize("text", ["", "a", "1-3", "-1", "3:1:2", "1,,2", "9" * 40, "١"])
def test_what_names_no_steps(text: str) -> None:
    with pytest.raises(ConfigError, match="0:3"):
        parse_steps(text)


def test_an_unknown_level() -> None:
    with pytest.raises(ConfigError, match="io, block, layer, op"):
        Selection("layers")
