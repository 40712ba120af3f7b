"""`refdiff warmup`: compile what a picture needs before the first one is asked for."""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from refdiff.errors import ConfigError
from refdiff.loading import load


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
    load()("", steps=2, guidance=2.0)
    took = time.perf_counter() - start
    print(f"{compiled()} functions compiled, in {took:.1f} s altogether", file=sys.stderr)
    yield str(place)
