"""The catalogue of known mistakes, in ports of diffusion models, of single operations."""

from refdiff.verify.mistakes import activations, attention, linear_maps, norms, places
from refdiff.verify.mistakes.entry import CATALOGUE, FAMILIES, Family, Mistake, made

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "Family",
    "Mistake",
    "activations",
    "attention",
    "linear_maps",
    "made",
    "norms",
    "places",
]
