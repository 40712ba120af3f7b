"""From prompts to the ids a text encoder reads."""

from .tokenizer import Tokenizer

__all__ = ["Tokenizer"]
