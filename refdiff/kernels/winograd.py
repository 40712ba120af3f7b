"""3x3 convolution by Winograd's minimal filtering: 36 products for 16 pixels, where 144 are plain.

    y = Aᵀ [(G g Gᵀ) * (Bᵀ d B)] A     (points.py says what they are)

Each of a tile's 36 numbers is multiplied by its own matrix of filters.
"""

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import bias_or_zeros, fixed, inlined
from refdiff.kernels.lanes import fill
from refdiff.kernels.panels import WIDTH
from refdiff.kernels.points import TILE
from refdiff.kernels.price import winograd_pays
from refdiff.kernels.scratch import scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.kernels.transforms import POINTS, filters_in, tiles_in, tiles_out
from refdiff.op import Array, current_engine
from refdiff.workers import thread_count

LEAST = 4  # tiles of a sample, from which it may pay
MANY = 64  # tiles of a product, from which it is worth to have all filters ready
FEW = 8  # tiles that are transformed by one thread
INNER = 96  # channels of filters that are made ready at a time, where tiles are few


@inlined
def products(v: Array, u: Array, m: Array) -> None:
    """Point by point. v [T,36,C], u [P,36,C,W], m [T,36,P W]"""
    zeros = np.zeros(m.shape[2], np.float32)
    for point in range(POINTS):
        accumulate(v[:, point], u[:, point], m[:, point], zeros)


@inlined
def by_parts(v: Array, w: Array, room: Array, m: Array) -> None:
    """The same for one panel of filters, some of their channels at a time, so that all stays near.

    v [T,36,C], w [O,C,3,3], O <= W, room [*], m [T,36,W]
    """
    C = w.shape[1]
    fill(m.reshape(m.size), np.float32(0))
    for first in range(0, C, INNER):
        n = min(INNER, C - first)
        u = room[: POINTS * n * WIDTH].reshape(1, POINTS, n, WIDTH)
        filters_in(w, first, u[0])
        for point in range(POINTS):
            accumulate(v[:, point, first : first + n], u[:, point], m[:, point], None)


def pays(size: tuple[int, int], channels: int, filters: int) -> bool:
    """Whether the products saved are worth the transforms: price.py says how that is weighed.

    Not by how large a picture is, so that strips of one are computed as the whole.
    """
    tiles = count(size[0], TILE) * count(size[1], TILE)
    return tiles >= LEAST and winograd_pays(channels, filters) and not current_engine().plain


def convolve(
    x: Array, w: Array, b: Array | None, size: tuple[int, int], corner: tuple[int, int]
) -> Array:
    """x [N,H,W,C], w [O,C,3,3], b [O], size (h,v), corner (top,left) -> [N,h,v,O]

    Where tiles are many, all filters are made ready first; else all tiles.
    """
    O, C = w.shape[:2]  # noqa: E741
    y = np.empty((len(x), *size, O), np.float32)
    w, bias = fixed(w), bias_or_zeros(b, O)
    across, (top, left), threads = count(size[1], TILE), corner, thread_count()
    tiles, panels = across * count(size[0], TILE), count(O, WIDTH)
    if tiles > MANY:
        u = scratch("filters", (panels, POINTS, C, WIDTH), np.float32)
        v = scratch("tiles in", (threads, MANY, POINTS, C), np.float32)
        m = scratch("tiles out", (threads, MANY, POINTS, panels * WIDTH), np.float32)
        _ready(panels, w, u)
        _some_tiles(len(x) * count(tiles, MANY), x, across, top, left, u, bias, v, m, y)
        return y
    v = transformed(x, size, corner)
    room = scratch("filters", (threads, POINTS * INNER * WIDTH), np.float32)
    m = scratch("tiles out", (threads, len(x) * tiles, POINTS, WIDTH), np.float32)
    _some_filters(panels, v, w, bias, across, room, m, y)
    return y


def transformed(x: Array, size: tuple[int, int], corner: tuple[int, int]) -> Array:
    """All tiles of pictures. x [N,H,W,C], size and corner as above -> [N,T,36,C]"""
    across, (top, left) = count(size[1], TILE), corner
    tiles = across * count(size[0], TILE)
    v = scratch("all tiles", (len(x), tiles, POINTS, x.shape[3]), np.float32)
    _transform(len(x) * count(tiles, FEW), x, FEW, across, top, left, v)
    return v


@Tiled
def _ready(w: Array, u: Array, who: int, tile: int) -> None:
    """A panel of filters. w [O,C,3,3], u [P,36,C,W]"""
    filters_in(w[tile * WIDTH : (tile + 1) * WIDTH], 0, u[tile])


@Tiled
def _some_tiles(
    x: Array,
    across: int,
    top: int,
    left: int,
    u: Array,
    bias: Array,
    v: Array,
    m: Array,
    y: Array,
    who: int,
    tile: int,
) -> None:
    """Some of Winograd's tiles with all filters. v [threads,T,36,C], m [threads,T,36,P W]"""
    tiles, some = -(-y.shape[1] // TILE) * across, v.shape[1]
    blocks = -(-tiles // some)
    n, first = tile // blocks, tile % blocks * some
    size = min(some, tiles - first)
    tiles_in(x[n], first, across, top, left, v[who, :size])
    products(v[who, :size], u, m[who, :size])
    tiles_out(m[who, :size], bias, first, across, y[n], 0)


@Tiled
def _transform(
    x: Array, some: int, across: int, top: int, left: int, v: Array, who: int, tile: int
) -> None:
    """Some of Winograd's tiles. v [N,T,36,C]"""
    blocks = -(-v.shape[1] // some)
    n, first = tile // blocks, tile % blocks * some
    tiles_in(x[n], first, across, top, left, v[n, first : first + some])


@Tiled
def _some_filters(
    v: Array,
    w: Array,
    bias: Array,
    across: int,
    room: Array,
    m: Array,
    y: Array,
    who: int,
    tile: int,
) -> None:
    """A panel of filters with all tiles. v [N,T,36,C], room [threads,*], m [threads,N T,36,W]"""
    N, T, _, C = v.shape
    outs = slice(tile * WIDTH, (tile + 1) * WIDTH)
    by_parts(v.reshape(N * T, POINTS, C), w[outs], room[who], m[who])
    for n in range(N):
        tiles_out(m[who, n * T : (n + 1) * T], bias[outs], 0, across, y[n], outs.start)
