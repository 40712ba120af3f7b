"""refdiff: the reference implementation of text-to-image diffusion models on NumPy."""

from refdiff import noise, ops
from refdiff.diffusion import samplers
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import CheckpointError, ConfigError, PromptError, RefdiffError, ShapeError
from refdiff.loading import load
from refdiff.op import engine
from refdiff.pipeline import Pipeline, Result
from refdiff.text import Tokenizer
from refdiff.trace import Trace, record, trace

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "NoiseSchedule",
    "Pipeline",
    "PromptError",
    "RefdiffError",
    "Result",
    "ShapeError",
    "Tokenizer",
    "Trace",
    "engine",
    "load",
    "noise",
    "ops",
    "record",
    "samplers",
    "trace",
]
