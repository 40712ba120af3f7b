"""Machine code behind the fast engine; imported by an op's kernel on its first use only."""

from refdiff.interrupts import held

with held():
    import numba  # noqa: F401
