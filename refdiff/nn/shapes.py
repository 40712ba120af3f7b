"""What weights a layer has: nested name -> shape trees, flattened to the checkpoint's dotted names.

Letters: O out, I in; a convolution's kernel is k x k.
"""

from collections.abc import Mapping
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
Tree: TypeAlias = Mapping[str, "Shape | Tree"]


def conv(o: int, i: int, k: int = 3) -> Tree:
    """A convolution with bias."""
    return {"weight": (o, i, k, k), "bias": (o,)}


def linear(o: int, i: int, bias: bool = True) -> Tree:
    """An affine map, with or without bias."""
    return {"weight": (o, i), "bias": (o,)} if bias else {"weight": (o, i)}


def norm(c: int) -> Tree:
    """The scale and shift of a normalisation."""
    return {"weight": (c,), "bias": (c,)}


def numbered(*trees: Tree) -> Tree:
    """The members of a list: "0", "1", ..."""
    return {str(i): tree for i, tree in enumerate(trees)}


def flatten(tree: Tree, path: str = "") -> dict[str, Shape]:
    """{"conv": {"weight": s}} -> {"conv.weight": s}"""
    flat: dict[str, Shape] = {}
    for name, node in tree.items():
        full = f"{path}.{name}" if path else name
        flat.update({full: node} if isinstance(node, tuple) else flatten(node, full))
    return flat
