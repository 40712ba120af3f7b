"""From a seed to an array, exactly as other programs draw it."""

from .stream import Stream, per_sample
from .torch_cpu import TorchCpu, torch_cpu
from .torch_cpu_211 import torch_cpu_211

__all__ = ["Stream", "TorchCpu", "per_sample", "torch_cpu", "torch_cpu_211"]
