"""Streams by name, for a command line or a note in a file."""

import re
from collections.abc import Callable
from functools import partial

from ..errors import ConfigError
from .jax import jax
from .libstdcxx import libstdcxx
from .numpy_streams import numpy, numpy_generator
from .one_wave import torch_cuda_one_wave
from .source import Source
from .torch_cpu import torch_cpu
from .torch_cpu_211 import torch_cpu_211
from .torch_cuda import GPUS, torch_cuda

NAMES: dict[str, Callable[[int], Source]] = {
    "torch-cpu": torch_cpu,
    "torch-cpu-2.11": torch_cpu_211,
    "a1111": torch_cuda_one_wave,
    "jax": jax,
    "jax-original": partial(jax, partitionable=False),
    "numpy": numpy,
    "numpy-generator": numpy_generator,
    "libstdc++": libstdcxx,
}
CUDA = "torch-cuda:"
GEOMETRY = re.compile(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", re.ASCII)


def from_name(name: str, seed: int) -> Source:
    """The stream of that name from that seed.

    `name` is one of NAMES, or "torch-cuda:" and a GPU: a name of GPUS, its number of
    multiprocessors as in torch-cuda:82, or that and the threads of each as in torch-cuda:40x1024.
    ConfigError for any other name, and for a seed that the program does not take.
    """
    if isinstance(name, str) and name in NAMES:
        return NAMES[name](seed)
    gpu = name.removeprefix(CUDA) if isinstance(name, str) and name.startswith(CUDA) else ""
    if gpu in GPUS:
        sms, threads = GPUS[gpu]
        return torch_cuda(seed, sms=sms, threads_per_sm=threads)
    if geometry := GEOMETRY.fullmatch(gpu):
        return torch_cuda(seed, sms=int(geometry[1]), threads_per_sm=int(geometry[2] or 1536))
    raise ConfigError(
        f"no noise is called {name!r:.80}; the names are {', '.join(NAMES)}, {CUDA}SMS, "
        f"{CUDA}SMSxTHREADS and {CUDA}GPU with a GPU among {', '.join(GPUS)}"
    )
