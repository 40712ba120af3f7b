"""UNet2DModel: the U-Net of pictures without words, as the DDPM checkpoints have it."""

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
from refdiff.checkpoints.names import modern_attention
from refdiff.checkpoints.strict import load_checked
from refdiff.checkpoints.weight_files import WeightFiles
from refdiff.nn.unet_unconditional import UnconditionalUNetConfig, param_shapes

ATTENDS = {
    "AttnDownBlock2D": True,
    "DownBlock2D": False,
    "AttnUpBlock2D": True,
    "UpBlock2D": False,
}
DOWN = choice("AttnDownBlock2D", "DownBlock2D")
UP = choice("AttnUpBlock2D", "UpBlock2D")

TABLE = Table(
    "UNet2DModel",
    read={
        "sample_size": Key(None, either(whole(), NULL)),
        "in_channels": Key(3, whole()),
        "out_channels": Key(3, whole()),
        "center_input_sample": Key(False, TRUTH),
        "freq_shift": Key(0, real(-1, 65536)),
        "flip_sin_to_cos": Key(True, TRUTH),
        "down_block_types": Key(("DownBlock2D",) + ("AttnDownBlock2D",) * 3, listed(DOWN)),
        "up_block_types": Key(("AttnUpBlock2D",) * 3 + ("UpBlock2D",), listed(UP)),
        "block_out_channels": Key((224, 448, 672, 896), listed(whole())),
        "layers_per_block": Key(2, whole(1, 16)),
        "downsample_padding": Key(1, choice(0, 1)),
        "attention_head_dim": Key(8, either(whole(), NULL)),
        "norm_num_groups": Key(32, whole()),
        "norm_eps": Key(1e-5, real(0, 1)),
        "resnet_time_scale_shift": Key("default", choice("default", "scale_shift")),
        "add_attention": Key(True, TRUTH),
    },
    neutral={
        "_class_name": ("UNet2DModel",),
        "time_embedding_type": ("positional",),
        "time_embedding_dim": (None,),
        "mid_block_type": ("UNetMidBlock2D",),
        "mid_block_scale_factor": (1,),
        "downsample_type": ("conv",),
        "upsample_type": ("conv",),
        "act_fn": ("silu", "swish"),
        "attn_norm_num_groups": (None,),
        "class_embed_type": (None,),
        "num_class_embeds": (None,),
    },
    ignored=BOOKKEEPING
    | MOVING_AVERAGE
    | {
        "dropout",  # of training
        "num_train_timesteps",  # rows of a learned time embedding, and there is none
    },
)


def read_config(config: Mapping[str, object], where: str) -> UnconditionalUNetConfig:
    """The dataclass for a config.json; `where` names the file in messages.

    Raises ConfigError for what refdiff does not know, does not have, or cannot fit together.
    """
    v = TABLE.translate(config, where)
    channels = tuple(v["block_out_channels"])
    count = len(channels)
    down = tuple(ATTENDS[name] for name in v.levels("down_block_types", count))
    up = tuple(ATTENDS[name] for name in v.levels("up_block_types", count))
    for level, c in enumerate(channels):
        v.check_divides("norm_num_groups", v["norm_num_groups"], c)
        attends = down[level] or up[-1 - level] or (v["add_attention"] and level == count - 1)
        if attends and v["attention_head_dim"] is not None:
            v.check_divides("attention_head_dim", v["attention_head_dim"], c)
    if v["freq_shift"] >= channels[0] // 2:
        raise v.error("freq_shift", "less than half of the first of block_out_channels")
    return UnconditionalUNetConfig(
        in_channels=v["in_channels"],
        out_channels=v["out_channels"],
        channels=channels,
        down=down,
        up=up,
        layers=v["layers_per_block"],
        head_dim=v["attention_head_dim"],
        groups=v["norm_num_groups"],
        eps=v["norm_eps"],
        scale_shift=v["resnet_time_scale_shift"] == "scale_shift",
        flip_sin_to_cos=v["flip_sin_to_cos"],
        freq_shift=v["freq_shift"],
        downsample_padding=v["downsample_padding"],
        mid_attention=v["add_attention"],
        center_input=v["center_input_sample"],
        sample_size=v["sample_size"],
    )


def load(folder: str | os.PathLike[str]) -> tuple[UnconditionalUNetConfig, WeightFiles]:
    """Configuration and weights of a folder with such a U-Net, checked against each other.

    Raises ConfigError or CheckpointError.
    """
    return load_checked(
        folder, "diffusion_pytorch_model", read_config, param_shapes, modern_attention
    )
