"""refdiff: the reference implementation of text-to-image diffusion models on NumPy."""

from refdiff import noise, ops
from refdiff.comparing import compare
from refdiff.diffusion import samplers
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import CheckpointError, ConfigError, PromptError, RefdiffError, ShapeError
from refdiff.loading import load
from refdiff.memory import memory
from refdiff.op import engine
from refdiff.pipeline import Pipeline, Result
from refdiff.recording import record
from refdiff.sketch import Sketch, read_sketches, sketch, sketch_distance
from refdiff.text import Tokenizer
from refdiff.trace import Trace
from refdiff.tracing import trace
from refdiff.version import __version__
from refdiff.workers import threads

__all__ = [
    "CheckpointError",
    "ConfigError",
    "NoiseSchedule",
    "Pipeline",
    "PromptError",
    "RefdiffError",
    "Result",
    "ShapeError",
    "Sketch",
    "Tokenizer",
    "Trace",
    "__version__",
    "compare",
    "engine",
    "load",
    "memory",
    "noise",
    "ops",
    "read_sketches",
    "record",
    "samplers",
    "sketch",
    "sketch_distance",
    "threads",
    "trace",
]
