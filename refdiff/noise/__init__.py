"""From a seed to an array, exactly as other programs draw it."""

from .torch_cpu import TorchCpu, torch_cpu

__all__ = ["TorchCpu", "torch_cpu"]
