"""The few types that this room speaks in."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

# A number, or an array that broadcasts against the latents. Numbers should be Python floats:
# a NumPy float64 scalar would turn float32 latents into float64.
Scale = float | Array

# (x [N,C,H,W], t) -> out [N,C,H,W]: what a network says of the noisy x at time t
Model = Callable[[Array, float], Array]

Dialect = Literal["diffusers", "paper"]
