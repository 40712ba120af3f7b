"""From a seed to an array, exactly as other programs draw it."""

from .brownian import brownian_noise, brownian_tree
from .jax import Jax, JaxKey, jax, jax_key
from .libstdcxx import libstdcxx
from .names import from_name
from .numpy_streams import numpy, numpy_generator
from .one_wave import torch_cuda_one_wave
from .source import Source, per_sample
from .torch_cpu import TorchCpu, torch_cpu
from .torch_cpu_211 import torch_cpu_211
from .torch_cuda import TorchCuda, torch_cuda

__all__ = [
    "Jax",
    "JaxKey",
    "Source",
    "TorchCpu",
    "TorchCuda",
    "brownian_noise",
    "brownian_tree",
    "from_name",
    "jax",
    "jax_key",
    "libstdcxx",
    "numpy",
    "numpy_generator",
    "per_sample",
    "torch_cpu",
    "torch_cpu_211",
    "torch_cuda",
    "torch_cuda_one_wave",
]
