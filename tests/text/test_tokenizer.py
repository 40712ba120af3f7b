"""Ids are those of transformers' CLIPTokenizer, on any text."""

import dataclasses
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refdiff.text.unicode
import refdiff.text.words
from refdiff.errors import ConfigError, PromptError
from refdiff.text import Tokenizer
from refdiff.text.unicode import kinds

from .strategies import FRAGMENTS, prompts


def expected(oracle, text):
    return oracle(text, add_special_tokens=False).input_ids


def test_published_ids(clip):
    assert clip("a photo of a cat")[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]


@settings(max_examples=600, deadline=None)
@given(text=prompts)
def test_ids_with_the_vocabulary_of_clip(clip, oracle, text):
    assert clip.encode(text) == expected(oracle, text)


@settings(max_examples=300, deadline=None)
@given(text=prompts)
def test_ids_with_a_small_vocabulary(small, small_oracle, text):
    assert small.encode(text) == expected(small_oracle, text)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(prompts, max_size=3), length=st.integers(2, 90))
def test_rows_are_framed_cut_and_padded(clip, oracle, texts, length):
    tokenizer = dataclasses.replace(clip, length=length)
    assert tokenizer(texts) == [
        oracle(text, padding="max_length", truncation=True, max_length=length).input_ids
        for text in texts
    ]
    assert tokenizer(tuple(texts)) == [tokenizer(text) for text in texts]


def wrong_texts(tokenizer, oracle, texts):
    """Those of the texts that do not become the oracle's ids."""
    wrong = []
    for start in range(0, len(texts), 4096):
        chunk = texts[start : start + 4096]
        joined = " ".join(chunk)
        if tokenizer.encode(joined) != expected(oracle, joined):
            wrong += [text for text in chunk if tokenizer.encode(text) != expected(oracle, text)]
    return wrong


def between_letter_and_mark(char):
    """A letter joins the x, a number neither, a space is gone, and all else joins the !."""
    return f"x{char}!"


def test_every_code_point(small, small_oracle):
    texts = []
    for first in [*range(0, 0xD800, 256), *range(0xE000, 0x110000, 256)]:
        block = "".join(map(chr, range(first, first + 256)))
        one_kind = len({*kinds(block)}) == 1  # in a run, where a wrong one would break it
        texts += [f"x{block}"] if one_kind else map(between_letter_and_mark, block)
    assert wrong_texts(small, small_oracle, texts) == []


def test_marks_in_every_order(small, small_oracle):
    # x + U+0345 (class 240) + mark + U+0334 (class 1) shows whether a mark has a class at all
    points = [*range(0x300, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000)]
    texts = [f"x\u0345{chr(p)}\u0334{chr(p)}\u0301" for p in points]
    assert wrong_texts(small, small_oracle, texts) == []


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "".join(random.Random(0).choices("abcdefghij", k=200_000)),
        "lorem ipsum dolor " * 56_000,
        "é" * 100_000,
        "a" + "\u0301\u0323" * 100_000,
        " " * 1_000_000,
        "".join(random.Random(0).choices(FRAGMENTS, k=20_000)),
    ],
    ids=["one letter", "one word", "million", "bytes", "marks", "spaces", "fragments"],
)
def test_long_texts_in_linear_time(clip, oracle, text):
    assert clip.encode(text) == expected(oracle, text)


def test_a_million_letters_in_one_word(clip):
    ids = clip.encode("a" * 1_000_000)
    words = {id_: token for token, id_ in clip.vocab.items()}
    assert "".join(words[id_] for id_ in ids) == "a" * 1_000_000 + "</w>"


def test_empty(clip):
    assert clip.encode("") == []
    assert clip("") == [49406, *[49407] * 76]
    assert clip([]) == []


@pytest.mark.parametrize("text", ["frog \ud83d", "\udc38 frog", "\udfff"])
def test_half_a_surrogate_pair_is_refused(clip, text):
    place = next(i for i, char in enumerate(text) if "\ud800" <= char <= "\udfff")
    with pytest.raises(PromptError, match=rf"U\+{ord(text[place]):04X}, at character {place}"):
        clip(text)


def test_what_is_not_text_is_refused(clip):
    with pytest.raises(PromptError, match="must be a string, but got int"):
        clip(["frog", 3])


def test_a_row_needs_room_for_its_frame():
    with pytest.raises(ConfigError, match="length 1"):
        Tokenizer.clip(length=1)


def test_it_is_a_value(clip):
    with pytest.raises(dataclasses.FrozenInstanceError):
        clip.length = 3
    assert repr(clip) == "Tokenizer(49408 tokens, length 77)"


# The comparisons above can fail: each of these plants one fault and must be caught.


def test_a_wrong_merge_is_caught(clip, oracle):
    cat = clip.vocab["cat</w>"]
    wrong = dataclasses.replace(
        clip, merges={pair: found for pair, found in clip.merges.items() if found[1] != cat}
    )
    assert wrong.encode("cat") != expected(oracle, "cat")
    assert wrong_texts(wrong, oracle, ["dog", "cat", "frog"]) == ["cat"]


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        ("|[0-9]|", "|[0-9]+|", "42"),
        ("'re|", "", "you're"),
        (r"(<\|)(startoftext|endoftext)(\|>)", "(#)(#)(#)", "<|STARTOFTEXT|>!!"),
    ],
)
def test_a_wrong_word_is_caught(monkeypatch, clip, oracle, good, bad, text):
    pattern = refdiff.text.words._WORD.pattern
    assert good in pattern
    monkeypatch.setattr(
        refdiff.text.words, "_WORD", re.compile(pattern.replace(good, bad), re.ASCII)
    )
    assert clip.encode(text) != expected(oracle, text)


@pytest.mark.parametrize(
    ("point", "kind"), [("猫", "!"), ("½", "z"), ("€", "0"), ("\U000323af", "!")]
)
def test_a_wrong_kind_is_caught_and_named(monkeypatch, small, small_oracle, point, kind):
    monkeypatch.setitem(refdiff.text.unicode._KIND, ord(point), kind)
    around = map(chr, range(ord(point) - 9, ord(point) + 9))
    texts = [between_letter_and_mark(char) for char in around]
    assert wrong_texts(small, small_oracle, texts) == [f"x{point}!"]


def test_a_mark_too_many_is_caught(monkeypatch, small, small_oracle):
    monkeypatch.setattr(refdiff.text.unicode, "_INERT", re.compile("((?!))"))
    texts = [f"x\u0345{point}\u0334" for point in "\u0300\u07fd\u0344"]
    assert wrong_texts(small, small_oracle, texts) == ["x\u0345\u07fd\u0334"]
