"""How far refdiff is from its oracles, measured: python -m tests.bench.accuracy [FILE].

Prints docs/accuracy.md's tables: pictures against diffusers, operations against PyTorch, networks
and the whole loop in float64. The draws are those of the tests.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import diffusers
import numpy as np
import torch

import refdiff
from refdiff.loading import shipped
from refdiff.nn import clip, unet, vae
from refdiff.op import REGISTRY
from tests import test_pipeline
from tests.bench.speed.race import machine
from tests.nn import oracle, test_networks
from tests.ops.cases import DRAW, ORACLE

DRAWS = 60  # random networks of each kind
NETWORKS = 20  # calls of the shipped U-Net
CASES = 200  # random cases of each operation


def pictures() -> Iterator[tuple[str, str]]:
    """Largest difference and share of values that differ, over the tests' prompts."""
    pipe, theirs = refdiff.load(), test_pipeline.load_theirs()
    config = json.loads((shipped() / "scheduler" / "scheduler_config.json").read_text())
    for name, scheduler in test_pipeline.SCHEDULERS.items():
        theirs.scheduler = scheduler.from_config(config)
        gaps = [
            test_pipeline.gap(pipe, theirs, name, *p) for p in enumerate(test_pipeline.PROMPTS, 7)
        ]
        share = max(float((gap > 0).mean()) for gap in gaps)
        yield name, f"at most {max(g.max() for g in gaps)}/255, in at most {share:.4%} of values"


def engines() -> Iterator[tuple[str, str]]:
    """The fast engine's pictures beside the definitions', and one call of the U-Net."""
    pipe, theirs = refdiff.load(), test_pipeline.load_theirs()
    gaps = np.stack([test_pipeline.apart(pipe, p, steps=25) for p in test_pipeline.PROMPTS])
    yield (
        "pictures of both engines, 25 steps, five prompts",
        f"at most {gaps.max()}/255; within 1/255 in {(gaps <= 1).mean():.4%} of values, equal in "
        f"{(gaps == 0).mean():.4%}",
    )
    errors = np.array([test_pipeline.unet_errors(pipe, theirs, seed) for seed in range(NETWORKS)])
    ours, other = np.sqrt(np.square(errors).mean(0))
    yield (
        f"error of the shipped U-Net's output in float32, {NETWORKS} calls, root mean square",
        f"{ours:.1e} here, {other:.1e} in PyTorch: {ours / other:.2f} times",
    )


def operations() -> Iterator[tuple[str, str]]:
    """Worst difference in float64; float32 root mean square errors over PyTorch's own."""
    for name, op in sorted(REGISTRY.items()):
        worst, square = 0.0, np.zeros(3)
        for seed in range(CASES):
            case = DRAW[name](np.random.default_rng(seed))
            truth = case.call(op.definition, np.float64)
            worst = max(worst, oracle.relative(truth, case.torch(ORACLE[name], np.float64)))
            answers = [case.torch(ORACLE[name], np.float32), case.call(op.definition, np.float32)]
            answers += [case.call(op.fast, np.float32)] if op.fast else []
            scale = np.abs(truth).max() or 1.0
            for i, answer in enumerate(answers):
                square[i] += np.mean(np.square((answer.astype(np.float64) - truth) / scale))
        theirs, definition, kernel = np.sqrt(square)
        exact = "exact" if theirs == 0 else f"{definition / theirs:.2f}x"
        fast = f"{kernel / theirs:.2f}x" if op.fast and theirs else "-"
        yield name, f"{worst:.1e} | {exact} | {fast}"


def networks() -> Iterator[tuple[str, str]]:
    """Worst relative difference in float64 over random configurations."""
    kinds: dict[str, Callable[[int], float]] = {
        "U-Net": unet_gap,
        "VAE, encode and decode": vae_gap,
        "CLIP": clip_gap,
        "ten guided steps of a U-Net": test_pipeline.loop_gap,
    }
    for name, gap in kinds.items():
        yield name, f"{max(map(gap, range(DRAWS))):.1e}"


def unet_gap(seed: int) -> float:
    config, module, *inputs = test_networks.unet_case(seed)
    ours = unet.unet(oracle.params(module), *inputs, config=config)
    return oracle.relative(ours, test_networks.run_torch(module, *inputs))


def vae_gap(seed: int) -> float:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_vae(rng)
    module = oracle.build(oracle.VAE, options, seed, torch.float64)
    H, W = (int(n) * config.factor for n in rng.integers(1, 5, 2))
    image = rng.normal(size=(2, config.in_channels, H, W))
    mean, _ = vae.encode(oracle.params(module), image, config=config)
    with torch.no_grad():
        other = module.encode(torch.tensor(image)).latent_dist.mean
        picture = module.decode(torch.tensor(mean)).sample
    ours = vae.decode(oracle.params(module), mean, config=config)
    return max(oracle.relative(mean, other), oracle.relative(ours, picture))


def clip_gap(seed: int) -> float:
    rng = oracle.RNG(seed)
    config, options = oracle.draw_clip(rng)
    module = oracle.build(oracle.CLIP, options, seed, torch.float64)
    ids = rng.integers(0, config.vocab, (2, config.positions))
    ours = clip.clip_text(oracle.params(module, "text_model."), ids, config=config)
    with torch.no_grad():
        return oracle.relative(ours.last_hidden_state, module(torch.tensor(ids)).last_hidden_state)


def page() -> str:
    """The whole page."""
    versions = f"PyTorch {torch.__version__}, diffusers {diffusers.__version__}"
    parts = [
        "# How far from the oracles",
        f"Written by `python -m tests.bench.accuracy docs/accuracy.md` against {versions}, "
        f"on: {machine()}. Differences are largest over largest value.",
        "## Pictures, float32, 25 steps, five prompts, engines in turn, from the seed",
        "| sampler | against diffusers |\n|---|---|\n" + rows(pictures()),
        "## The fast engine",
        "| | measured |\n|---|---|\n" + rows(engines()),
        f"## Networks, float64, {DRAWS} random configurations each",
        "| network | worst difference |\n|---|---|\n" + rows(networks()),
        f"## Operations, {CASES} random cases each",
        "Root mean square errors in float32, as multiples of PyTorch's own.",
        "| operation | worst difference, float64 | definition, float32 | kernel, float32 |\n"
        "|---|---|---|---|\n" + rows(operations()),
    ]
    return "\n\n".join(parts) + "\n"


def rows(pairs: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in pairs)


if __name__ == "__main__":
    text = page()
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
