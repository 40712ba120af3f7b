"""What can go wrong, by whose hand it can be mended.

A message is one sentence: what was found, what was expected, where, and what to do.
"""


class RefdiffError(Exception):
    """Anything refdiff refuses; the command line prints the message and exits with 2."""


class CheckpointError(RefdiffError):
    """A file of weights or a checkpoint folder is damaged, incomplete or not what it claims."""


class ConfigError(RefdiffError):
    """A configuration names something unknown, unsupported or contradictory."""


class PromptError(RefdiffError):
    """A prompt cannot be used."""


class ShapeError(RefdiffError):
    """An array or a picture size does not fit."""
