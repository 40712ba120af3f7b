"""Random small configurations of each network, built with diffusers or transformers as the oracle.

Drawn so that mistakes separate: heads != head width, H != W, odd sizes, two samples with different
times, gamma != 1, beta != 0, layers and channels that differ by level.
"""

from collections.abc import Mapping
from typing import Any

import diffusers
import diffusers.models.embeddings as diffusers_embeddings
import numpy as np
import torch
import transformers
from hypothesis import strategies as st

from refdiff.nn.clip import CLIPTextConfig
from refdiff.nn.unet import UNetConfig
from refdiff.nn.unet_unconditional import UnconditionalUNetConfig
from refdiff.nn.vae import VAEConfig
from refdiff.params import Params, Weights

diffusers.utils.logging.set_verbosity_error()
RNG = np.random.default_rng


def draw_unet(rng: np.random.Generator) -> tuple[UNetConfig, dict[str, Any]]:
    """A configuration as refdiff and as diffusers spell it."""
    levels, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    heads = [int(h) for h in rng.integers(1, 4, levels)]
    channels = tuple(groups * h * int(rng.integers(1, 4)) * 2 for h in heads)
    crosses = [bool(rng.integers(2)) for _ in range(levels)]
    ups = [bool(rng.integers(2)) for _ in range(levels)]
    layers = tuple(int(n) for n in rng.integers(1, 3, levels))
    depth = tuple(int(n) for n in rng.integers(1, 3, levels))
    config = UNetConfig(
        in_channels=int(rng.integers(1, 6)),
        out_channels=int(rng.integers(1, 6)),
        channels=channels,
        down=tuple(crosses),
        up=tuple(ups),
        layers=layers,
        heads=tuple(heads),
        depth=depth,
        context=int(rng.integers(2, 12)),
        groups=groups,
        eps=float(rng.choice([1e-5, 1e-6, 1e-3])),
        linear_projection=bool(rng.integers(2)),
        scale_shift=bool(rng.integers(2)),
        flip_sin_to_cos=bool(rng.integers(2)),
        freq_shift=int(rng.integers(2)) if channels[0] > 2 else 0,
    )
    return config, {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": channels,
        "down_block_types": [("CrossAttnDownBlock2D" if c else "DownBlock2D") for c in crosses],
        "up_block_types": [("CrossAttnUpBlock2D" if c else "UpBlock2D") for c in ups],
        "layers_per_block": layers,
        "attention_head_dim": tuple(heads),
        "transformer_layers_per_block": depth,
        "cross_attention_dim": config.context,
        "norm_num_groups": groups,
        "norm_eps": config.eps,
        "use_linear_projection": config.linear_projection,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "flip_sin_to_cos": config.flip_sin_to_cos,
        "freq_shift": config.freq_shift,
    }


def draw_unconditional(
    rng: np.random.Generator,
) -> tuple[UnconditionalUNetConfig, dict[str, Any]]:
    levels, groups, width = (
        int(n) for n in (rng.integers(1, 4), rng.integers(1, 4), rng.integers(1, 4))
    )
    channels = tuple(2 * groups * width * int(c) for c in rng.integers(1, 3, levels))
    down = tuple(bool(rng.integers(2)) for _ in range(levels))
    up = tuple(bool(rng.integers(2)) for _ in range(levels))
    config = UnconditionalUNetConfig(
        in_channels=int(rng.integers(1, 5)),
        out_channels=int(rng.integers(1, 5)),
        channels=channels,
        down=down,
        up=up,
        layers=int(rng.integers(1, 3)),
        head_dim=width if rng.integers(3) else None,
        groups=groups,
        eps=float(rng.choice([1e-5, 1e-6])),
        scale_shift=bool(rng.integers(2)),
        flip_sin_to_cos=bool(rng.integers(2)),
        freq_shift=int(rng.integers(2)) if channels[0] > 2 else 0,
        downsample_padding=int(rng.integers(2)),
        mid_attention=bool(rng.integers(4)),
        center_input=bool(rng.integers(2)),
    )
    return config, {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": channels,
        "down_block_types": [("AttnDownBlock2D" if a else "DownBlock2D") for a in down],
        "up_block_types": [("AttnUpBlock2D" if a else "UpBlock2D") for a in up],
        "layers_per_block": config.layers,
        "attention_head_dim": config.head_dim,
        "norm_num_groups": groups,
        "norm_eps": config.eps,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "flip_sin_to_cos": config.flip_sin_to_cos,
        "freq_shift": config.freq_shift,
        "downsample_padding": config.downsample_padding,
        "add_attention": config.mid_attention,
        "center_input_sample": config.center_input,
    }


def draw_vae(rng: np.random.Generator) -> tuple[VAEConfig, dict[str, Any]]:
    levels, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    config = VAEConfig(
        in_channels=int(rng.integers(1, 4)),
        out_channels=int(rng.integers(1, 4)),
        latent_channels=int(rng.integers(1, 5)),
        channels=tuple(groups * int(c) for c in rng.integers(1, 5, levels)),
        layers=int(rng.integers(1, 3)),
        groups=groups,
        mid_attention=bool(rng.integers(4)),
        quant_conv=bool(rng.integers(3)),
        post_quant_conv=bool(rng.integers(3)),
    )
    return config, {
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "latent_channels": config.latent_channels,
        "block_out_channels": config.channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": config.layers,
        "norm_num_groups": groups,
        "mid_block_add_attention": config.mid_attention,
        "use_quant_conv": config.quant_conv,
        "use_post_quant_conv": config.post_quant_conv,
    }


def draw_clip(rng: np.random.Generator) -> tuple[CLIPTextConfig, dict[str, Any]]:
    heads, vocab = int(rng.integers(1, 5)), int(rng.integers(5, 40))
    config = CLIPTextConfig(
        vocab=vocab,
        width=heads * int(rng.integers(1, 6)),
        hidden=int(rng.integers(1, 30)),
        layers=int(rng.integers(1, 4)),
        heads=heads,
        positions=int(rng.integers(2, 20)),
        activation=str(rng.choice(["quick_gelu", "gelu"])),
        eps=float(rng.choice([1e-5, 1e-3])),
        eos=int(rng.choice([2, vocab - 1])),
    )
    return config, {
        "vocab_size": vocab,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": heads,
        "max_position_embeddings": config.positions,
        "hidden_act": config.activation,
        "layer_norm_eps": config.eps,
        "eos_token_id": config.eos,
        "bos_token_id": 0,
        "pad_token_id": 1,
    }


def build(cls: Any, options: Mapping[str, Any], seed: int, dtype: torch.dtype) -> Any:
    """The oracle's module with weights of useful size, norms that scale and shift among them."""
    if cls is transformers.CLIPTextModel:
        module = cls(transformers.CLIPTextConfig(**options))
    else:
        module = cls(**options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            spread = 0.3 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(spread * torch.randn(weight.shape, generator=generator))
            if weight.ndim == 1 and name.endswith("weight"):
                weight += 1
    return module.to(dtype).eval()


def params(module: Any, prefix: str = "") -> Params:
    """The oracle's weights as refdiff sees them, in their dtype."""
    arrays = {prefix + name: w.detach().numpy() for name, w in module.state_dict().items()}
    return Params(Weights(arrays), next(iter(arrays.values())).dtype)


class ExactTimes(torch.nn.Module):
    """diffusers' sinusoids without their detour through float32, for comparisons in float64."""

    def __init__(self, original: diffusers_embeddings.Timesteps) -> None:
        super().__init__()
        self.width, self.flip = original.num_channels, original.flip_sin_to_cos
        self.shift = original.downscale_freq_shift

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        f = torch.tensor(10000.0, dtype=torch.float64) ** (
            -torch.arange(half, dtype=torch.float64) / (half - self.shift)
        )
        phase = torch.outer(t.double(), f)
        waves = (phase.cos(), phase.sin()) if self.flip else (phase.sin(), phase.cos())
        return torch.nn.functional.pad(torch.cat(waves, -1), (0, self.width % 2))


def relative(ours: np.ndarray, theirs: Any) -> float:
    """Largest difference over largest value."""
    theirs = np.asarray(theirs.detach() if hasattr(theirs, "detach") else theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert np.isfinite(ours).all()
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300))


SEEDS = st.integers(0, 2**32 - 1)
UNet = diffusers.UNet2DConditionModel
UnconditionalUNet = diffusers.UNet2DModel
VAE = diffusers.AutoencoderKL
CLIP = transformers.CLIPTextModel
