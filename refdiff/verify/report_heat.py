"""Where in a tensor the error is: its worst plane as a picture, and its worst channels."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from refdiff.op import Array
from refdiff.verify.metrics import ratio
from refdiff.verify.report import Evidence

MOST = 384  # rows and columns of a picture; of more, each pixel shows the largest
COLOURS = ("#2166ac", "#67a9cf", "#f7f7f7", "#ef8a62", "#b2182b")  # from negative to positive
BROKEN = "#1a1a1a"  # of what is not finite


@dataclass(frozen=True)
class HeatMap:
    """A plane's picture: `peak` has the strongest colours, and `index` says which plane it is."""

    uri: str
    peak: float
    index: str
    shape: tuple[int, int]


def heat_map(error: Array) -> HeatMap:
    """Rows and columns, the last two axes, where the error is largest. error [*,H,W]"""
    at, plane = worst_plane(error)
    peak = float(abs(plane).max(where=np.isfinite(plane), initial=0))
    index = ", ".join([*map(str, at), *":" * min(error.ndim, 2)])
    return HeatMap(png(shrunk(plane), peak), peak, f"[{index}]", plane.shape)


def worst_plane(error: Array) -> tuple[tuple[int, ...], Array]:
    """Where in the leading axes the error has most power, and the plane there. [*,H,W] -> [H,W]"""
    planes = np.atleast_2d(error)
    power = np.square(planes).mean((-2, -1))
    power = np.where(np.isfinite(power), power, np.inf)
    at = tuple(map(int, np.unravel_index(power.argmax(), power.shape)))
    return at, planes[at]


def shrunk(plane: Array, most: int = MOST) -> Array:
    """At most so many rows and columns, the largest of each patch. plane [H,W] -> [h,w]"""
    for axis in (0, 1):
        n = plane.shape[axis]
        starts = np.arange(0, n, -(-n // most))
        high, low = (f.reduceat(plane, starts, axis) for f in (np.maximum, np.minimum))
        plane = np.where(high > -low, high, low)
    return plane


def png(plane: Array, peak: float) -> str:
    """A data URI, a pixel an element: -peak is blue, zero white, +peak red. plane [h,w]"""
    with np.errstate(invalid="ignore"):
        levels = np.rint(127 * (plane / (peak or 1) + 1))
    indices = np.where(np.isfinite(plane), levels, 255).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _palette() -> bytes:
    """255 colours from negative to positive, and that of what is not finite."""
    anchors = np.array([[*bytes.fromhex(c[1:])] for c in COLOURS], np.float64)
    at, places = np.linspace(0, 1, 255), np.linspace(0, 1, len(COLOURS))
    ramp = np.stack([np.interp(at, places, part) for part in anchors.T], -1)
    return np.rint(ramp).astype(np.uint8).tobytes() + bytes.fromhex(BROKEN[1:])


@dataclass(frozen=True)
class Channel:
    """A channel's error: root mean square, mean, and how many times honest rounding it is."""

    number: int
    rms: float
    mean: float
    times: float


def worst_channels(evidence: Evidence, most: int = 8) -> list[Channel]:
    """Those with the largest error, along the second axis of [N,C,*] and the last of others."""
    error = evidence.given - evidence.exact
    axis = 1 if error.ndim in (2, 4) else -1
    if not error.ndim:
        return []
    rows, honest = (
        np.moveaxis(x, axis, 0).reshape(error.shape[axis], -1)
        for x in (error, evidence.honest - evidence.exact)
    )
    size, unit = (np.sqrt(np.square(x).mean(1)) for x in (rows, honest))
    order = np.argsort(-np.where(np.isfinite(size), size, np.inf), kind="stable")[:most]
    mean = rows.mean(1)
    return [Channel(int(c), float(size[c]), float(mean[c]), ratio(size[c], unit[c])) for c in order]
