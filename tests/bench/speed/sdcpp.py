"""A picture by Stable Diffusion 1.5 with random weights beside stable-diffusion.cpp.

python -m tests.bench.speed.sdcpp [--rounds 3]

One file in CompVis' names, widened to float32 by both; 512x512 pixels, two steps of Euler's method
with guidance. Both texts are empty: their tokens are the same in every vocabulary. Pictures must
agree before seconds are told.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import refdiff
from refdiff import noise, safetensors
from refdiff.op import Array
from refdiff.verify.aliases import compvis
from tests.bench import memory
from tests.bench.speed.race import Times, machine, ratios

SEED, STEPS, SCALE, SIDE = 7, 2, 7.0, 512
BEGIN, END, LENGTH = 49406, 49407, 77
LEVELS = 2  # of 255: stable-diffusion.cpp rounds what convolutions read to float16
PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.transformer.",
}
Parts = dict[str, float]
Painter = Callable[[], tuple[Array, Parts]]


def single_file(folder: Path) -> Path:
    """The checkpoint of a folder as one file, as it was published first."""
    weights = {}
    for part, prefix in PREFIXES.items():
        model = refdiff.load(folder / part).weights.source
        names = compvis(sorted(model)) if part != "text_encoder" else {}
        for name in model:
            old, value = names.get(name, name), np.asarray(model[name])
            projects = part == "vae" and "attn_1" in old and value.ndim == 2
            weights[prefix + old] = value[:, :, None, None] if projects else value
    path = folder / "model.safetensors"
    safetensors.write(path, weights)
    return path


def ours(folder: Path) -> Painter:
    """refdiff's fast engine, and Euler's method (arXiv 2206.00364, algorithm 1)."""
    unet, vae, encoder = (refdiff.load(folder / part) for part in PREFIXES)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = np.cumprod(1 - betas)
    times = np.linspace(999, 0, STEPS)
    sigmas = np.append(np.sqrt(1 / kept - 1)[times.astype(int)], 0)
    ids = [BEGIN] + [END] * (LENGTH - 1)

    def paint() -> tuple[Array, Parts]:
        start = time.perf_counter()
        context = np.repeat(encoder(ids).last_hidden_state, 2, axis=0)
        x = noise.torch_cpu(SEED).normal((1, 4, SIDE // 8, SIDE // 8)) * sigmas[0]
        began = time.perf_counter()
        for t, sigma, onward in zip(times, sigmas, sigmas[1:], strict=False):
            both = np.repeat(x / np.sqrt(sigma**2 + 1), 2, axis=0).astype(np.float32)
            without, guided = unet(both, t, context)
            x = x + (onward - sigma) * (without + SCALE * (guided - without))
        drawn = time.perf_counter()
        y = vae.decode(vae.unscale(x.astype(np.float32)))[0].transpose(1, 2, 0)
        end = time.perf_counter()
        picture = 255 * np.clip(y / 2 + 0.5, 0, 1)
        steps = (drawn - began) / STEPS
        return picture, {"a step": steps, "the decoder": end - drawn, "all": end - start}

    return paint


def theirs(path: Path) -> Painter:
    """stable-diffusion.cpp, as the wheel cyllama has it."""
    from cyllama import sd

    settings = sd.SDContextParams()
    settings.model_path = str(path)
    settings.n_threads, settings.wtype, settings.rng_type = 2, sd.SDType.F32, sd.RngType.CPU
    settings.free_params_immediately = False  # or the second picture ends the process
    context, ends = sd.SDContext(settings), list[float]()
    sd.set_progress_callback(lambda *told: ends.append(time.perf_counter()))

    def paint() -> tuple[Array, Parts]:
        start = time.perf_counter()
        [picture] = context.generate(
            "",
            negative_prompt="",
            width=SIDE,
            height=SIDE,
            seed=SEED,
            sample_steps=STEPS,
            cfg_scale=SCALE,
            sample_method=sd.SampleMethod.EULER,
            scheduler=sd.Scheduler.DISCRETE,
        )
        end = time.perf_counter()
        began, *_, drawn = ends[-STEPS - 1 :]
        steps = (drawn - began) / STEPS
        return picture.to_numpy(), {"a step": steps, "the decoder": end - drawn, "all": end - start}

    return paint


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name, refdiff.engine("fast"):
        folder = Path(name)
        memory.make(folder)
        painters = {"refdiff": ours(folder), "stable-diffusion.cpp": theirs(single_file(folder))}
        painters["refdiff"]()  # compiles
        for _ in range(args.rounds):
            pictures = {}
            for painter, paint in painters.items():
                pictures[painter], parts = paint()
                print(painter, parts, file=sys.stderr, flush=True)
                for part, taken in parts.items():
                    seconds[part][painter].append(taken)
            one, other = (picture.astype(float) for picture in pictures.values())
            if (gap := np.abs(one - other).max()) > LEVELS or np.ptp(one) < 128:
                raise SystemExit(f"the pictures differ by {gap:.1f} levels: nothing is told")
    print(machine())
    print(f"pictures within {gap:.1f} levels of 255")
    print("| | refdiff | stable-diffusion.cpp | times refdiff's |\n|---|---|---|---|")
    for part, taken in seconds.items():
        times = {name: Times(tuple(each)) for name, each in taken.items()}
        median, low, high = ratios(times, "refdiff")["stable-diffusion.cpp"]
        both = " | ".join(str(t) for t in times.values())
        print(f"| {part} | {both} | {median:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
