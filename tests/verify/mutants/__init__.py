"""Copies of diffusers' and transformers' models, each with a mistake planted in torch."""

from tests.verify.mutants.layers import LAYERS
from tests.verify.mutants.mutant import Mutant
from tests.verify.mutants.wiring import WIRING

MUTANTS: tuple[Mutant, ...] = (*LAYERS, *WIRING)
