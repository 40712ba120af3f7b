"""Hypothesis without a clock: compilation makes a first example slow."""

import os

# with AMX, convolutions of bfloat16 by strides of 3 give noise (pytorch/pytorch issue 169688)
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

import torch
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

NO_CONSTANTS = providers.Constants()

# drawn from none of the code's own constants: a new module would change every other test's draws
assert hasattr(providers, "_get_local_constants"), "it has another name in this hypothesis"
providers._get_local_constants = lambda: NO_CONSTANTS  # type: ignore[assignment]

settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")
torch.set_num_threads(1)  # small tensors: threads would only wait for each other
