"""Matrix products in tiles, each of them one product by BLAS on one thread."""

import numpy as np

from refdiff.op import Array
from refdiff.workers import each, parts

ROWS = 256  # of a tile
TILES = 4  # that one sample is to make, so that threads can share it,
LEAST = 1 << 22  # if that leaves so many multiplications to each


def linear(x: Array, w: Array, b: Array | None) -> Array:
    """x [*,I], w [O,I] -> [*,O]; the last two axes are one sample, of fewer the last alone."""
    O = len(w)  # noqa: E741
    y = np.empty((*x.shape[:-1], O), np.result_type(x, w))
    samples = x.reshape(-1, *x.shape[-2:]) if x.ndim > 2 else x.reshape(-1, 1, x.shape[-1])
    target = y.reshape(len(samples), -1, O)

    def work(tile: tuple[int, slice, slice]) -> None:
        n, rows, columns = tile
        out = target[n, rows, columns]
        np.matmul(samples[n, rows], w[columns].T, out=out)
        if b is not None:
            out += b[columns]

    each(work, grid(samples.shape, ROWS, O))
    return y


def grid(samples: tuple[int, int, int], size: int, O: int) -> list[tuple[int, slice, slice]]:  # noqa: E741
    """Tiles of samples [N,L,I] times [I,O]: `size` rows, and where those are few, some columns."""
    N, L, I = samples  # noqa: E741
    rows = parts(L, size)
    share = max(-(-O * len(rows) // TILES), -(-LEAST // (min(size, L) * I)))
    return [(n, some, columns) for n in range(N) for some in rows for columns in parts(O, share)]
