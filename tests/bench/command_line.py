"""How long a user waits: importing, the first picture and the next ones, by kernels, too.

    python -m tests.bench.command_line            # prints docs/performance.md's table

Each figure is the median of several runs in fresh processes, with the range; diffusers makes the
same picture on the same machine in between, and the two must be equal before anything is timed.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PROMPT = "frogs on stilts"
PEER = """
import sys, torch, diffusers
from refdiff.loading import shipped
pipe = diffusers.StableDiffusionPipeline.from_pretrained(shipped(), dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
generator = torch.Generator().manual_seed(0)
image = pipe({prompt!r}, num_inference_steps=25, guidance_scale=4.0, generator=generator).images[0]
image.save(sys.argv[1])
"""


def seconds(argv: list[str], **environment: str) -> float:
    """Wall time of a process."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **environment})
    return time.perf_counter() - start


def summary(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def main(runs: int = 5) -> None:
    """Interleave the contenders, then print a table."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        ours, kernels, theirs = (f"{folder}/{name}.png" for name in ("ours", "fast", "theirs"))
        make = [python, "-m", "refdiff", "generate", PROMPT, "--guidance", "4", "-o"]
        by_definitions, by_kernels = [*make, ours], [*make, kernels, "--engine", "fast"]
        peer = [python, "-c", PEER.format(prompt=PROMPT), theirs]
        times: dict[str, list[float]] = {
            "`import refdiff`": [],
            "first picture, with nothing compiled": [],
            "next picture": [],
            "first picture by `--engine fast`, kernels compiled on the way": [],
            "next picture by `--engine fast`": [],
            "`import diffusers` and its pipeline, no picture": [],
            "the same picture by diffusers on PyTorch": [],
        }
        imported, first, following, compiled, fast, started, other = times.values()
        for i in range(runs):
            cache = str(Path(folder) / f"cache{i}")
            imported.append(seconds([python, "-c", "import refdiff"]))
            first.append(seconds(by_definitions, REFDIFF_CACHE_DIR=cache))
            following.append(seconds(by_definitions, REFDIFF_CACHE_DIR=cache))
            compiled.append(seconds(by_kernels, REFDIFF_CACHE_DIR=cache))
            fast.append(seconds(by_kernels, REFDIFF_CACHE_DIR=cache))
            started.append(
                seconds([python, "-c", "import diffusers; diffusers.StableDiffusionPipeline"])
            )
            other.append(seconds(peer))
            for made in ours, kernels:
                gap = np.asarray(Image.open(made), int) - np.asarray(Image.open(theirs), int)
                if np.abs(gap).max() > 1:
                    raise SystemExit(f"pictures differ by {np.abs(gap).max()} levels: not timed")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| what a user waits for | median of runs (range) |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {summary(values)} |")


if __name__ == "__main__":
    main()
