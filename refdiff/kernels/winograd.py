"""3x3 convolution by Winograd's minimal filtering: 36 products for 16 pixels, where 144 are plain.

    y = Aᵀ [(G g Gᵀ) * (Bᵀ d B)] A     (points.py says what they are)

Each of a tile's 36 numbers is multiplied by its own matrix of filters.
"""

import numpy as np

from refdiff.kernels.block import accumulate
from refdiff.kernels.jit import bias_or_zeros, fixed, inlined
from refdiff.kernels.lanes import fill
from refdiff.kernels.panels import WIDTH
from refdiff.kernels.points import SIDE, TAPS, TILE
from refdiff.kernels.price import winograd_pays
from refdiff.kernels.scratch import result, scratch
from refdiff.kernels.tiles import Tiled, count
from refdiff.kernels.transforms import filters_in, tiles_in, tiles_out
from refdiff.op import Array, current_engine
from refdiff.workers import thread_count

LEAST = 4  # tiles of a sample, from which it may pay
MANY = 64  # tiles of a product, from which it is worth to have all filters ready
FEW = 8  # tiles that are transformed by one thread
FILTERS, INNER = 32, 64  # and channels of them that are made ready together, where tiles are few,
SHARES = 8  # of all filters, at least, that threads have to share
APART = 1  # more than is used, lest points take each other's place in caches


@inlined
def products(v: Array, u: Array, m: Array, anew: bool) -> None:
    """m <- v u point by point, or m += v u. v [6,6,T,C], u [P,6,6,C,W], m [6,6,T,O]"""
    zeros = np.empty(m.shape[3], np.float32)
    fill(zeros, np.float32(0))
    for i in range(SIDE):
        for j in range(SIDE):
            if anew:
                accumulate(v[i, j], u[:, i, j], m[i, j], zeros)
            else:
                accumulate(v[i, j], u[:, i, j], m[i, j], None)


def pays(size: tuple[int, int], channels: int, filters: int) -> bool:
    """Whether the products saved are worth the transforms: price.py says how that is weighed.

    Not by how large a picture is, so that strips of one are computed as the whole.
    """
    tiles = count(size[0], TILE) * count(size[1], TILE)
    return tiles >= LEAST and winograd_pays(channels, filters) and not current_engine().plain


def convolve(
    x: Array,
    w: Array,
    b: Array | None,
    size: tuple[int, int],
    corner: tuple[int, int],
    to: Array | None = None,
    times: int = 1,
) -> Array:
    """x [N,H,W,C], w [O,C,3,3], b [O], size (h,v), corner (top,left) -> [N,h,v,O]

    to [N,hv,O], or [N,1,O] for all pixels: what that is added to. times: 2 where x is enlarged so
    many times before, and the corner (1,1).
    Where tiles are many, all filters are made ready first; else all tiles.
    """
    N, _, _, C = x.shape
    O = len(w)  # noqa: E741
    y = result((N, *size, 1, O), np.float32)
    w, bias = fixed(w.reshape(O, -1)), bias_or_zeros(b, O)
    more = fixed(np.empty((N, 0, O), np.float32) if to is None else to)
    across, threads = count(size[1], TILE), thread_count()
    tiles, panels = across * count(size[0], TILE), count(O, WIDTH)
    if tiles > MANY:
        u = scratch("filters", (panels, SIDE, SIDE, C + APART, WIDTH), np.float32)
        taps = scratch("taps", (threads, C, TAPS, TAPS, WIDTH), np.float32)
        v = scratch("tiles in", (threads, SIDE, SIDE, MANY + APART, C), np.float32)
        m = scratch("tiles out", (threads, SIDE, SIDE, MANY + APART, O), np.float32)
        _ready(panels, w, taps, u)
        some, given = N * count(tiles, MANY), (x[..., None, :], times, across, *corner)
        _some_tiles(some, *given, u, bias, more, v, m, y, MANY)
    else:
        v = transformed(x, size, corner, times)
        some = max(min(FILTERS // WIDTH, panels // SHARES), 1)
        u = scratch("filters", (threads, some, SIDE, SIDE, INNER + APART, WIDTH), np.float32)
        taps = scratch("taps", (threads, INNER, TAPS, TAPS, WIDTH), np.float32)
        m = scratch("tiles out", (threads, SIDE, SIDE, N * tiles + APART, some * WIDTH), np.float32)
        _some_filters(count(panels, some), v, w, bias, more, across, taps, u, m, y)
    return y.reshape(N, *size, O)


def transformed(x: Array, size: tuple[int, int], corner: tuple[int, int], times: int = 1) -> Array:
    """All tiles, some channels after the others: what a product reads at a time lies together.

    x [N,H,W,C], size, corner and times as above -> [K,6,6,N T,c]
    """
    (N, _, _, C), across = x.shape, count(size[1], TILE)
    tiles = across * count(size[0], TILE)
    v = scratch("all tiles", (count(C, INNER), SIDE, SIDE, N * tiles + APART, INNER), np.float32)
    _transform(N * count(tiles, FEW), x[..., None, :], times, across, tiles, *corner, v, FEW)
    return v


@Tiled
def _ready(w: Array, taps: Array, u: Array, who: int, tile: int) -> None:
    """A panel of filters. w [O,C 9], taps [threads,C,3,3,W], u [P,6,6,C,W]"""
    channels = w.shape[1] // TAPS**2
    filters_in(w[tile * WIDTH : (tile + 1) * WIDTH], 0, taps[who], u[tile, :, :, :channels])


@Tiled
def _some_tiles(
    x: Array,
    times: int,
    across: int,
    top: int,
    left: int,
    u: Array,
    bias: Array,
    to: Array,
    v: Array,
    m: Array,
    y: Array,
    some: int,
    who: int,
    tile: int,
) -> None:
    """Some of Winograd's tiles with all filters.

    x [N,H,W,1,C], u [P,6,6,C,W] or more channels, to [N,*,O], v [threads,6,6,T,C],
    m [threads,6,6,T,O]
    """
    tiles = -(-y.shape[1] // TILE) * across
    blocks = -(-tiles // some)
    n, first = tile // blocks, tile % blocks * some
    size = min(some, tiles - first)
    given, made = v[who, :, :, :size], m[who, :, :, :size]
    tiles_in(x[n], times, first, across, top, left, given)
    products(given, u[:, :, :, : x.shape[4]], made, True)
    tiles_out(made, bias, first, across, y[n], to[n])


@Tiled
def _transform(
    x: Array,
    times: int,
    across: int,
    tiles: int,
    top: int,
    left: int,
    v: Array,
    some: int,
    who: int,
    tile: int,
) -> None:
    """Some of Winograd's tiles. x [N,H,W,1,C], v [K,6,6,N T,c]"""
    inner, blocks = v.shape[4], -(-tiles // some)
    n, first = tile // blocks, tile % blocks * some
    places = slice(n * tiles + first, n * tiles + min(first + some, tiles))
    for k in range(len(v)):
        channels = x[n, :, :, :, k * inner : (k + 1) * inner]
        goal = v[k, :, :, places, : channels.shape[3]]
        tiles_in(channels, times, first, across, top, left, goal)


@Tiled
def _some_filters(
    v: Array,
    w: Array,
    bias: Array,
    to: Array,
    across: int,
    taps: Array,
    u: Array,
    m: Array,
    y: Array,
    who: int,
    tile: int,
) -> None:
    """Some filters with all tiles, some of their channels at a time, so that all stays near.

    v [K,6,6,N T,c], to [N,*,O], taps [threads,c,3,3,W], u [threads,P,6,6,c,W],
    m [threads,6,6,N T,P W]
    """
    N, T, inner, wide = len(y), (v.shape[3] - APART) // len(y), v.shape[4], m.shape[4]
    outs = slice(tile * wide, (tile + 1) * wide)
    filters, added = w[outs], bias[outs]
    made = m[who, :, :, : N * T, : len(filters)]
    for k in range(len(v)):
        n = min(inner, w.shape[1] // TAPS**2 - k * inner)
        room = taps[who, :n]
        given = v[k, :, :, : N * T, :n]
        some = u[who, : -(-len(filters) // WIDTH), :, :, :n]
        for panel in range(len(some)):
            filters_in(filters[panel * WIDTH : (panel + 1) * WIDTH], k * inner, room, some[panel])
        products(given, some, made, k == 0)
    for n in range(N):
        some = made[:, :, n * T : (n + 1) * T]
        tiles_out(some, added, 0, across, y[n, :, :, :, outs], to[n, :, outs])
