"""Vocabulary and merges are hostile until checked, and what is wrong is named with its place."""

import json

import pytest

from refdiff.errors import CheckpointError
from refdiff.text import Tokenizer

SPECIALS = ["<|startoftext|>", "<|endoftext|>"]
TOKENS = ["a", "b", "a</w>", "b</w>", "ab", "ab</w>", *SPECIALS]
VOCAB = {token: id_ for id_, token in enumerate(TOKENS)}
MERGES = "#version: 0.2\na b\na b</w>\n"


@pytest.fixture
def load(tmp_path):
    def load(vocab=VOCAB, merges=MERGES, **options):
        files = tmp_path / "vocab.json", tmp_path / "merges.txt"
        for path, content in zip(files, (vocab, merges), strict=True):
            if isinstance(content, dict):
                content = json.dumps(content)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Tokenizer.from_files(*files, **options)

    return load


def test_good_files(load):
    assert load().encode("ab aab") == [5, 0, 5]
    assert load(length=6)("ab") == [6, 5, 7, 7, 7, 7]
    assert load(length=4, pad="b</w>")("ab") == [6, 5, 7, 3]


def test_a_byte_that_the_vocabulary_lacks_is_unknown(load):
    assert load().encode("abc ca") == [4, 7, 7, 2]


@pytest.mark.parametrize("merges", ["a b\r\na b</w>\r\n", "a b\n#version\na b</w>", MERGES])
def test_ends_of_line_and_headings(load, merges):
    assert load(merges=merges).encode("ab") == [5]


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ("{", "vocab.json is not JSON"),
        ("[" * 100_000, "vocab.json is nested deeper"),
        ("", "vocab.json is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "vocab.json has the number .* beyond float64"),
        (b"\xff\xfe{}", "vocab.json is not UTF-8 at byte 0"),
        ("[]", r"holds \[\], and a JSON object is expected"),
        ({**VOCAB, "a": "0"}, "token 'a' has the id '0'"),
        ({**VOCAB, "a": 0.0}, "token 'a' has the id 0.0"),
        ({**VOCAB, "a": True}, "token 'a' has the id True"),
        ({**VOCAB, "a": -1}, "token 'a' has the id -1"),
        ({**VOCAB, "b": 0}, "tokens 'a' and 'b' share the id 0"),
        ({token: id_ for token, id_ in VOCAB.items() if token != SPECIALS[0]}, "startoftext"),
        ({token: id_ for token, id_ in VOCAB.items() if token != SPECIALS[1]}, "endoftext"),
    ],
)
def test_a_vocabulary_is_refused(load, vocab, message):
    with pytest.raises(CheckpointError, match=message):
        load(vocab=vocab)


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ("#version: 0.2\na b\na\n", "merges.txt, line 3: .'a'. is not two tokens"),
        ("a b\n\na b</w>\n", "merges.txt, line 2: .''. is not two tokens"),
        ("a  b\n", "merges.txt, line 1: .'a', '', 'b'. is not two tokens"),
        (" a b\n", "line 1"),
        ("a b \n", "line 1"),
        ("a b c\n", "line 1"),
        ("a b\nc a\n", "line 2: 'c' and 'a' need the token 'c'"),
        ("a b\nb a\n", "line 2: 'b' and 'a' need the token 'ba'"),
        (b"a b\n\xff\n", "merges.txt is not UTF-8 .byte 4"),
        ("a" * 10**6, "line 1: .{80,100} is not two tokens"),
    ],
)
def test_merges_are_refused(load, merges, message):
    with pytest.raises(CheckpointError, match=message):
        load(merges=merges)


@pytest.mark.parametrize("missing", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_named(load, tmp_path, missing):
    load()
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_padding_that_the_vocabulary_lacks(load):
    with pytest.raises(CheckpointError, match="lacks the special token '!'"):
        load(pad="!")
