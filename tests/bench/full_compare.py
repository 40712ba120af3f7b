"""A comparison at full size: docs/full-compare.md.

    python -m tests.bench.full_compare docs

The U-Net of Stable Diffusion 1.5 with random weights in a float16 file, one step at 64x64 latents,
batch 2. A block-level trace of refdiff in float64 is the reference, the same model of diffusers on
PyTorch in float32 the candidate, once right and once with the tanh approximation of gelu in one
layer. Each part runs in a process of its own, whose time and peak memory are taken.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import refdiff
from refdiff import safetensors
from refdiff.checkpoints import unet as unet_config
from refdiff.nn.unet import param_shapes
from refdiff.op import Array
from refdiff.verify.compare import compare
from tests.checkpoints.published import UNET_SD15

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0"  # whose gelu is wrong


def make(folder: Path) -> None:
    """The checkpoint and the inputs."""
    rng = np.random.default_rng(0)
    config = unet_config.read_config(UNET_SD15, "config.json")
    weights = {}
    for name, shape in param_shapes(config).items():
        if len(shape) == 1:
            value = 0.1 * rng.standard_normal(shape, np.float32) + (
                "norm" in name and "weight" in name
            )
        else:
            value = rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))
        weights[name] = value.astype(np.float16)
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text(json.dumps(UNET_SD15))
    safetensors.write(folder / "unet" / "diffusion_pytorch_model.safetensors", weights)
    inputs = {
        "sample": rng.standard_normal((2, 4, 64, 64), np.float32),
        "timestep": np.array([981, 21]),
        "encoder_hidden_states": rng.standard_normal((2, 77, 768), np.float32),
    }
    safetensors.write(folder / "in.safetensors", inputs)


def reference(folder: Path) -> None:
    """The trace in float64."""
    model, inputs = refdiff.load(folder / "unet"), read_inputs(folder)
    with refdiff.trace(model, **taking(folder, "ref"), exclude=[""]) as taken:
        for name, x in inputs.items():
            taken.record(f"inputs.{name}", x)
        taken.record("output", model(*(widened(x) for x in inputs.values())))


def candidate(folder: Path, name: str, broken: bool = False) -> None:
    """PyTorch's trace in float32."""
    import torch
    from diffusers import UNet2DConditionModel
    from torch import nn

    model = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
    if broken:
        layer = model.get_submodule(LAYER)
        layer.gelu = partial(nn.functional.gelu, approximate="tanh")
    inputs = {name: torch.from_numpy(x) for name, x in read_inputs(folder).items()}
    with torch.no_grad(), refdiff.record(model, **taking(folder, name)):
        model(**inputs)


def read_inputs(folder: Path) -> dict[str, Array]:
    """As diffusers' forward names them, in its order."""
    file = safetensors.read(folder / "in.safetensors")
    return {n: np.array(file[n]) for n in ("sample", "timestep", "encoder_hidden_states")}


def taking(folder: Path, name: str) -> dict[str, Any]:
    """A block-level trace into a file of that name."""
    return {"level": "block", "to": folder / f"{name}.safetensors"}


def widened(x: Array) -> Array:
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def judged(folder: Path, name: str) -> None:
    """Compare, print the answer."""
    report = compare(folder / "ref.safetensors", folder / name, folder / "unet")
    print(report, file=sys.stderr)
    first, top = report.first, report.diagnosis
    print(
        json.dumps(
            {
                "exit": int(report.exit_code),
                "tensors": len(report.tensors),
                "first": first.name if first else "-",
                "why": top[0].id if top else "-",
            }
        )
    )


def forward(folder: Path) -> None:
    """One pass in float64, nothing kept."""
    refdiff.load(folder / "unet")(*(widened(x) for x in read_inputs(folder).values()))


PARTS = {
    "make": make,
    "reference": reference,
    "right": lambda folder: candidate(folder, "right"),
    "wrong": lambda folder: candidate(folder, "wrong", broken=True),
    "forward": forward,
    "compare right": lambda folder: judged(folder, "right.safetensors"),
    "compare wrong": lambda folder: judged(folder, "wrong.safetensors"),
}


ORDER = ["make", "reference", "right", "wrong", *["forward", "compare right"] * 3, "compare wrong"]


def main(pages: Path) -> None:
    """Every part in its process, what is held against each other by turns; the page."""
    seconds, peaks, said = defaultdict(list), defaultdict(list), {}
    with tempfile.TemporaryDirectory() as name:
        for part in ORDER:
            command = [sys.executable, "-m", "tests.bench.full_compare", name, part]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            *said[part], figures = done.stdout.splitlines()
            taken, peak = json.loads(figures)
            seconds[part].append(taken)
            peaks[part].append(peak / 2**20)
            print(part, figures, *said[part], file=sys.stderr, flush=True)
        size = os.path.getsize(Path(name) / "right.safetensors") / 1e9
        weights = next((Path(name) / "unet").glob("*.safetensors")).stat().st_size / 2**30
    rows = [f"| {part} | {spread(seconds[part])} | {max(peaks[part]):.2f} GiB |" for part in PARTS]
    more = [b - a for a, b in zip(seconds["forward"], seconds["compare right"], strict=True)]
    lines = [
        "# A comparison at full size",
        "",
        "Written by `python -m tests.bench.full_compare docs`: the U-Net of Stable Diffusion 1.5, "
        f"one step at 64x64 latents, batch 2, a block-level trace of {size:.2f} GB, on "
        f"{os.cpu_count()} cores. Peak memory counts the {weights:.2f} GiB of weights, which are "
        "mapped from their file. Medians, and in brackets the range.",
        "",
        "| part | time | peak memory |",
        "|---|---|---|",
        *rows,
        "",
        f"A comparison of what is right takes {spread(more)} more than a forward pass in float64.",
        "",
        *(f"{part}: `{said[part][0]}`" for part in ("compare right", "compare wrong")),
        "",
    ]
    (pages / "full-compare.md").write_text("\n".join(lines))


def spread(seconds: list[float]) -> str:
    """The median, and the range where there is one."""
    told = f"{statistics.median(seconds):.0f} s"
    return told + (f" ({min(seconds):.0f} to {max(seconds):.0f})" if len(seconds) > 1 else "")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        start = time.perf_counter()
        PARTS[sys.argv[2]](Path(sys.argv[1]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([time.perf_counter() - start, peak]))
