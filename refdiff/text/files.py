"""Vocabulary and merges from their files, which are hostile until checked."""

import gzip
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from refdiff import files

from ..errors import CheckpointError
from .bpe import END_OF_WORD, SYMBOLS

CLIP_FILE = Path(__file__).parent / "clip" / "bpe_simple_vocab_16e6.txt.gz"
CLIP_MERGES = slice(1, 48_895)  # of its lines; the first is a heading, the rest CLIP leaves out
BOS, EOS = "<|startoftext|>", "<|endoftext|>"

Vocabulary = dict[str, int]
MergeTable = dict[tuple[int, int], tuple[int, int]]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError if the file does not hold one."""
    return files.read_json(path, CheckpointError, files.LARGEST_VOCABULARY)


def read_vocab_and_merges(folder: Path) -> tuple[Vocabulary, MergeTable]:
    """From tokenizer.json, which transformers 5 writes, or else vocab.json and merges.txt."""
    path = folder / "tokenizer.json"
    if not path.exists():
        vocab = read_vocab(folder / "vocab.json")
        return vocab, read_merges(folder / "merges.txt", vocab)
    model = read_json(path).get("model")
    if not isinstance(model, dict) or not isinstance(model.get("merges"), list):
        raise CheckpointError(
            f"{path} holds no byte-pair model with a list of merges; fetch the file again"
        )
    vocab = _checked_vocab(model.get("vocab"), path)
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return vocab, _merge_table(
        ((f"{path}, merge {n}", pair) for n, pair in enumerate(pairs, 1)), vocab
    )


def read_vocab(path: Path) -> Vocabulary:
    """Token to id. Raises CheckpointError unless every id is an int, not negative, used once."""
    return _checked_vocab(read_json(path), path)


def read_merges(path: Path, vocab: Vocabulary) -> MergeTable:
    """Pair of ids to rank and merged id, from a file with a pair a line.

    Lines that begin with #version are headings. Raises CheckpointError, with the line, for one
    that is not two tokens and one space, or whose tokens or result `vocab` lacks.
    """
    lines = enumerate(_lines(_read_text(path)), 1)
    return _merge_table(
        (
            (f"{path}, line {n}", line.split(" "))
            for n, line in lines
            if not line.startswith("#version")
        ),
        vocab,
    )


@cache
def clip_vocabulary() -> tuple[Vocabulary, MergeTable]:
    """The vocabulary that OpenAI published with CLIP, and its merges.

    256 bytes, 256 bytes that end a word, 48,894 merges, 2 special tokens, numbered in this order.
    Source: github.com/openai/CLIP, clip/bpe_simple_vocab_16e6.txt.gz.
    """
    lines = _lines(gzip.decompress(CLIP_FILE.read_bytes()).decode())[CLIP_MERGES]
    symbols = list(SYMBOLS.values())
    tokens = [
        *symbols,
        *(symbol + END_OF_WORD for symbol in symbols),
        *(line.replace(" ", "") for line in lines),
        BOS,
        EOS,
    ]
    vocab = {token: id_ for id_, token in enumerate(tokens)}
    return vocab, _merge_table(((str(CLIP_FILE), line.split(" ")) for line in lines), vocab)


def _read_text(path: Path) -> str:
    try:
        return files.read_bytes(path, CheckpointError, files.LARGEST_VOCABULARY).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path} is not UTF-8 (byte {error.start}); fetch the tokenizer's files again"
        ) from None


def _lines(text: str) -> list[str]:
    # Not splitlines: it also ends lines at characters that may stand inside a token.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _checked_vocab(vocab: Any, path: Path) -> Vocabulary:
    if not isinstance(vocab, dict):
        raise CheckpointError(
            f"{path} holds a {type(vocab).__name__} where an object of token to id was expected; "
            "fetch the file again"
        )
    owners: dict[int, str] = {}
    for token, id_ in vocab.items():
        if type(id_) is not int or id_ < 0:
            raise CheckpointError(
                f"{path}: token {token!r:.80} has the id {id_!r:.80}, but an id is an integer from "
                "0 up; fetch the file again"
            )
        if owners.setdefault(id_, token) != token:
            raise CheckpointError(
                f"{path}: tokens {owners[id_]!r:.80} and {token!r:.80} share the id {id_}, but "
                "every token needs its own; fetch the file again"
            )
    return vocab


def _merge_table(pairs: Iterable[tuple[str, Any]], vocab: Vocabulary) -> MergeTable:
    """`pairs` holds, in order of rank, where a pair stands and the pair."""
    merges: MergeTable = {}
    for rank, (where, pair) in enumerate(pairs):
        match pair:
            case [str(left), str(right)] if left and right:
                merged = left + right
            case _:
                raise CheckpointError(
                    f"{where}: {pair!r:.80} is not two tokens with one space between; fetch the "
                    "file again"
                )
        for token in (left, right, merged):
            if token not in vocab:
                raise CheckpointError(
                    f"{where}: {left!r:.80} and {right!r:.80} need the token {token!r:.80}, which "
                    "the vocabulary lacks; fetch all files of one tokenizer"
                )
        merges[vocab[left], vocab[right]] = rank, vocab[merged]
    return merges
