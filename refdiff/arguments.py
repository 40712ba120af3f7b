"""How a command is entered, and what words stand for: options, sizes, numbers of bytes."""

import argparse
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from refdiff.strict_json import parse_json

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], Iterable[object]],
    *,
    help: str,
    description: str,
    examples: str | None = None,
) -> argparse.ArgumentParser:
    """A command of that name, whose examples keep their lines."""
    command = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter
        if examples
        else argparse.HelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_threads(command: argparse.ArgumentParser) -> None:
    """What every command takes that computes much."""
    command.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="that compute (OMP_NUM_THREADS, or all processors); results are the same with any",
    )


class Collect(argparse.Action):
    """Pairs of a repeated option, in a dict; None where it was never given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        key, value = values
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), key: value})


def option(text: str) -> tuple[str, Any]:
    """ "eta=0.5" -> ("eta", 0.5); a value that is no JSON is a word."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no option: write KEY=VALUE, as in eta=0.5")
    try:
        return key, parse_json(value.encode())
    except ValueError:
        return key, value


def byte_count(text: str) -> int:
    """ "500M" -> 500000000"""
    found = re.fullmatch(r"(\d{1,18})([KMG]?)", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes: write 500M or 2G")
    return int(found[1]) * 1000 ** " KMG".index(found[2] or " ")


def size(text: str) -> tuple[int, int]:
    """ "512x384" -> (512, 384)"""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write WIDTHxHEIGHT, as in 512x384")
    return int(width), int(height)
