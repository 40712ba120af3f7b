"""The order of computation as the last word between tensors that their values cannot tell apart."""

from bisect import bisect
from collections import Counter
from collections.abc import Mapping

from refdiff.op import Array
from refdiff.verify.content import Found
from refdiff.verify.layouts import choose

ENOUGH = 8  # sure pairs in the same order on both sides, which no accident brings about


def by_order(
    reference: Mapping[str, Array],
    candidate: Mapping[str, Array],
    found: Found,
    named: Mapping[str, str],
) -> Found:
    """Doubts settled by the neighbours: the one contender between the partners of the sure ones."""
    ours = {name: i for i, name in enumerate(reference)}
    theirs = {name: j for j, name in enumerate(candidate)}
    known = {**named} | {name: other for name, (other, _) in found.pairs.items()}
    sure = sorted((ours[name], theirs[other]) for name, other in known.items())
    ends = [j for _, j in sure]
    if len(sure) < ENOUGH or ends != sorted(ends):
        return found
    places = [i for i, _ in sure]
    bounds = [-1, *ends, len(theirs)]
    windows: dict[str, tuple[str, ...]] = {}
    for name, contenders in found.unsure.items():
        at = bisect(places, ours[name])
        low, high = bounds[at], bounds[at + 1]
        windows[name] = tuple(c for c in contenders if low < theirs[c] < high)
    claimed = Counter(c for contenders in windows.values() for c in contenders)
    pairs, unsure = dict(found.pairs), dict(found.unsure)
    for name, contenders in windows.items():
        if len(contenders) == 1 and claimed[contenders[0]] == 1:
            layout = choose(reference[name], candidate[contenders[0]])
            if layout is not None:
                pairs[name] = contenders[0], layout
                del unsure[name]
    return Found(pairs, unsure)
