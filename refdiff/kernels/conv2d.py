"""Convolution as columns and a matrix product (im2col and GEMM)."""

import numpy as np

from refdiff.kernels.jit import jit
from refdiff.op import Array


def convolve(
    x: Array,
    w: Array,
    b: Array | None,
    size: tuple[int, int],
    stride: int,
    dilation: int,
    groups: int,
) -> Array:
    """x [N,C,H,W] padded already, w [O,C/g,k,l], b [O], size (h,v) -> [N,O,h,v]"""
    N, C = x.shape[:2]
    O, c, k, l = w.shape  # noqa: E741
    dtype = np.result_type(x, w)
    y = np.empty((N, groups, O // groups, size[0] * size[1]), dtype)
    matrix = w.reshape(groups, O // groups, c * k * l)
    point = k == l == stride == 1
    columns = None if point else np.empty((C, k, l, *size), dtype)
    for n in range(N):
        if columns is not None:
            copy_columns(x[n], columns, stride, dilation)
        source = x[n] if columns is None else columns
        np.matmul(matrix, source.reshape(groups, c * k * l, -1), out=y[n])
    y = y.reshape(N, O, *size)
    if b is not None:
        y += b[:, None, None]
    return y


@jit
def copy_columns(x: Array, columns: Array, stride: int, dilation: int) -> None:
    """columns[c,u,v,i,j] = x[c, s i + d u, s j + d v]. x [C,H,W], columns [C,k,l,h,v]"""
    C, K, L, H, W = columns.shape
    for c in range(C):
        for u in range(K):
            for v in range(L):
                for i in range(H):
                    for j in range(W):
                        columns[c, u, v, i, j] = x[
                            c, stride * i + dilation * u, stride * j + dilation * v
                        ]
