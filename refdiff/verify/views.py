"""Dumps seen otherwise: some of their names, or by other names in another layout."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from refdiff.op import Array
from refdiff.verify.matching import Pair, shapes_of
from refdiff.verify.precision import NARROW_FIRST, effective

Named = Mapping[str, Array]


@dataclass(frozen=True)
class Subset(Mapping[str, Array]):
    """Some names of a dump."""

    dump: Named
    names: Collection[str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every shape by name."""
        known = shapes_of(self.dump)
        return {name: known[name] for name in self.names}

    def __getitem__(self, name: str) -> Array:
        return self.dump[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Arranged(Mapping[str, Array]):
    """The candidate's values by the reference's names, in its layout; read when asked for."""

    def __init__(self, candidate: Named, pairs: Mapping[str, Pair | str]) -> None:
        self.candidate, self.pairs = candidate, pairs

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every shape by name."""
        known = shapes_of(self.candidate)
        return {
            name: known[pair] if isinstance(pair, str) else pair.layout.shape
            for name, pair in self.pairs.items()
        }

    def __getitem__(self, name: str) -> Array:
        pair = self.pairs[name]
        if isinstance(pair, str):
            return self.candidate[pair]
        return pair.arrange(self.candidate[pair.candidate])

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def storage_of(values: Named) -> str:
    """The widest format that many of the tensors need: a few are narrow by their nature."""
    found = [f for f in map(effective, values.values()) if f in NARROW_FIRST]
    found = ["float32" if f == "tf32" else f for f in found]
    if not found:
        return "float32"
    return max(set(found), key=lambda f: (found.count(f) >= len(found) / 10, NARROW_FIRST.index(f)))
