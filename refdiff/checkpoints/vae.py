"""AutoencoderKL: the autoencoder of Stable Diffusion."""

import os
from collections.abc import Mapping

from refdiff.checkpoints.config import (
    BOOKKEEPING,
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
from refdiff.nn.vae import VAEConfig, param_shapes

TABLE = Table(
    "AutoencoderKL",
    read={
        "in_channels": Key(3, whole()),
        "out_channels": Key(3, whole()),
        "down_block_types": Key(("DownEncoderBlock2D",), listed(choice("DownEncoderBlock2D"))),
        "up_block_types": Key(("UpDecoderBlock2D",), listed(choice("UpDecoderBlock2D"))),
        "block_out_channels": Key((64,), listed(whole())),
        "layers_per_block": Key(1, whole(1, 16)),
        "latent_channels": Key(4, whole()),
        "norm_num_groups": Key(32, whole()),
        "sample_size": Key(32, either(whole(), NULL)),
        "scaling_factor": Key(0.18215, real(0, 1e6)),
        "shift_factor": Key(None, either(real(-1e6, 1e6), NULL)),
        "use_quant_conv": Key(True, TRUTH),
        "use_post_quant_conv": Key(True, TRUTH),
        "mid_block_add_attention": Key(True, TRUTH),
    },
    neutral={
        "_class_name": ("AutoencoderKL",),
        "act_fn": ("silu", "swish"),
        "latents_mean": (None,),
        "latents_std": (None,),
    },
    ignored=BOOKKEEPING | {"force_upcast"},  # float32 for a half-precision model; dtype is yours
)


def read_config(config: Mapping[str, object], where: str) -> VAEConfig:
    """The dataclass for a config.json; `where` names the file in messages.

    Raises ConfigError for what refdiff does not know, does not have, or cannot fit together.
    """
    v = TABLE.translate(config, where)
    channels = tuple(v["block_out_channels"])
    for key in ("down_block_types", "up_block_types"):
        v.levels(key, len(channels))
    for c in channels:
        v.check_divides("norm_num_groups", v["norm_num_groups"], c)
    return VAEConfig(
        in_channels=v["in_channels"],
        out_channels=v["out_channels"],
        latent_channels=v["latent_channels"],
        channels=channels,
        layers=v["layers_per_block"],
        groups=v["norm_num_groups"],
        mid_attention=v["mid_block_add_attention"],
        quant_conv=v["use_quant_conv"],
        post_quant_conv=v["use_post_quant_conv"],
        scaling_factor=v["scaling_factor"],
        shift_factor=v["shift_factor"] or 0.0,
        sample_size=v["sample_size"],
    )


def load(folder: str | os.PathLike[str]) -> tuple[VAEConfig, WeightFiles]:
    """Configuration and weights of a folder "vae", checked against each other.

    Raises ConfigError or CheckpointError.
    """
    return load_checked(
        folder, "diffusion_pytorch_model", read_config, param_shapes, modern_attention
    )
