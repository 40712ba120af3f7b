"""Panels: some columns of a matrix side by side, laid down row by row for a block in registers.

A panel has WIDTH columns, or fewer vectors, with zeros behind the last column that there is.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from refdiff.kernels.jit import native
from refdiff.kernels.parts import compiled_as
from refdiff.op import Array

X86 = binding.get_process_triple().startswith(("x86", "i"))
LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
VECTORS = 4 if LANES == 16 else 2  # of a panel's row: there are 32 registers, or 16
WIDTH = VECTORS * LANES  # columns of a panel
NUMBERS: Any = types.CPointer(types.float32)  # type: ignore[no-untyped-call]
INDEX = types.int64
INT, PLACE = ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(ir.FloatType(), LANES)


def fitting(columns: int) -> int:
    """How wide panels of so many columns are best: a last one that is not full is read slowly."""
    return WIDTH if columns % WIDTH == 0 else 2 * LANES


def lay(rows: Array, panel: Array) -> None:
    """Rows of the transposed second matrix as a panel of it.

    rows [O,K], O <= W, panel [K,W], W a multiple of LANES, or with K as several axes
    """
    flat = panel.reshape(-1, panel.shape[-1])
    flat[:, : len(rows)], flat[:, len(rows) :] = rows.T, 0


@compiled_as(lay)
def _laid(rows: Any, panel: Any) -> Callable[..., None]:
    def lay(rows: Any, panel: Any) -> None:
        width = panel.shape[panel.ndim - 1]
        step, (O, K) = rows.strides[0] // 4, rows.shape  # noqa: E741
        panelled(rows.ctypes, step, O, K, panel.ctypes, width)

    return lay


@intrinsic
def turn(typing: Any, rows: Any, at: Any, step: Any, panel: Any, to: Any, width: Any) -> Any:
    """panel[i, j] <- rows[j, i] for i, j below LANES, from and to a place on.

    In registers: blocks off the diagonal change places, half as large each time.
    """
    signature = types.void(NUMBERS, INDEX, INDEX, NUMBERS, INDEX, INDEX)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, at, step, panel, to, width = args

        def vector(matrix: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(matrix, [offset]), VECTOR.as_pointer())

        lines = [
            builder.load(vector(rows, builder.add(at, builder.mul(step, INT(i)))), align=4)
            for i in range(LANES)
        ]
        size = LANES // 2
        while size:
            mine = [lane if not lane & size else LANES + lane - size for lane in range(LANES)]
            other = [lane + size if not lane & size else LANES + lane for lane in range(LANES)]
            for i in range(LANES):
                if not i & size:
                    pair = lines[i], lines[i + size]
                    lines[i], lines[i + size] = (
                        builder.shuffle_vector(
                            *pair, ir.Constant(ir.VectorType(PLACE, LANES), places)
                        )
                        for places in (mine, other)
                    )
            size //= 2
        for i, line in enumerate(lines):
            place = builder.add(to, builder.mul(width, INT(i)))
            builder.store(line, vector(panel, place), align=4)
        return context.get_dummy_value()

    return signature, code


@native(NUMBERS, INDEX, INDEX, INDEX, NUMBERS, INDEX)
def panelled(rows: Any, step: int, O: int, K: int, panel: Any, width: int) -> None:  # noqa: E741
    """What `lay` does, with rows as where they start and the step from one to the next."""
    squares, full = K // LANES * LANES, O // LANES * LANES
    for k in range(0, squares, LANES):
        for o in range(0, full, LANES):
            turn(rows, o * step + k, step, panel, k * width + o, width)  # type: ignore[call-arg]
    for k in range(K):
        for o in range(full if k < squares else 0, O):
            panel[k * width + o] = rows[o * step + k]
        for o in range(O, width):
            panel[k * width + o] = 0
