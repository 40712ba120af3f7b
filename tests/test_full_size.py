"""The true configurations of Stable Diffusion: counted always, run in full when asked for.

pytest -m full_size -s          # about 8 GB of memory; the figures are in docs/full-size.md
"""

import resource
import time
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from refdiff.checkpoints import clip as clip_config
from refdiff.checkpoints import unet as unet_config
from refdiff.checkpoints import vae as vae_config
from refdiff.nn import clip, unet, vae
from refdiff.op import engine
from refdiff.params import Params, Weights
from tests.checkpoints import published
from tests.nn.oracle import relative


def count(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.parametrize(
    ("config", "module", "reader", "parameters"),
    [
        (published.UNET_SD15, unet, unet_config, 859_520_964),
        (published.UNET_SD21, unet, unet_config, 865_910_724),
        (published.VAE_SD15, vae, vae_config, 83_653_863),
        (published.VAE_SD21, vae, vae_config, 83_653_863),
        (published.CLIP_SD15, clip, clip_config, 123_060_480),
        (published.CLIP_SD21, clip, clip_config, 340_387_840),
    ],
)
def test_parameters(config: dict[str, Any], module: Any, reader: Any, parameters: int) -> None:
    assert count(module.param_shapes(reader.read_config(config, "config.json"))) == parameters


@pytest.mark.full_size
@pytest.mark.parametrize("choice", ["fast", "reference"])
def test_sd15_forward(choice: str) -> None:
    """One step's U-Net at 64x64 latents, batch 2, float32, seeded random weights: 1e-4 relative."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    config = {k: v for k, v in published.UNET_SD15.items() if not k.startswith("_")}
    module = diffusers.UNet2DConditionModel(**config).eval()
    assert sum(p.numel() for p in module.parameters()) == 859_520_964
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 64, 64)).astype(np.float32)
    t = np.array([981, 21])
    context = rng.normal(size=(2, 77, 768)).astype(np.float32)
    arrays = {name: w.detach().numpy() for name, w in module.state_dict().items()}
    p = Params(Weights(arrays), np.dtype(np.float32))
    fields = unet_config.read_config(published.UNET_SD15, "config.json")
    with torch.no_grad():
        theirs = timed(lambda: module(*map(torch.tensor, (x, t, context))).sample, "torch")
    with engine(choice):
        ours = timed(lambda: unet.unet(p, x, t, context, config=fields), choice)
    gap = relative(ours, theirs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"relative difference {gap:.1e}, peak of both together {peak:.1f} GiB")
    assert gap <= 1e-4


def timed(f: Any, name: str) -> Any:
    start = time.perf_counter()
    y = f()
    print(f"{name}: {time.perf_counter() - start:.1f} s")
    return y
