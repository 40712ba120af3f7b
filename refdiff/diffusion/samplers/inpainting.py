"""What inpainting starts from: a picture, and a mask that says where it is to be kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refdiff.diffusion.samplers.keys import Key
from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError, ShapeError


@dataclass(frozen=True, eq=False)
class Known:
    """picture [N,C,H,W]; mask in [0, 1], of a shape that broadcasts to it: 1 where it is kept."""

    picture: Array
    mask: Array

    def __post_init__(self) -> None:
        if not np.all((self.mask >= 0) & (self.mask <= 1)):
            raise ConfigError(
                "mask holds a number outside [0, 1], expected 1 where the picture is kept and 0 "
                "where it is painted: divide it by its largest"
            )

    @classmethod
    def of(cls, picture: Any, mask: Any) -> "Known | None":
        """From both of the options, or None from neither. Raises ConfigError for one alone."""
        if (picture is None) != (mask is None):
            raise ConfigError(
                "one of original_image and mask was given, expected both or neither: give both"
            )
        return None if picture is None else cls(picture, mask)

    def fitting(self, x: Array) -> tuple[Array, Array]:
        """Both in x's dtype, or ShapeError where they do not fit: x [N,C,H,W] -> [N,C,H,W], mask"""
        try:
            fits = self.picture.shape == x.shape == np.broadcast_shapes(self.mask.shape, x.shape)
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(
                f"original_image has shape {list(self.picture.shape)} and mask "
                f"{list(self.mask.shape)}, expected {list(x.shape)} as x has and what broadcasts "
                "to it: scale both to the latents' size"
            )
        return self.picture.astype(x.dtype), self.mask.astype(x.dtype)


_ARRAY = Key(None, "an array or null", lambda v: v is None or isinstance(v, np.ndarray))
PICTURE = {"original_image": _ARRAY, "mask": _ARRAY}
