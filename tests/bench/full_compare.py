"""A comparison at full size: docs/full-compare.md.

    python -m tests.bench.full_compare docs

The U-Net of Stable Diffusion 1.5 with random weights in a float16 file, one step at 64x64 latents,
batch 2. A block-level trace of refdiff in float64 is the reference, one of its kernels in float32
the candidate, once right and once with the tanh approximation of gelu in one layer. Each part runs
in a process of its own, whose time and peak memory are taken.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import refdiff
from refdiff import ops, safetensors
from refdiff.checkpoints import unet as unet_config
from refdiff.nn.unet import param_shapes
from refdiff.op import Op, around
from refdiff.verify.compare import compare
from tests.checkpoints.published import UNET_SD15

LAYER = 3  # the gelu that is wrong, counted


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
    run(folder, "ref.safetensors", np.float64, "reference")


def right(folder: Path) -> None:
    """A candidate."""
    run(folder, "right.safetensors", np.float32, "fast")


def wrong(folder: Path) -> None:
    """A candidate with one mistake."""
    calls = 0

    def tanh(op: Op, compute, *args, **options):  # type: ignore[no-untyped-def, type-arg]
        nonlocal calls
        if op.name != "geglu":
            return compute(*args, **options)
        calls += 1
        if calls != LAYER:
            return compute(*args, **options)
        value, gate = np.split(args[0], 2, -1)
        return value * ops.gelu_tanh(gate)

    with around(tanh):
        run(folder, "wrong.safetensors", np.float32, "fast")


def run(folder: Path, name: str, dtype: type, engine: str) -> None:
    """A block-level trace."""
    model, inputs = refdiff.load(folder / "unet"), safetensors.read(folder / "in.safetensors")
    x, t, context = (np.array(inputs[n]) for n in ("sample", "timestep", "encoder_hidden_states"))
    options = {"level": "block", "to": folder / name, "exclude": [""]}
    with refdiff.engine(engine), refdiff.trace(model, **options) as taken:
        for key in inputs:
            taken.record(f"inputs.{key}", np.array(inputs[key]))
        taken.record("output", model(x.astype(dtype), t, context.astype(dtype)))


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
    model, inputs = refdiff.load(folder / "unet"), safetensors.read(folder / "in.safetensors")
    x, t, context = (np.array(inputs[n]) for n in ("sample", "timestep", "encoder_hidden_states"))
    model(x.astype(np.float64), t, context.astype(np.float64))


PARTS = {
    "make": make,
    "reference": reference,
    "right": right,
    "wrong": wrong,
    "forward": forward,
    "compare right": lambda folder: judged(folder, "right.safetensors"),
    "compare wrong": lambda folder: judged(folder, "wrong.safetensors"),
}


def main(pages: Path) -> None:
    """Every part in its process; the page."""
    rows, said = [], {}
    with tempfile.TemporaryDirectory() as name:
        for part in PARTS:
            command = [sys.executable, "-m", "tests.bench.full_compare", name, part]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            *answer, figures = done.stdout.splitlines()
            seconds, peak = json.loads(figures)
            said[part] = answer
            rows.append(f"| {part} | {seconds:.0f} s | {peak / 2**20:.2f} GiB |")
            print(rows[-1], *answer, file=sys.stderr, flush=True)
        size = os.path.getsize(Path(name) / "right.safetensors") / 1e9
        weights = next((Path(name) / "unet").glob("*.safetensors")).stat().st_size / 2**30
    lines = [
        "# A comparison at full size",
        "",
        "Written by `python -m tests.bench.full_compare docs`: the U-Net of Stable Diffusion 1.5, "
        f"one step at 64x64 latents, batch 2, a block-level trace of {size:.2f} GB, on "
        f"{os.cpu_count()} cores. Peak memory counts the {weights:.2f} GiB of weights, which are "
        "mapped from their file.",
        "",
        "| part | time | peak memory |",
        "|---|---|---|",
        *rows,
        "",
        *(f"{part}: `{said[part][0]}`" for part in ("compare right", "compare wrong")),
        "",
    ]
    (pages / "full-compare.md").write_text("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        start = time.perf_counter()
        PARTS[sys.argv[2]](Path(sys.argv[1]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([time.perf_counter() - start, peak]))
