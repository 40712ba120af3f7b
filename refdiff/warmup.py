"""Compiling ahead: `refdiff warmup`, and a second process beside the first picture."""

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from refdiff import op
from refdiff.errors import ConfigError
from refdiff.loading import load
from refdiff.workers import thread_count


def warm_up(args: Namespace) -> Iterator[str]:
    """Draws a picture of the shipped model and says where the kernels that it took are kept.

    Raises ConfigError where nothing can be kept.
    """
    from refdiff.kernels.jit import compiled, folder

    place = folder()
    if place is None:
        raise ConfigError(
            "machine code cannot be kept: neither REFDIFF_CACHE_DIR nor ~/.cache/refdiff can be "
            "written; set REFDIFF_CACHE_DIR to a folder that can"
        )
    print("compiling what is not compiled yet ...", file=sys.stderr)
    start = time.perf_counter()
    with compiling_beside():
        load()("", steps=2, guidance=2.0)
    took = time.perf_counter() - start
    print(f"{compiled()} functions compiled, in {took:.1f} s altogether", file=sys.stderr)
    yield str(place)


@contextmanager
def compiling_beside() -> Iterator[None]:
    """Where nothing is compiled yet, a second process begins with what a picture takes last.

    Each reads what the other has kept by the time it needs it; one thread compiles at a time in a
    process, so that two finish sooner.
    """
    if not nothing_compiled() or thread_count() < 2 or not sys.executable:
        yield
        return
    code = "from refdiff.warmup import decode; decode()"
    argv, nothing = [sys.executable, "-c", code], subprocess.DEVNULL
    helper = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def nothing_compiled() -> bool:
    """Whether machine code is kept somewhere, and none is there."""
    from refdiff.kernels.jit import folder

    place = folder()
    return place is not None and not any(place.iterdir())


def decode() -> None:
    """Decode latents of nothing."""
    vae = load().vae
    with op.engine("fast"):
        vae.decode(np.zeros((1, vae.config.latent_channels, 32, 32), np.float32))
