"""The command `refdiff generate`: options and notes to settings, settings to pictures and notes."""

import contextlib
import hashlib
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refdiff import latents
from refdiff.atomic import check_writable
from refdiff.checkpoints.folder import COMPONENTS
from refdiff.checks import check_prompts
from refdiff.errors import ConfigError
from refdiff.ledger import Ledger, explained, ledger
from refdiff.loading import load
from refdiff.memory import memory
from refdiff.op import Array, engine
from refdiff.pictures import read_settings, save_png
from refdiff.pipeline import Pipeline
from refdiff.progress import Progress
from refdiff.warmup import compiling_beside

# What a call of the pipeline takes and a picture's note keeps, by JSON's types.
SETTINGS: Mapping[str, tuple[type, ...]] = {
    "prompt": (str,),
    "negative": (str,),
    "steps": (int,),
    "guidance": (float, int),
    "guidance_rescale": (float, int),
    "seed": (int,),
    "sampler": (str,),
    "sampler_options": (dict,),
    "dialect": (str,),
    "rng": (str,),
    "size": (list,),
    "count": (int,),
    "dtype": (str,),
}


def generate(args: Namespace) -> Iterator[Path]:
    """Make the pictures, write them, and give out their paths. Raises RefdiffError."""
    note = read_settings(args.like) if args.like else {}
    given = given_settings(args)
    settings = {**noted(note, args.like), **given}
    if "prompt" not in settings:
        raise ConfigError("no prompt: say what the picture shall show, or name a picture by --like")
    pipe = load(args.model)
    if not isinstance(pipe, Pipeline) or pipe.path is None:
        raise ConfigError(f"{args.model} is a single component: name the whole checkpoint's folder")
    weights = fingerprint(pipe.path)
    if note and args.model is None and note.get("weights") != weights:
        raise ConfigError(f"{args.like} was made with other weights: name their folder by --model")
    targets = outputs(Path(args.output), settings.get("count", 1), note.get("index"), given)
    for path in targets.values():
        check_writable(path)
    if args.save_latents:
        latents.check_name(check_writable(args.save_latents))
    start = starting_latents(args.latents, note, given)
    say_what_is_not_read(pipe, settings)
    chosen = args.engine or note.get("engine") or pipe.engine_for(settings.get("size")).name
    beside = compiling_beside() if chosen == "fast" else contextlib.nullcontext()
    nothing: Ledger = {}
    with (
        contextlib.closing(Progress(sys.stderr)) as bar,
        engine(chosen),
        memory(args.memory),
        beside,
        ledger() if args.explain_engine else contextlib.nullcontext(nothing) as taken,
    ):
        result = pipe(**settings, latents=start, progress=bar)
    for line in explained(taken):
        print(line, file=sys.stderr)
    made = {**result.settings, "weights": weights}
    if start is not None:
        made["latents"] = latents.to_text(start)
    if args.save_latents:
        latents.write(args.save_latents, result.latents)
    for index, path in targets.items():
        save_png(result.images[index], path, {**made, "index": index})
        yield path


def given_settings(args: Namespace) -> dict[str, Any]:
    """Those of the settings that the command line gave."""
    return {key: value for key in SETTINGS if (value := getattr(args, key)) is not None}


def noted(note: Mapping[str, Any], source: str | None) -> dict[str, Any]:
    """The settings in a picture's note. Raises ConfigError for one that is none of ours."""
    settings = {}
    for key, types in SETTINGS.items():
        value = note.get(key)
        if value is not None:
            if type(value) not in types:
                raise ConfigError(
                    f"{source} has {key} = {value!r:.60}, which no picture of ours has"
                )
            settings[key] = value
    if (pair := settings.get("size")) is not None:
        if len(pair) != 2 or not all(type(side) is int for side in pair):
            raise ConfigError(f"{source} has size = {pair!r:.60}, expected [width, height]")
        settings["size"] = tuple(pair)
    return settings


def starting_latents(
    path: str | None, note: Mapping[str, Any], given: Mapping[str, Any]
) -> Array | None:
    """The noise to start from: a file's, or the note's unless the options ask for other noise."""
    if path is not None:
        return latents.read(path)
    if "latents" in note and not {"seed", "size", "count"} & set(given):
        return latents.from_text(note["latents"])
    return None


def outputs(target: Path, count: Any, index: Any, given: Mapping[str, Any]) -> dict[int, Path]:
    """Which picture goes where: one to FILE, several to FILE-0, FILE-1, ...

    A picture made like another that was the i-th of several is the i-th again, alone.
    """
    if type(count) is not int or count <= 1:
        return {0: target}
    if type(index) is int and 0 <= index < count and "count" not in given:
        return {index: target}
    return {
        i: target.with_name(f"{target.stem}-{i}{target.suffix}") for i in range(min(count, 999))
    }


def say_what_is_not_read(pipe: Pipeline, settings: Mapping[str, Any]) -> None:
    """On stderr, when a prompt has more tokens than the model reads."""
    room = pipe.tokenizer.length - 2
    for key in ("prompt", "negative"):
        text = settings.get(key, "")
        check_prompts([text])
        tokens = len(pipe.tokenizer.encode(text))
        if tokens > room:
            print(
                f"refdiff: the {key} has {tokens} tokens, the model reads the first {room}",
                file=sys.stderr,
            )


def fingerprint(folder: Path) -> str:
    """sha256 over the files of a checkpoint's components, in the order of their names."""
    digest = hashlib.sha256()
    for component in sorted(COMPONENTS):
        _add_files(digest, folder / component)
    return digest.hexdigest()


def component_fingerprint(folder: Path) -> str:
    """sha256 over the files of one component."""
    digest = hashlib.sha256()
    _add_files(digest, folder.resolve())
    return digest.hexdigest()


def _add_files(digest: Any, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".txt", ".safetensors"):
            digest.update(f"{folder.name}/{path.name}".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
