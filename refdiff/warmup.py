"""Compiling ahead: `refdiff warmup`, and a second process beside the first picture."""

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from refdiff import kernels, op, ops
from refdiff.errors import ConfigError
from refdiff.op import Array
from refdiff.params import LARGE, widened
from refdiff.workers import thread_count


def warm_up(args: Namespace) -> Iterator[str]:
    """Compiles all that a picture in float32 takes and says where it is kept.

    Raises ConfigError where nothing can be kept.
    """
    place = kernels.kept.folder()
    if place is None:
        raise ConfigError(
            "machine code cannot be kept: neither REFDIFF_CACHE_DIR nor ~/.cache/refdiff can be "
            "written; set REFDIFF_CACHE_DIR to a folder that can"
        )
    print("compiling what is not compiled yet ...", file=sys.stderr)
    start = time.perf_counter()
    with compiling_beside(), op.engine("fast"):
        for call in calls():
            call()
    took = time.perf_counter() - start
    made = kernels.jit.compiled()
    print(f"{made} functions compiled, in {took:.1f} s altogether", file=sys.stderr)
    yield str(place)


@contextmanager
def compiling_beside() -> Iterator[None]:
    """Where nothing is compiled yet, a second process begins with what a picture needs last.

    Each reads what the other has kept by the time it needs it; one thread compiles at a time in a
    process, so that two finish sooner.
    """
    if not nothing_compiled() or thread_count() < 2 or not sys.executable:
        yield
        return
    code = "from refdiff.warmup import backwards; backwards()"
    argv, nothing = [sys.executable, "-c", code], subprocess.DEVNULL
    helper = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def nothing_compiled() -> bool:
    """Whether machine code is kept somewhere, and none is there."""
    place = kernels.kept.folder()
    return place is not None and not any(place.iterdir())


def backwards() -> None:
    """Everything, the last first."""
    with op.engine("fast"):
        for call in reversed(calls()):
            call()


def calls() -> list[Callable[[], Array]]:
    """A small call of everything that is compiled, in the order in which a picture needs it.

    What the shipped model does not need comes first, so that a second process does it last.
    """
    blocks = kernels.norm
    rows, few, square = zeros(1, 16, 64), zeros(1, 64), zeros(64, 64)
    heads, mask = zeros(1, 2, 16, 32), zeros(16, 16)
    tiny, small, large = picture(2, 4), picture(2, 16), picture(1, 96)
    each = zeros(64)
    filters, pixel = zeros(64, 64, 3, 3), zeros(64, 64, 1, 1)
    norm = partial(ops.group_norm, groups=32, eps=1e-5)
    return [
        lambda: blocks.normalised(rows, blocks.moments_of_blocks(rows, 32), each, each, 1e-5),
        lambda: ops.conv2d(picture(2, 32), filters, padding=1, stride=2),
        lambda: ops.add(rows, rows),
        lambda: ops.add(small, small),
        lambda: ops.add(small, zeros(2, 64, 1, 1)),
        lambda: ops.layer_norm(rows, each, each, eps=1e-5),
        lambda: ops.linear(rows, zeros(96, 64)),
        lambda: ops.attention(heads, heads, heads, mask),
        lambda: ops.geglu(rows),
        lambda: ops.silu(small),
        lambda: ops.quick_gelu(rows),
        lambda: ops.gelu(rows),
        lambda: ops.linear(few, square),
        lambda: ops.silu(few),
        lambda: ops.conv2d(zeros(2, 4, 16, 16), zeros(64, 4, 3, 3), padding=1),
        lambda: norm(picture(2, 4), each, each),
        lambda: ops.conv2d(small, filters, padding=1),
        lambda: ops.linear(zeros(1, 64, 16), zeros(16, 16)),
        lambda: ops.geglu_of_linear(rows, square),
        lambda: ops.conv2d(small, filters, padding=1, stride=2),
        lambda: ops.conv2d(tiny, zeros(96, 64, 3, 3), padding=1, stride=2),
        lambda: ops.conv2d(tiny, pixel),
        lambda: widened(zeros(LARGE).astype(np.float16), rows.dtype),
        lambda: ops.concat(small, small),
        lambda: ops.upsample_nearest(tiny),
        lambda: norm(large, each, each),
        lambda: ops.conv2d(large, filters, padding=1),
    ]


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def picture(samples: int, side: int) -> Array:
    """Of 64 channels, which lie innermost."""
    return np.moveaxis(zeros(samples, side, side, 64), -1, 1)
