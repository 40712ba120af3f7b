"""The command line: results on stdout, talk on stderr, exit 0 or what the command says, 2 for
what cannot be done, with one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from refdiff.arguments import Collect, Commands, add_command, add_threads, byte_count, option, size
from refdiff.cli_verify import add_compare, add_vectors, add_verify
from refdiff.errors import RefdiffError
from refdiff.memory import KINDS
from refdiff.version import __version__
from refdiff.workers import threads

EXAMPLES = """\
examples:
  refdiff generate "frogs on stilts"
  refdiff generate "two cats on a blue background" -o cats.png --seed 3 --guidance 4
  refdiff generate "a lighthouse in a storm" --model stable-diffusion-v1-5 --sampler euler
  refdiff generate --like cats.png -o again.png
"""

TRACE_EXAMPLES = """\
examples:
  refdiff trace "frogs on stilts" --steps 2 --guidance 4 -o frogs.safetensors
  refdiff trace "a cat" --level op --include "*.attn1@softmax" --only-steps 0:2
  refdiff trace "a cat" --steps 4 --sketch -o cat.json
  refdiff trace --model FOLDER/unet --inputs in.safetensors -o ref.safetensors
"""

BENCH_EXAMPLES = """\
examples:
  refdiff bench
  refdiff bench --model stable-diffusion-v1-5 --size 512x512 --top 30 --plot roofline.png
  refdiff bench --calibrate
"""

SCHEDULE_EXAMPLES = """\
examples:
  refdiff schedule
  refdiff schedule --sampler euler --sampler-option use_karras_sigmas=true --steps 12
  refdiff schedule --config mine.json --compare theirs.json --plot both.png
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv, argparse.Namespace(argv=argv, status=0))
    count = getattr(args, "threads", None)
    try:
        with nullcontext() if count is None else threads(count):
            for line in args.run(args):
                print(line, flush=True)
    except RefdiffError as error:
        print(f"refdiff: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(
            "refdiff: out of memory: choose a smaller --size, --count or --level", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("refdiff: interrupted; no unfinished file is left", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away; this keeps Python from complaining once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(args.status)


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    top = argparse.ArgumentParser(
        prog="refdiff",
        description="Text-to-image diffusion on NumPy.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"refdiff {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    add_generate(commands)
    add_trace(commands)
    add_compare(commands)
    add_vectors(commands)
    add_verify(commands)
    add_samplers(commands)
    add_schedule(commands)
    add_warmup(commands)
    add_bench(commands)
    return top


def add_warmup(commands: Commands) -> None:
    """`refdiff warmup`."""
    from refdiff.warmup import warm_up

    add_threads(
        add_command(
            commands,
            "warmup",
            warm_up,
            help="compile ahead what the first picture by kernels would wait for",
            description="Compile what a picture needs, and print the folder where it is kept: "
            "REFDIFF_CACHE_DIR, or refdiff in the user's cache.",
        )
    )


def add_bench(commands: Commands) -> None:
    """`refdiff bench`."""
    from refdiff.bench import bench

    command = add_command(
        commands,
        "bench",
        bench,
        help="show where the time of a picture goes",
        description="Run a step of the U-Net for both halves of guidance, and the decoder, and "
        "list every op: how it is computed, how long it takes, what the machine would allow.",
        examples=BENCH_EXAMPLES,
    )
    add = command.add_argument
    add("--model", metavar="PATH", help="a diffusers folder (the weights that refdiff ships)")
    add("--size", type=size, metavar="WxH", help="in pixels (what the model was trained for)")
    add("--engine", choices=("fast", "reference"), default="fast", help="(%(default)s)")
    add("--top", type=int, metavar="N", default=12, help="lines of a table (%(default)s)")
    add("--plot", metavar="PNG", help="also draw the roofline")
    add("--json", action="store_true", help="all numbers, for a machine")
    calibrate = "measure where Winograd pays on this machine, keep that, and do nothing else"
    add("--calibrate", action="store_true", help=calibrate)
    add_threads(command)


def add_generate(commands: Commands) -> None:
    """Options have no defaults of their own: --like must know which of them were given."""
    from refdiff.generate import generate

    command = add_command(
        commands,
        "generate",
        generate,
        help="make pictures of a prompt",
        description="Make pictures of a prompt; each PNG says how it was made.",
        examples=EXAMPLES,
    )
    add = command.add_argument
    add_picture_options(command)
    add("-o", "--output", metavar="FILE", default="out.png", help="the PNG to write (%(default)s)")
    add("--save-latents", metavar="FILE", help="also write the final latents: .npy, .safetensors")
    sooner = "kernels or definitions (whichever makes a first picture of that size sooner)"
    add("--engine", choices=("fast", "reference"), help=sooner)
    add("--dtype", choices=("float32", "float64"), help="of all arithmetic (float32)")
    add("--memory", choices=KINDS, default="normal", help="small: little of it, for more time")
    add("--explain-engine", action="store_true", help="say on stderr how each op was computed")
    add("--like", metavar="PNG", help="as this picture was made; options given here win")


def add_picture_options(command: argparse.ArgumentParser) -> None:
    """What both `generate` and `trace` take to say which picture is meant."""
    add = command.add_argument
    add("prompt", nargs="?", metavar="PROMPT", help="what the picture shall show")
    add("--model", metavar="PATH", help="a diffusers folder (the weights that refdiff ships)")
    add("--negative", metavar="TEXT", help="what it shall not show")
    add("--steps", type=int, metavar="N", help="steps of the sampler (25)")
    add("--guidance", type=float, metavar="G", help="how closely to follow the prompt (7.5)")
    add("--guidance-rescale", type=float, metavar="PHI", help="0 to 1, against overexposure (0)")
    add("--seed", type=int, metavar="S", help="of the random number generator (0)")
    add("--rng", metavar="NAME", help="whose: torch-cpu, torch-cuda:SMS, jax, numpy (torch-cpu)")
    add("--sampler", metavar="NAME", help="as `refdiff samplers` lists them (the checkpoint's own)")
    add_sampler_options(command)
    add("--size", type=size, metavar="WxH", help="in pixels (what the model was trained for)")
    add("--count", type=int, metavar="N", help="pictures from one seed, numbered in files (1)")
    add_threads(command)
    add("--latents", metavar="FILE", help="start from this noise: .npy or .safetensors")


def add_trace(commands: Commands) -> None:
    """`refdiff trace`."""
    from refdiff.selection import LEVELS
    from refdiff.tracecommand import trace_run

    command = add_command(
        commands,
        "trace",
        trace_run,
        help="write the named tensors of a run into a file",
        description="Write every named tensor of a run, or of one component on given inputs, into "
        "a safetensors file, and a JSON page about them beside it.",
        examples=TRACE_EXAMPLES,
    )
    add = command.add_argument
    add_picture_options(command)
    add("--inputs", metavar="FILE", help="a component's inputs, named as diffusers names them")
    add("-o", "--output", metavar="FILE", help="the file to write (trace.safetensors, trace.json)")
    add("--engine", choices=("reference", "fast"), help="definitions or kernels (reference)")
    add("--dtype", choices=("float64", "float32"), help="of all arithmetic (float64)")
    add("--level", choices=LEVELS, default="block", help="how fine (%(default)s)")
    add("--include", action="append", default=[], metavar="GLOB", help="only such names; repeat it")
    add("--exclude", action="append", default=[], metavar="GLOB", help="no such names; repeat it")
    add("--only-steps", metavar="0:3", help="tensors of these steps only: 0:3 or 0,5,24")
    add("--max-bytes", type=byte_count, metavar="N", help="of all tensors: 500M, 2G")
    add("--sketch", action="store_true", help="a few kB for each tensor, all in one JSON file")
    add(
        "--budget",
        action="store_true",
        help="also run it in float32, float16 and bfloat16, and write what honest rounding makes "
        "of each tensor: for refdiff compare without the model",
    )


def add_samplers(commands: Commands) -> None:
    """`refdiff samplers`."""
    from refdiff.show import list_samplers

    command = add_command(
        commands,
        "samplers",
        list_samplers,
        help="list the samplers",
        description="List the samplers: the order of convergence, whether noise is added, calls "
        "of the model for each step, the class in scheduler_config.json, what it is good for.",
    )
    command.add_argument("--json", action="store_true", help="for a machine, with all options")


def add_schedule(commands: Commands) -> None:
    """`refdiff schedule`."""
    from refdiff.show import show_schedule

    command = add_command(
        commands,
        "schedule",
        show_schedule,
        help="show a noise schedule and the times that a sampler chooses",
        description="Show betas, alpha_bar, SNR and sigma at the times that a sampler chooses.",
        examples=SCHEDULE_EXAMPLES,
    )
    add = command.add_argument
    add("--config", metavar="FILE", help="a scheduler_config.json, or a checkpoint's folder")
    add("--steps", type=int, metavar="N", default=25, help="steps of the sampler (%(default)s)")
    add("--compare", metavar="FILE", help="another config, to be shown beside it")
    add("--plot", metavar="PNG", help="also draw it")
    add("--sampler", metavar="NAME", help="another sampler over the same schedule")
    add_sampler_options(command)
    add("--json", action="store_true", help="all numbers, for a machine")


def add_sampler_options(command: argparse.ArgumentParser) -> None:
    """What both commands take to say how a sampler computes."""
    add = command.add_argument
    add(
        "--sampler-option",
        dest="sampler_options",
        action=Collect,
        type=option,
        metavar="KEY=VALUE",
        help="a key of its config or an argument of its step, as in eta=0.5; may be repeated",
    )
    add(
        "--dialect",
        choices=("diffusers", "paper"),
        help="as the installed base computes, or as the papers say (diffusers)",
    )
