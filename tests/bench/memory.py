"""How much memory a picture takes: docs/memory.md.

    python -m tests.bench.memory docs

The networks of Stable Diffusion 1.5 with random weights in float16 files, 512x512 pixels, guidance;
each way to make the picture in a process of its own, by turns, whose time and peak are taken. The
peak of resident memory counts the pages of the weights' files that were mapped and not given back.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refdiff import safetensors
from refdiff.checkpoints import clip, unet, vae
from refdiff.loading import shipped
from refdiff.nn import clip as clip_net
from refdiff.nn import unet as unet_net
from refdiff.nn import vae as vae_net
from tests.checkpoints.published import CLIP_SD15, UNET_SD15, VAE_SD15

PARTS: Mapping[str, tuple[Any, Any, Any, str]] = {
    "unet": (UNET_SD15, unet.read_config, unet_net.param_shapes, "diffusion_pytorch_model"),
    "vae": (VAE_SD15, vae.read_config, vae_net.param_shapes, "diffusion_pytorch_model"),
    "text_encoder": (CLIP_SD15, clip.read_config, clip_net.param_shapes, "model"),
}
WAYS = {"as it is": [], "`--memory small`": ["--memory", "small"]}
STEPS, ROUNDS = 4, 3


def make(folder: Path) -> None:
    """The checkpoint."""
    rng = np.random.default_rng(0)
    shutil.copytree(shipped() / "scheduler", folder / "scheduler")
    shutil.copytree(shipped() / "tokenizer", folder / "tokenizer")
    shutil.copy(shipped() / "model_index.json", folder)
    settings = folder / "tokenizer" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 77}))
    for part, (config, read, shapes, stem) in PARTS.items():
        weights = {}
        for name, shape in shapes(read(config, part)).items():
            value = rng.standard_normal(shape, np.float32)
            if len(shape) == 1:
                value = 0.1 * value + ("norm" in name and "weight" in name)
            else:
                value /= np.sqrt(np.prod(shape[1:]))
            weights[name] = value.astype(np.float16)
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
        safetensors.write(folder / part / f"{stem}.safetensors", weights)


def run(argv: list[str]) -> tuple[float, float]:
    """Seconds and peak in MB (10^6 bytes) of a process that must end well.

    Linux counts what the parent held before it: so this process stays small.
    """
    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *argv], os.environ)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{argv} ended with {status}")
    return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e6


def main(pages: Path) -> None:
    """Both by turns, whose pictures must agree; the page."""
    seconds, peaks = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        run(["-m", "tests.bench.memory", "make", name])
        weights = sum(path.stat().st_size for path in Path(name).glob("*/*.safetensors")) / 2**30
        picture = {}
        for _ in range(ROUNDS):
            for way, options in WAYS.items():
                path = f"{name}/picture.png"
                argv = ["-m", "refdiff", "generate", "frogs", "--model", name, "-o", path]
                taken, peak = run([*argv, "--steps", str(STEPS), *options])
                seconds[way].append(taken)
                peaks[way].append(peak)
                picture[way] = np.asarray(Image.open(path), int)
                print(way, f"{taken:.1f} s, {peak:.0f} MB", file=sys.stderr, flush=True)
        one, other = picture.values()
        if (gap := np.abs(one - other).max()) > 1:
            raise SystemExit(f"the pictures differ by {gap} levels: nothing is written")
    few, more = seconds.values()
    ratio = [b / a for a, b in zip(few, more, strict=True)]
    rows = [
        f"| {way} | {statistics.median(peaks[way]):.0f} MB ({min(peaks[way]):.0f} to "
        f"{max(peaks[way]):.0f}) | {statistics.median(seconds[way]):.0f} s "
        f"({min(seconds[way]):.0f} to {max(seconds[way]):.0f}) |"
        for way in WAYS
    ]
    lines = [
        "# How much memory a picture takes",
        "",
        "Written by `python -m tests.bench.memory docs`: the networks of Stable Diffusion 1.5 with "
        f"random weights, {weights:.2f} GiB of float16, a picture of 512x512 pixels in {STEPS} "
        "steps with guidance, float32, "
        f"{os.cpu_count()} cores; each run in a process of its own, by turns; medians and ranges. "
        "A peak is that of resident memory, Python and its libraries among it, and pages of the "
        "weights' files that are mapped.",
        "",
        "| | peak | time |",
        "|---|---|---|",
        *rows,
        "",
        f"Small takes {statistics.median(ratio):.2f} times as long ({min(ratio):.2f} to "
        f"{max(ratio):.2f}). The pictures differ in {np.mean(one != other):.2%} of their values, "
        f"by {gap} of 255 at most.",
        "",
    ]
    (pages / "memory.md").write_text("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
