"""UNet2DConditionModel: the U-Net of Stable Diffusion 1.x and 2.x."""

import os
from collections.abc import Mapping

from refdiff.checkpoints.config import (
    BOOKKEEPING,
    MOVING_AVERAGE,
    NULL,
    TRUTH,
    Key,
    Table,
    choice,
    either,
    listed,
    real,
    whole,
)
from refdiff.checkpoints.strict import load_checked
from refdiff.checkpoints.weight_files import WeightFiles
from refdiff.nn.unet import UNetConfig, param_shapes

ATTENDS = {
    "CrossAttnDownBlock2D": True,
    "DownBlock2D": False,
    "CrossAttnUpBlock2D": True,
    "UpBlock2D": False,
}
DOWN = choice("CrossAttnDownBlock2D", "DownBlock2D")
UP = choice("CrossAttnUpBlock2D", "UpBlock2D")
LAYERS = whole(1, 16)
DEPTH = whole(1, 32)

TABLE = Table(
    "UNet2DConditionModel",
    read={
        "sample_size": Key(None, either(whole(), NULL)),
        "in_channels": Key(4, whole()),
        "out_channels": Key(4, whole()),
        "flip_sin_to_cos": Key(True, TRUTH),
        "freq_shift": Key(0, real(-1, 65536)),
        "down_block_types": Key(("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), listed(DOWN)),
        "up_block_types": Key(("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, listed(UP)),
        "block_out_channels": Key((320, 640, 1280, 1280), listed(whole())),
        "layers_per_block": Key(2, either(LAYERS, listed(LAYERS))),
        "norm_num_groups": Key(32, whole()),
        "norm_eps": Key(1e-5, real(0, 1)),
        "cross_attention_dim": Key(1280, whole()),
        "transformer_layers_per_block": Key(1, either(DEPTH, listed(DEPTH))),
        # Means the number of heads, against its name (diffusers issue 2011).
        "attention_head_dim": Key(8, either(whole(), listed(whole()))),
        "num_attention_heads": Key(None, either(NULL, either(whole(), listed(whole())))),
        "use_linear_projection": Key(False, TRUTH),
        "resnet_time_scale_shift": Key("default", choice("default", "scale_shift")),
    },
    neutral={
        "_class_name": ("UNet2DConditionModel",),
        "center_input_sample": (False,),
        "mid_block_type": ("UNetMidBlock2DCrossAttn",),
        "only_cross_attention": (False,),
        "downsample_padding": (1,),
        "mid_block_scale_factor": (1,),
        "act_fn": ("silu", "swish"),
        "reverse_transformer_layers_per_block": (None,),
        "encoder_hid_dim": (None,),
        "encoder_hid_dim_type": (None,),
        "dual_cross_attention": (False,),
        "class_embed_type": (None,),
        "addition_embed_type": (None,),
        "addition_time_embed_dim": (None,),
        "num_class_embeds": (None,),
        "resnet_skip_time_act": (False,),
        "resnet_out_scale_factor": (1,),
        "time_embedding_type": ("positional",),
        "time_embedding_dim": (None,),
        "time_embedding_act_fn": (None,),
        "timestep_post_act": (None,),
        "time_cond_proj_dim": (None,),
        "conv_in_kernel": (3,),
        "conv_out_kernel": (3,),
        "projection_class_embeddings_input_dim": (None,),
        "attention_type": ("default",),
        "class_embeddings_concat": (False,),
        "mid_block_only_cross_attention": (None, False),
        "cross_attention_norm": (None,),
    },
    ignored=BOOKKEEPING
    | MOVING_AVERAGE
    | {
        "dropout",  # of training
        "upcast_attention",  # float32 attention inside a half-precision model; here dtype is yours
        "addition_embed_type_num_heads",  # of an addition_embed_type, and there is none
    },
)


def read_config(config: Mapping[str, object], where: str) -> UNetConfig:
    """The dataclass for a config.json; `where` names the file in messages.

    Raises ConfigError for what refdiff does not know, does not have, or cannot fit together.
    """
    v = TABLE.translate(config, where)
    channels = tuple(v["block_out_channels"])
    count = len(channels)
    down = tuple(ATTENDS[name] for name in v.levels("down_block_types", count))
    up = tuple(ATTENDS[name] for name in v.levels("up_block_types", count))
    heads_key = "attention_head_dim" if v["num_attention_heads"] is None else "num_attention_heads"
    heads = v.levels(heads_key, count)
    for level, c in enumerate(channels):
        v.check_divides("norm_num_groups", v["norm_num_groups"], c)
        if down[level] or up[-1 - level] or level == count - 1:  # the middle attends at the last
            v.check_divides(heads_key, heads[level], c)
    if v["freq_shift"] >= channels[0] // 2:
        raise v.error("freq_shift", "less than half of the first of block_out_channels")
    return UNetConfig(
        in_channels=v["in_channels"],
        out_channels=v["out_channels"],
        channels=channels,
        down=down,
        up=up,
        layers=v.levels("layers_per_block", count),
        heads=heads,
        depth=v.levels("transformer_layers_per_block", count),
        context=v["cross_attention_dim"],
        groups=v["norm_num_groups"],
        eps=v["norm_eps"],
        linear_projection=v["use_linear_projection"],
        scale_shift=v["resnet_time_scale_shift"] == "scale_shift",
        flip_sin_to_cos=v["flip_sin_to_cos"],
        freq_shift=v["freq_shift"],
        sample_size=v["sample_size"],
    )


def load(folder: str | os.PathLike[str]) -> tuple[UNetConfig, WeightFiles]:
    """Configuration and weights of a folder "unet", checked against each other.

    Raises ConfigError or CheckpointError.
    """
    return load_checked(folder, "diffusion_pytorch_model", read_config, param_shapes)
