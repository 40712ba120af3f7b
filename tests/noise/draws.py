"""Random requests for the tests of the streams, and the first in which two streams differ."""

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 100)
shapes = (
    st.lists(st.integers(0, 40), max_size=2)
    | st.lists(st.integers(0, 17), max_size=3)
    | st.integers(0, 5000).map(lambda size: [size])
)


def scripts(kinds, dtypes, shapes=shapes):
    """Up to eight draws in a row: (kind, shape, dtype)."""
    draw = st.tuples(st.sampled_from(kinds), shapes, st.sampled_from(dtypes))
    return st.lists(draw, min_size=1, max_size=8)


def ulps(ours, theirs, floor):
    """The greatest distance in units in the last place, for values below the floor those of it."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    unit = np.spacing(np.maximum(np.abs(theirs), theirs.dtype.type(floor)))
    return (np.abs(ours - theirs) / unit).max(initial=0)


def same_bits(ours, theirs):
    """Equal in every bit, the sign of zero included."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return ours.tobytes() == theirs.tobytes()


def first_wrong(stream, theirs, script, agree):
    """The first draw of the script in which the stream is not theirs, or None."""
    for i, (kind, shape, dtype) in enumerate(script):
        ours = getattr(stream, kind)(shape, dtype)
        if not agree(kind, dtype, ours, theirs(kind, shape, dtype)):
            return i
    return None
