"""Byte-pair encoding: the best known pair of neighbours becomes one, until no pair is known.

Sources: Sennrich, Haddow, Birch 2016 (arXiv:1508.07909); over bytes: Radford et al. 2019 (GPT-2).
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

END_OF_WORD = "</w>"

Merges = Mapping[tuple[int, int], tuple[int, int]]
"""Left and right id of a pair -> (rank, id of the two as one); the lower the rank, the earlier."""

_VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]

SYMBOLS = {
    **{byte: chr(byte) for byte in _VISIBLE},
    **{byte: chr(256 + i) for i, byte in enumerate(_HIDDEN)},
}
"""The printable character that stands for each byte, in the order of CLIP's vocabulary."""


def spell(word: str) -> list[str]:
    """The symbols of a word's UTF-8 bytes, the last one marked: cat -> c, a, t</w>.

    `word` has at least one character.
    """
    symbols = [SYMBOLS[byte] for byte in word.encode()]
    symbols[-1] += END_OF_WORD
    return symbols


def merge(ids: Sequence[int], merges: Merges) -> list[int]:
    """Merge neighbours, lowest rank first and of equals the leftmost, as long as a pair is known.

    A word of n symbols takes n log n: the symbols form a linked list, the known pairs a heap.
    """
    ids, end = list(ids), len(ids)
    before, after = list(range(-1, end - 1)), list(range(1, end + 1))
    known = (merges.get(pair) for pair in pairwise(ids))
    heap = [found[0] * end + at for at, found in enumerate(known) if found]  # by rank, then place
    heapify(heap)
    gone = bytearray(end)
    while heap:
        rank, at = divmod(heappop(heap), end)
        right = after[at]
        found = None if gone[at] or right == end else merges.get((ids[at], ids[right]))
        if not found or found[0] != rank:
            continue  # one of the two has merged with its other neighbour
        ids[at], gone[right], after[at] = found[1], True, after[right]
        if after[at] < end:
            before[after[at]] = at
        for left in (before[at], at):
            right = after[left]
            if left >= 0 and right < end and (found := merges.get((ids[left], ids[right]))):
                heappush(heap, found[0] * end + left)
    return [symbol for symbol, dropped in zip(ids, gone, strict=True) if not dropped]
