"""Blocks of float64: their logarithm is the C library's, as PyTorch's is."""

import numpy as np
import torch

from refdiff.noise import torch_cpu


def test_no_number_of_many_is_off() -> None:
    """NumPy's own logarithm, with AVX-512, is off in one of a few hundred."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        theirs = torch.randn(1600, generator=generator, dtype=torch.float64).numpy()
        assert (torch_cpu(seed).normal(1600, np.float64) == theirs).all()
