"""Machine code behind the fast engine: `kernels.norm` and the others are imported on first use.

So an op names its kernel without Numba being there, and a call does not ask for it again.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refdiff.interrupts import held

if TYPE_CHECKING:
    from refdiff.kernels import (  # noqa: F401
        activations,
        attention,
        conv2d,
        gated,
        jit,
        kept,
        layer_norm,
        moving,
        norm,
        pixels,
        price,
        product,
        taps,
        widen,
        winograd,
    )


def __getattr__(name: str) -> Any:
    """The module of that name. Raises AttributeError where there is none."""
    whole = f"{__name__}.{name}"
    with held():
        try:
            return import_module(whole)
        except ModuleNotFoundError as error:
            if error.name != whole:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
