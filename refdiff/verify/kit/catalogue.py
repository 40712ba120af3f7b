"""Every vector of the kit, in the order from small to large."""

from fnmatch import fnmatchcase

from refdiff.verify.kit.block_vectors import block_vectors
from refdiff.verify.kit.level_vectors import level_vectors
from refdiff.verify.kit.op_vectors import op_vectors
from refdiff.verify.kit.pipeline_vectors import pipeline_vectors
from refdiff.verify.kit.recipe_vectors import recipe_vectors
from refdiff.verify.kit.stream_vectors import stream_vectors
from refdiff.verify.kit.vector import Vectors

MAKERS = (
    stream_vectors,
    op_vectors,
    recipe_vectors,
    block_vectors,
    level_vectors,
    pipeline_vectors,
)


def vectors(only: str = "*") -> Vectors:
    """Those whose id matches the glob, in which * goes over slashes."""
    for maker in MAKERS:
        for vector in maker():
            if fnmatchcase(vector.id, only):
                yield vector
