"""What guilty tensors look like, for pictures of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from refdiff.op import Array
from refdiff.verify.formats import Profile
from refdiff.verify.judging import Finding
from refdiff.verify.report import Compared, Diagnosed, Evidence
from refdiff.verify.verdict import State

Named = Mapping[str, Array]
MOST = 4  # tensors, where none was diagnosed


def evidence(
    reference: Named,
    values: Named,
    tensors: Sequence[Compared],
    findings: Mapping[str, Finding],
    diagnosed: Collection[Diagnosed],
    profile: Profile,
) -> Iterator[Evidence]:
    """Of what was diagnosed, or else of the first guilty ones.

    Where no layer was run, the honest values are the exact ones in the storage format.
    """
    guilty = [t for t in tensors if t.state >= State.UNEXPLAINED]
    named = {d.name for d in diagnosed} or {t.name for t in guilty[:MOST]}
    for t in [t for t in guilty if t.name in named]:
        scene = findings[t.name].scene if t.name in findings else None
        if scene is not None:
            yield Evidence(t.name, scene.exact, scene.given, scene.honest())
        elif t.local is None:
            exact, given = (side[t.name].astype(np.float64) for side in (reference, values))
            yield Evidence(t.name, exact, given, profile.storage.nearest(exact))
