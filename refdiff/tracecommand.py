"""The command `refdiff trace`: a run's tensors, or one component's on given inputs, into a file."""

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refdiff import latents, manifest, safetensors
from refdiff.atomic import atomic_write, check_writable
from refdiff.components import VAE, TextEncoder, UnconditionalUNet, UNet
from refdiff.errors import CheckpointError, ConfigError
from refdiff.generate import (
    component_fingerprint,
    fingerprint,
    given_settings,
    say_what_is_not_read,
)
from refdiff.loading import load
from refdiff.op import Array, engine
from refdiff.pipeline import Pipeline
from refdiff.progress import Progress
from refdiff.trace import Trace
from refdiff.tracefile import check_target
from refdiff.tracing import trace

# The inputs that a component can be given, as diffusers names them; the VAE encodes or decodes.
INPUTS: Mapping[type, tuple[tuple[str, ...], ...]] = {
    UNet: (("sample", "timestep", "encoder_hidden_states"),),
    UnconditionalUNet: (("sample", "timestep"),),
    TextEncoder: (("input_ids",),),
    VAE: (("sample",), ("z",)),
}
Named = Mapping[str, Array]


def trace_run(args: Namespace) -> Iterator[Path]:
    """Take the trace and give out the paths of what was written. Raises RefdiffError."""
    target = Path(args.output or ("trace.json" if args.sketch else "trace.safetensors"))
    page = check_target(target, args.sketch).with_suffix(".json")
    if args.budget and (args.sketch or args.latents or args.dtype == "float32"):
        raise ConfigError(
            "--budget measures runs from the same start against a trace in float64: leave out "
            "--sketch, --latents and --dtype float32"
        )
    for path in (target, page):
        check_writable(path)
    model = load(args.model)
    run = pipeline_run if isinstance(model, Pipeline) else component_run
    with engine(args.engine or "reference"):
        run(args, model, target)
    if args.budget:
        add_budget(model, target, page)
    yield target
    if page != target:
        yield page


def add_budget(model: Any, target: Path, page: Path) -> None:
    """Write on the page what honest runs are off by, tensor by tensor."""
    from refdiff.verify.budget import KEY, honest_runs
    from refdiff.verify.dumps import open_dump

    print("refdiff: measuring honest rounding", file=sys.stderr, flush=True)
    head = json.loads(page.read_text())
    tensors = head.pop("tensors")
    told = manifest.page({**head, KEY: honest_runs(model, open_dump(target))}, tensors)
    with atomic_write(page) as file:
        file.write(told)


def pipeline_run(args: Namespace, pipe: Pipeline, target: Path) -> None:
    """From the prompt to the picture. Raises ConfigError."""
    if args.inputs is not None:
        raise ConfigError(
            f"--inputs {args.inputs} is for one component: name its own folder by --model, as in "
            "--model FOLDER/unet"
        )
    settings = {"dtype": "float64", **given_settings(args)}
    if pipe.path is None or "prompt" not in settings:
        raise ConfigError("no prompt: say what the picture shall show, or name one component")
    start = None if args.latents is None else latents.read(args.latents)
    say_what_is_not_read(pipe, settings)
    about = {"command": args.argv, "weights": fingerprint(pipe.path)}
    with (
        contextlib.closing(Progress(sys.stderr)) as bar,
        trace(pipe, to=target, about=about, **wanted(args)),
    ):
        pipe(**settings, latents=start, progress=bar)


def component_run(args: Namespace, part: Any, target: Path) -> None:
    """One network on the tensors of a file. Raises ConfigError, CheckpointError or ShapeError."""
    kind = type(part)
    if kind not in INPUTS:
        raise ConfigError(f"{args.model} holds no network, and only networks have tensors to trace")
    if args.inputs is None or args.prompt is not None:
        spellings = " or ".join(", ".join(names) for names in INPUTS[kind])
        raise ConfigError(
            f"{args.model} is a single component: give it --inputs FILE with {spellings}, and no "
            "prompt"
        )
    dtype = args.dtype or "float64"
    inputs = read_inputs(args.inputs, INPUTS[kind], dtype)
    weights = component_fingerprint(Path(args.model))
    about = {"command": args.argv, "weights": weights, "settings": {"dtype": dtype}}
    options = wanted(args)
    options["exclude"] = [*options["exclude"], ""]  # the component's own result, here `output`
    with trace(part, to=target, about=about, **options) as t:
        for name in sorted(inputs, key=lambda name: -inputs[name].itemsize):  # wide types aligned
            t.record(f"inputs.{name}", inputs[name])
        run_component(part, inputs, dtype, t)


def run_component(part: Any, inputs: Named, dtype: str, t: Trace) -> None:
    """Call it, and record what it says as `output`."""
    match part:
        case TextEncoder():
            states = part(inputs["input_ids"], dtype)
            t.record("output", states.last_hidden_state)
            t.record("output.pooled", states.pooled)
        case VAE() if "z" in inputs:
            t.record("output", part.decode(inputs["z"]))
        case VAE():
            mean, logvar = part.encode(inputs["sample"])
            t.record("output", mean)
            t.record("output.logvar", logvar)
        case _:
            x, time, *context = inputs.values()
            t.record("output", part(x, time, *context))


def read_inputs(path: str, choices: tuple[tuple[str, ...], ...], dtype: str) -> Named:
    """The inputs in the component's order, real numbers in `dtype`; times and ids as they are.

    Raises CheckpointError where the file lacks one, has others, or holds another kind of numbers.
    """
    file = safetensors.read(path)
    names = next((names for names in choices if set(names) == set(file)), None)
    if names is None:
        expected = " or ".join(", ".join(names) for names in choices)
        raise CheckpointError(
            f"{path} holds {', '.join(sorted(file)) or 'nothing'}, and {expected} is expected: "
            "name the tensors as diffusers' forward names its arguments"
        )
    return {name: _as_input(path, name, file[name], dtype) for name in names}


def _as_input(path: str, name: str, x: Array, dtype: str) -> Array:
    kinds = {"input_ids": "iu", "timestep": "iuf"}.get(name, "f")
    if x.dtype.kind not in kinds:
        raise CheckpointError(
            f"{path} has {name} in {x.dtype}, and {'whole' if kinds == 'iu' else 'real'} numbers "
            "are expected: convert it"
        )
    return x.astype(dtype) if kinds == "f" else np.array(x)


def wanted(args: Namespace) -> dict[str, Any]:
    """The options that say what to write."""
    names = ("level", "include", "exclude", "sketch", "max_bytes")
    return {"steps": args.only_steps, **{name: getattr(args, name) for name in names}}
