"""Tiny models of diffusers and transformers with refdiff's own over the same weights."""

import copy
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
import transformers

import refdiff
from refdiff.checkpoints import clip, unet, vae
from refdiff.components import VAE, TextEncoder, UNet

KINDS = ("unet", "decoder", "encoder", "text")
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 12,
    "norm_num_groups": 4,
}
VAE_KEYS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
TEXT: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 12,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 11,
    "hidden_act": "quick_gelu",
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
SD2 = {"attention_head_dim": (2, 4), "use_linear_projection": True}


class Tiny(NamedTuple):
    """A torch model, refdiff's, and what both are called with, by diffusers' names."""

    kind: str
    torch: Any
    ours: Any
    inputs: Mapping[str, np.ndarray]

    def candidate(self, model: Any = None, dtype: Any = torch.float32) -> dict[str, np.ndarray]:
        """A record of the torch model, or of a mutated copy of it."""
        if model is None:
            model = copy.deepcopy(self.torch).to(dtype).eval()
        with torch.no_grad(), refdiff.record(model) as taken:
            run(self.kind, model, self.inputs, dtype)
        return dict(taken)

    def reference(self) -> dict[str, np.ndarray]:
        """refdiff's trace in float64, with the inputs."""
        with refdiff.trace(self.ours) as taken:
            x = {
                k: v if v.dtype.kind == "i" else v.astype(np.float64)
                for k, v in self.inputs.items()
            }
            match self.kind:
                case "unet":
                    self.ours(x["sample"], x["timestep"], x["encoder_hidden_states"])
                case "decoder":
                    self.ours.decode(x["z"])
                case "encoder":
                    self.ours.encode(x["sample"])
                case _:
                    self.ours(x["input_ids"], np.float64)
        return {**{f"inputs.{k}": v for k, v in self.inputs.items()}, **taken}


def run(kind: str, model: Any, inputs: Mapping[str, np.ndarray], dtype: Any) -> None:
    """Call a torch model as its pipeline does."""
    x = {k: torch.tensor(v) for k, v in inputs.items()}
    x = {k: v.to(dtype) if v.is_floating_point() else v for k, v in x.items()}
    match kind:
        case "unet":
            model(x["sample"], x["timestep"], x["encoder_hidden_states"])
        case "decoder":
            model.decode(x["z"])
        case "encoder":
            model.encode(x["sample"])
        case _:
            model(x["input_ids"])


def tiny(kind: str, seed: int, shaped: Mapping[str, Any] | None = None) -> Tiny:
    """A model drawn so that mistakes separate: two samples, H != W, scales and shifts of norms."""
    rng = np.random.default_rng(seed)
    made = {"unet": tiny_unet, "text": tiny_text}.get(kind, tiny_vae)(dict(shaped or {}))
    settle(made, rng)
    weights = {k: v.numpy().copy() for k, v in made.state_dict().items()}
    told = made.config.to_dict() if kind == "text" else dict(made.config)
    told.pop("_use_default_values", None)
    config = json.loads(json.dumps(told))
    N, H, W = 2, 6, 10
    match kind:
        case "unet":
            ours: Any = UNet(unet.read_config(config, "config"), weights)
            inputs = {
                "sample": normal(rng, N, 4, H, W),
                "timestep": np.array([981, 301]),
                "encoder_hidden_states": normal(rng, N, 7, config["cross_attention_dim"]),
            }
        case "text":
            weights = {k: v for k, v in weights.items() if "position_ids" not in k}
            prefix = "" if any(k.startswith("text_model.") for k in weights) else "text_model."
            ours = TextEncoder(
                clip.read_config(config, "config"), {prefix + k: v for k, v in weights.items()}
            )
            inputs = {"input_ids": rng.integers(3, 40, (N, 9))}
        case _:
            ours = VAE(vae.read_config(config, "config"), weights)
            name, shape = ("z", (N, 4, H, W)) if kind == "decoder" else ("sample", (N, 3, 12, 20))
            inputs = {name: normal(rng, *shape)}
    return Tiny(kind, made, ours, inputs)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """float16 numbers, which every precision starts from alike."""
    return rng.normal(size=shape).astype(np.float16).astype(np.float32)


def settle(model: Any, rng: np.random.Generator) -> None:
    """Weights that keep activations of size 1, scales near 1, shifts and biases that show."""
    for p in model.parameters():
        if p.ndim == 1:
            value = rng.normal(size=p.shape) * 0.3
        else:
            value = rng.normal(size=p.shape) / np.sqrt(np.prod(p.shape[1:]))
        p.data = torch.tensor(value, dtype=torch.float32)
    for module in model.modules():
        if "Norm" in type(module).__name__:
            module.weight.data += 1
    for p in model.parameters():
        p.data = p.data.to(torch.float16).float()


def tiny_unet(shaped: dict[str, Any]) -> Any:
    """The U-Net of Stable Diffusion 1, or with SD2 of 2, in small."""
    return diffusers.UNet2DConditionModel(**{**UNET, **shaped}).eval()


def tiny_vae(shaped: dict[str, Any]) -> Any:
    """The autoencoder of Stable Diffusion in small."""
    return diffusers.AutoencoderKL(**VAE_KEYS, **shaped).eval()


def tiny_text(shaped: dict[str, Any]) -> Any:
    """CLIP's text encoder in small."""
    return transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT, **shaped)).eval()
