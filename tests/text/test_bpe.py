"""The merges of a word, against the plainest way to say them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from refdiff.text.bpe import SYMBOLS, merge, spell

symbols = st.integers(0, 4)
tables = st.dictionaries(st.tuples(symbols, symbols), st.integers(0, 9), max_size=12).map(
    lambda known: {pair: (rank, new) for rank, (pair, new) in enumerate(known.items())}
)


def merge_by_rescanning(ids, merges):
    ids = list(ids)
    while found := [(merges[pair], at) for at, pair in enumerate(pairwise(ids)) if pair in merges]:
        (_, new), at = min(found, key=lambda one: (one[0][0], one[1]))
        ids[at : at + 2] = [new]
    return ids


@given(ids=st.lists(symbols, min_size=1, max_size=60), merges=tables)
def test_merge_is_lowest_rank_then_leftmost(ids, merges):
    # `merges` may be of any kind: pairs of what is itself merged, results that are symbols
    assert merge(ids, merges) == merge_by_rescanning(ids, merges)


def test_of_equals_the_leftmost():
    assert merge([1, 1, 1], {(1, 1): (0, 2)}) == [2, 1]
    assert merge([1, 1, 1, 1], {(1, 1): (0, 2), (2, 2): (1, 3)}) == [3]


def test_merge_leaves_its_input_alone():
    ids = [1, 1]
    merge(ids, {(1, 1): (0, 2)})
    assert ids == [1, 1]


def test_symbols_are_one_character_per_byte():
    assert len(SYMBOLS) == len(set(SYMBOLS.values())) == 256
    assert all(symbol.isprintable() and not symbol.isspace() for symbol in SYMBOLS.values())


def test_spell():
    assert spell("cat") == ["c", "a", "t</w>"]
    assert spell("é") == ["Ã", "©</w>"]
