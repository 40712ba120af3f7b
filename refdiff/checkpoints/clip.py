"""CLIPTextModel: the text encoder of Stable Diffusion 1.x and 2.x."""

import os
from collections.abc import Mapping

from refdiff.checkpoints.config import BOOKKEEPING, Key, Table, choice, real, whole
from refdiff.checkpoints.names import clip_names
from refdiff.checkpoints.strict import load_checked
from refdiff.checkpoints.weight_files import WeightFiles
from refdiff.nn.clip import CLIPTextConfig, param_shapes

TABLE = Table(
    "CLIPTextModel",
    read={
        "vocab_size": Key(49408, whole(1, 10_000_000)),
        "hidden_size": Key(512, whole()),
        "intermediate_size": Key(2048, whole()),
        "num_hidden_layers": Key(12, whole(1, 256)),
        "num_attention_heads": Key(8, whole()),
        "max_position_embeddings": Key(77, whole()),
        "hidden_act": Key("quick_gelu", choice("quick_gelu", "gelu")),
        "layer_norm_eps": Key(1e-5, real(0, 1)),
        "eos_token_id": Key(49407, whole(0, 10_000_000)),
    },
    neutral={
        "model_type": ("clip_text_model",),
        "architectures": (None, ["CLIPTextModel"]),
        "is_encoder_decoder": (False,),
    },
    ignored=BOOKKEEPING
    | {
        # Training.
        "attention_dropout",
        "dropout",
        "initializer_factor",
        "initializer_range",
        # CLIPTextModel has no projection; the tokenizer knows its own special tokens.
        "projection_dim",
        "bos_token_id",
        "pad_token_id",
        # What every configuration of transformers may carry: forms of input and output.
        "chunk_size_feed_forward",
        "dtype",
        "id2label",
        "label2id",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "torch_dtype",
        "transformers_version",
    },
)


def read_config(config: Mapping[str, object], where: str) -> CLIPTextConfig:
    """The dataclass for a config.json; `where` names the file in messages.

    Raises ConfigError for what refdiff does not know, does not have, or cannot fit together.
    """
    v = TABLE.translate(config, where)
    if v["hidden_size"] % v["num_attention_heads"]:
        raise v.error("num_attention_heads", f"a divisor of hidden_size = {v['hidden_size']}")
    if v["eos_token_id"] >= v["vocab_size"]:
        raise v.error("eos_token_id", f"less than vocab_size = {v['vocab_size']}")
    return CLIPTextConfig(
        vocab=v["vocab_size"],
        width=v["hidden_size"],
        hidden=v["intermediate_size"],
        layers=v["num_hidden_layers"],
        heads=v["num_attention_heads"],
        positions=v["max_position_embeddings"],
        activation=v["hidden_act"],
        eps=v["layer_norm_eps"],
        eos=v["eos_token_id"],
    )


def load(folder: str | os.PathLike[str]) -> tuple[CLIPTextConfig, WeightFiles]:
    """Configuration and weights of a folder "text_encoder", checked against each other.

    Raises ConfigError or CheckpointError.
    """
    return load_checked(folder, "model", read_config, param_shapes, clip_names)
