"""`refdiff bench`: where the time of a picture goes, and what the machine would allow."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from refdiff import kernels, ops
from refdiff.atomic import atomic_write, check_writable
from refdiff.errors import ConfigError
from refdiff.ledger import PRODUCTS, Entry, Key, Ledger, ledger
from refdiff.loading import load
from refdiff.op import engine
from refdiff.ops.fused import UNWATCHED
from refdiff.pipeline import Pipeline
from refdiff.plots import Line, Panel, plot
from refdiff.tables import table

SIDE, LENGTH, RUNS = 1536, 1 << 24, 5  # of what a machine's peaks are measured by


def bench(args: Namespace) -> Iterator[str]:
    """One step of the U-Net for both halves of guidance, and the decoder: every op, by its time.

    Raises ConfigError for what is no pipeline or no number of lines, ShapeError for an impossible
    size.
    """
    if args.calibrate:
        yield calibrated()
        return
    if args.top < 1:
        raise ConfigError(f"--top is {args.top}, expected the number of lines to show, 1 or more")
    if args.plot:
        check_writable(args.plot)
    pipe = load(args.model)
    if not isinstance(pipe, Pipeline):
        raise ConfigError(f"{args.model} is a single component: name the whole checkpoint's folder")
    with engine(args.engine):
        parts = {"U-Net": step(pipe, args.size), "decoder": decoded(pipe, args.size)}
        print("measuring the machine ...", file=sys.stderr)
        peaks = measured_peaks()
        taken = {name: taken_by(name, run) for name, run in parts.items()}
    if args.json:
        parts_told = {name: plain(found) for name, found in taken.items()}
        yield json.dumps({"peaks": peaks, "parts": parts_told}, indent=1)
    else:
        yield (
            f"this machine's peaks with this engine: {peaks['products'] / 1e9:.0f} GFLOP/s in "
            f"products of {SIDE}x{SIDE}, {peaks['bytes'] / 1e9:.1f} GB/s in sums of long arrays"
        )
        yield kernels.price.told()
        for name, found in taken.items():
            yield ""
            yield from told(name, found, peaks, args.top)
        if args.engine == "fast":
            yield UNWATCHED
    if args.plot:
        with atomic_write(args.plot) as file:
            plot([panel(*part, peaks) for part in taken.items()]).save(file, "png")


def calibrated() -> str:
    """Measure from where on Winograd pays, and keep that for processes to come.

    Raises ConfigError where nothing can be kept.
    """
    print("measuring the machine ...", file=sys.stderr)
    x = np.zeros((1, 64, 64, 256), np.float32)
    with engine("fast"):
        numbers = kernels.winograd.transformed(x, (64, 64), (1, 1)).size
        rate = numbers / best(lambda: kernels.winograd.transformed(x, (64, 64), (1, 1)))
        place = kernels.price.keep(measured_peaks()["products"] / rate)
    if place is None:
        raise ConfigError(
            "what was measured cannot be kept: neither REFDIFF_CACHE_DIR nor ~/.cache/refdiff can "
            "be written; set REFDIFF_CACHE_DIR to a folder that can"
        )
    return f"{kernels.price.told()}; kept in {place}"


def step(pipe: Pipeline, size: tuple[int, int] | None) -> Callable[[], object]:
    """A call of the U-Net on noise."""
    x = np.random.default_rng(0).standard_normal(pipe.latent_shape(2, size), np.float32)
    states = pipe.encode(["", ""])
    return lambda: pipe.unet(x, 500.0, states)


def decoded(pipe: Pipeline, size: tuple[int, int] | None) -> Callable[[], object]:
    """A call of the decoder on noise."""
    z = np.random.default_rng(0).standard_normal(pipe.latent_shape(1, size), np.float32)
    return lambda: pipe.vae.decode(z)


def taken_by(name: str, run: Callable[[], object]) -> Ledger:
    """The second run's ops: the first compiles, and reads the weights."""
    for told in ("warming up", "measuring"):
        print(f"{told}: {name} ...", file=sys.stderr)
        with ledger() as found:
            run()
    return found


def measured_peaks() -> dict[str, float]:
    """Operations a second of one large product, bytes a second of one long sum."""
    rng = np.random.default_rng(0)
    x, long = rng.standard_normal((SIDE, SIDE), np.float32), np.ones(LENGTH, np.float32)
    product, total = x[None], best(lambda: ops.add(long, long))
    return {
        "products": 2 * SIDE**3 / best(lambda: ops.linear(product, x)),
        "bytes": 3 * long.nbytes / total,
    }


def best(run: Callable[[], object]) -> float:
    """The least seconds of some runs."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def bound(key: Key, entry: Entry, peaks: Mapping[str, float]) -> float:
    """The least seconds that the machine's peaks allow."""
    products = entry.operations / peaks["products"] if key[0] in PRODUCTS else 0.0
    return max(products, entry.bytes / peaks["bytes"])


def told(name: str, found: Ledger, peaks: Mapping[str, float], top: int) -> Iterator[str]:
    """A table, what took longest first."""
    whole = sum(entry.seconds for entry in found.values())
    work = sum(e.operations for key, e in found.items() if key[0] in PRODUCTS)
    yield (
        f"{name}: {whole:.3f} s in {sum(e.calls for e in found.values())} ops, "
        f"{work / 1e9:.1f} GFLOP in products, {work / whole / 1e9:.0f} GFLOP/s"
    )
    head = ("op", "arrays", "how", "calls", "ms", "of all", "GFLOP/s", "GB/s", "of peak")
    lines = sorted(found.items(), key=lambda item: -item[1].seconds)
    cells = [
        (
            *key,
            str(e.calls),
            f"{1e3 * e.seconds:.1f}",
            f"{e.seconds / whole:.1%}",
            f"{e.operations / e.seconds / 1e9:.1f}",
            f"{e.bytes / e.seconds / 1e9:.1f}",
            f"{bound(key, e, peaks) / e.seconds:.0%}",
        )
        for key, e in lines[:top]
    ]
    yield from table([head, *cells], left={0, 1, 2})
    if len(lines) > top:
        rest = sum(entry.seconds for _, entry in lines[top:])
        yield f"and {len(lines) - top} more, {1e3 * rest:.1f} ms in all (--top {len(lines)})"


def panel(name: str, found: Ledger, peaks: Mapping[str, float]) -> Panel:
    """The roofline, and each op below it; those that Winograd computes may stand above it."""
    kinds = sorted({key[0] for key in found})
    by_kind = [(kind, [e for key, e in found.items() if key[0] == kind]) for kind in kinds]
    dots = [Line(kind, *points(some), joined=False, dots=True) for kind, some in by_kind]
    x = np.geomspace(0.05, 2000, 200)
    roof = Line("the machine", x, np.minimum(peaks["products"], x * peaks["bytes"]) / 1e9)
    return Panel(
        f"{name}: roofline", "operations per byte", "GFLOP/s", [roof, *dots], x_log=True, y_log=True
    )


def points(entries: list[Entry]) -> tuple[Any, Any]:
    """Operations per byte, and 10^9 operations per second."""
    return (
        np.array([e.operations / e.bytes for e in entries]),
        np.array([e.operations / e.seconds / 1e9 for e in entries]),
    )


def plain(found: Ledger) -> list[dict[str, Any]]:
    """For a machine."""
    return [
        {"op": op, "arrays": arrays, "how": how, **asdict(entry)}
        for (op, arrays, how), entry in found.items()
    ]
