"""docs/speed.md and docs/speed.json: networks and ops beside PyTorch, in turn.

python -m tests.bench.speed docs [--name speed]
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.bench.speed import networks, ops
from tests.bench.speed.models import NETWORKS
from tests.bench.speed.race import Times, machine, ratios, save

ROUNDS = 3
Row = dict[str, Any]


def measured() -> Iterator[Row]:
    """Networks first, then ops."""
    for make in NETWORKS.values():
        net = make()
        yield {"kind": "network", "name": net.name, **networks.measure(net, [], ROUNDS)}
        del net
    for name, times in ops.measure("", ROUNDS):
        yield {"kind": "op", "name": name, **times}


def line(row: Row) -> str:
    times: dict[str, Times] = {k: v for k, v in row.items() if isinstance(v, Times)}
    median, low, high = ratios(times, "refdiff")["torch"]
    speed = f"{median:.2f} ({low:.2f} to {high:.2f})"
    return f"| {row['name']} | {times['refdiff']} | {times['torch']} | {speed} |"


def page(rows: list[Row], name: str) -> str:
    """The page."""
    head = "| | refdiff | PyTorch | times as fast |\n|---|---|---|---|"
    told = [
        "# The fast engine beside PyTorch",
        "",
        f"Written by `python -m tests.bench.speed docs --name {name}`: the same network with "
        "the same random weights in diffusers (or transformers) on PyTorch and here, float32, in "
        f"one process, in turn, {ROUNDS} rounds of at least 0.2 s each, medians and ranges, "
        "once the results agreed to a thousandth of the largest value. PyTorch "
        f"{torch.__version__} with {torch.get_num_threads()} threads, on: {machine()}, which it "
        f"shares with others. [{name}.json]({name}.json) has every figure.",
        "",
        "## Networks",
        "",
        head,
        *(line(row) for row in rows if row["kind"] == "network"),
        "",
        "## Operations",
        "",
        "On the shapes of Stable Diffusion 1.5 and its decoder; each side lays pictures down as "
        "it does itself, channels innermost here and outermost there.",
        "",
        head,
        *(line(row) for row in rows if row["kind"] == "op"),
    ]
    return "\n".join(told) + "\n"


def main(folder: Path, name: str) -> None:
    """Run all; write after every row, so that an interruption loses one."""
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    for row in measured():
        rows.append(row)
        print(line(row), flush=True)
        (folder / f"{name}.md").write_text(page(rows, name))
        save(folder / f"{name}.json", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Networks and ops beside PyTorch, in turn.")
    parser.add_argument("folder", type=Path, help="where the page and its figures are written")
    parser.add_argument("--name", default="speed", help="of both, without an ending (speed)")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"there is no folder {args.folder}: make it, or give another")
    main(args.folder, args.name)
