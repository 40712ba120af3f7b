"""Train the emoji model, one stage a command, in this order:

    python -m recipe data         the pool of captioned pictures
    python -m recipe vae          the autoencoder, then the pool's latents
    python -m recipe vocabulary   the tokenizer, then the captions' ids
    python -m recipe diffusion    U-Net and text encoder
    python -m recipe decoder      optional: the decoder alone, latents unchanged
    python -m recipe export       the folder to ship
    python -m recipe evaluate     sheets and figures of that folder

Artwork comes from $EMOJI_ASSETS; all is written to --work or $EMOJI_WORK, but for the export.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--work", type=Path, default=os.environ.get("EMOJI_WORK", "work"))
    stages = top.add_subparsers(dest="stage", required=True)
    data = stages.add_parser("data")
    data.add_argument("--count", type=int, default=60_000)
    vae = stages.add_parser("vae")
    vae.add_argument("--start", type=Path, help="folder of an autoencoder to go on from")
    vocabulary = stages.add_parser("vocabulary")
    vocabulary.add_argument("--start", type=Path, help="folder of a tokenizer to keep")
    diffusion = stages.add_parser("diffusion")
    diffusion.add_argument("--start", type=Path, help="pipeline folder to go on from")
    diffusion.add_argument("--resume", action="store_true", help="go on from an interrupted run")
    diffusion.add_argument("--restart", action="store_true", help="resume with a new schedule")
    decoder = stages.add_parser("decoder")
    export = stages.add_parser("export")
    evaluate = stages.add_parser("evaluate")
    evaluate.add_argument("--count", type=int, default=240, help="prompts of each kind")
    for stage in (data, diffusion, evaluate):
        stage.add_argument("--workers", type=int, default=2, help="processes")
    for stage, minutes, batch in ((vae, 13.0, 16), (diffusion, 80.0, 64), (decoder, 8.0, 16)):
        stage.add_argument("--minutes", type=float, default=minutes)
        stage.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
        stage.add_argument("--batch", type=int, default=batch)
    for stage in (export, evaluate):
        stage.add_argument("folder", type=Path, help="the pipeline folder")
    return top


def main() -> None:
    options = parser().parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    run(options, work)


def run(options: argparse.Namespace, work: Path) -> None:
    """Each stage imports only what it needs: rendering starts at once, without the networks."""
    if options.stage == "data":
        from .pool import make_pool

        make_pool(work, options.count, options.workers)
    elif options.stage == "vae":
        from .vae import train_vae

        train_vae(work, options.minutes, options.start, options.rate, options.batch)
    elif options.stage == "vocabulary":
        from .vocabulary import make_vocabulary

        make_vocabulary(work, options.start)
    elif options.stage == "diffusion":
        from .diffusion import Options, train_diffusion
        from .parallel import together

        settings = Options(options.minutes, options.rate, options.batch)
        how = (options.start, options.resume, options.restart)
        together(options.workers, train_diffusion, work, settings, *how)
    elif options.stage == "decoder":
        from .decoder import train_decoder

        train_decoder(work, options.minutes, options.rate, options.batch)
    elif options.stage == "export":
        from .export import export

        export(work, options.folder)
    else:
        from .evaluate import evaluate

        evaluate(work, options.folder, options.count, options.workers)


if __name__ == "__main__":
    main()
