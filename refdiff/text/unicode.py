"""Unicode as CLIP's tokenizer sees it, whichever Unicode the running Python knows.

The ids of a prompt depend on three properties of its characters, which the `tokenizers` library
(0.23, behind transformers' CLIPTokenizer) takes from three databases of different age:

    canonical composition (NFC)   Unicode 9.0    crate unicode-normalization-alignments
    letter, number or neither     Unicode 16.0   Oniguruma
    lower case                    Unicode 17.0   Rust's standard library

Python's `unicodedata` is 14.0 in Python 3.11 and newer in every later one. What a character is does
not change once it is assigned, so only characters assigned in between need to be named here.
"""

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby


def _points(ranges: str) -> frozenset[int]:
    bounds = ([int(end, 16) for end in item.split("-")] for item in ranges.split())
    return frozenset(point for ends in bounds for point in range(ends[0], ends[-1] + 1))


_LETTERS_OF_15_AND_16 = _points(
    "1C89-1C8A A7CB-A7CD A7DA-A7DC 105C0-105F3 10D4A-10D65 10D6F-10D85 10EC2-10EC4 1123F-11240 "
    "11380-11389 1138B 1138E 11390-113B5 113B7 113D1 113D3 11BC0-11BE0 11F02 11F04-11F10 "
    "11F12-11F33 1342F 13441-13446 13460-143FA 16100-1611D 16D40-16D6C 18CFF 1B132 1B155 "
    "1DF25-1DF2A 1E030-1E06D 1E4D0-1E4EB 1E5D0-1E5ED 1E5F0 2B739 2EBF0-2EE5D 31350-323AF"
)
_NUMBERS_OF_15_AND_16 = _points(
    "10D40-10D49 116D0-116E3 11BF0-11BF9 11F50-11F59 16130-16139 16D70-16D79 1CCF0-1CCF9 "
    "1D2C0-1D2D3 1E4F0-1E4F9 1E5F1-1E5FA"
)
_LETTERS_AND_NUMBERS_AFTER_16 = _points(
    "558 58B-58C 88F C5C CDC 208F 209D-209F A7CE-A7CF A7D2 A7D4 A7DD A7E2 A7F1 AB6C-AB6D "
    "107BB-107BF 10940-10959 10EC5-10EC7 10ED9-10EEE 11B0A 11DB0-11DDB 11DE0-11DE9 11DF1 1246F "
    "12475-1247F 12550-12686 16EA0-16EB8 16EBB-16ED3 16FF2-16FF6 187F8-187FF 18CD6-18CDA "
    "18D09-18D20 18D80-18DF2 18E00-19191 191A0-191D2 1B123-1B128 1B168 1D6A6 1DF1F-1DF24 "
    "1DF2B-1DF81 1DF90-1DF96 1DFCD-1DFFF 1E6C0-1E6DE 1E6E0-1E6E2 1E6E4-1E6E5 1E6E7-1E6ED "
    "1E6F0-1E6F4 1E6FE-1E6FF 2B73A-2B73F 2B81E 2CEA2-2CEAD 323B0-33479 3D000-3FC3F"
)
_CAPITALS_AFTER_17 = _points("A7DD A7E2 AB6C-AB6D 1DF40-1DF7E")
# first capital, last capital, their lower case is so far away, every so manieth
_CAPITALS_OF_15_TO_17 = (
    (0x1C89, 0x1C89, 1, 1),
    (0xA7CB, 0xA7CB, 0x264 - 0xA7CB, 1),
    (0xA7CC, 0xA7DA, 1, 2),
    (0xA7DC, 0xA7DC, 0x19B - 0xA7DC, 1),
    (0x10D50, 0x10D65, 0x20, 1),
    (0x16EA0, 0x16EB8, 0x1B, 1),
)
# Combining marks, and the blocks with composites of their own: to Unicode 9.0 they do nothing.
_INERT_SINCE_9 = _points(
    "5C8-5C9 7FD 897-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1AF0 1DF6-1DFA A82C 105C0-105F3 "
    "10D24-10D27 10D69-10D6D 10EAB-10EAC 10ECB-10ECF 10EF0-10EFF 10F46-10F50 10F82-10F85 11070 "
    "1133B 11380-113E2 1145E 11839-1183A 11900-11959 119E0 11A34 11A47 11A99 11D42 11D44-11D45 "
    "11D97 11F41-11F42 16100-16139 16D40-16D79 16FF0-16FF1 1D127-1D128 1D250-1D252 1D25B-1D25F "
    "1D280-1D281 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF 1E6E3 1E6E6 "
    "1E6EE-1E6EF 1E6F5"
)
_INERT = re.compile(f"([{''.join(map(chr, sorted(_INERT_SINCE_9)))}]+)")


class _Table(dict[int, str]):
    """A table for `str.translate` that asks its rule once for each code point."""

    def __init__(self, rule: Callable[[int], str]) -> None:
        self.rule = rule

    def __missing__(self, point: int) -> str:
        self[point] = self.rule(point)
        return self[point]


def _kind(point: int) -> str:
    char = chr(point)
    if char.isascii():
        return char
    if point in _LETTERS_AND_NUMBERS_AFTER_16:
        return "!"
    category = unicodedata.category(char)[0]
    if category == "L" or point in _LETTERS_OF_15_AND_16:
        return "z"
    return "0" if category == "N" or point in _NUMBERS_OF_15_AND_16 else "!"


def _lower(point: int) -> str:
    for first, last, distance, stride in _CAPITALS_OF_15_TO_17:
        if point in range(first, last + 1, stride):
            return chr(point + distance)
    return chr(point) if point in _CAPITALS_AFTER_17 else chr(point).lower()


_KIND, _LOWER = _Table(_kind), _Table(_lower)


def kinds(text: str) -> str:
    """Replace every character beyond ASCII by z (a letter), 0 (a number) or ! (anything else).

    An ASCII pattern on the result then finds what a Unicode pattern would find in `text`, at the
    same places. Spaces beyond ASCII must be gone already.
    """
    return text.translate(_KIND)


def lower(text: str) -> str:
    """Lower case, one character at a time: a Σ at the end of a word becomes σ, not ς."""
    return text.translate(_LOWER)


def compose(text: str) -> str:
    """Canonical composition (normalization form C) by Unicode 9.0, in linear time."""
    if text.isascii():
        return text
    runs = _INERT.split(text)  # inert ones at the odd places
    runs[::2] = [unicodedata.normalize("NFC", _decompose(run)) for run in runs[::2]]
    return "".join(runs)


def _decompose(text: str) -> str:
    # CPython orders a run of combining marks by insertion, which is quadratic when it has to move
    # them. Marks that come to it sorted cost nothing.
    chars = "".join(unicodedata.normalize("NFD", char) for char in text)
    runs = groupby(chars, lambda char: unicodedata.combining(char) > 0)
    return "".join(
        "".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs
    )
