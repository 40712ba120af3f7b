"""Stage `vocabulary`: a byte-level BPE vocabulary in CLIP's two files, learnt from the captions."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from .clock import log
from .models import TOKENS

START, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
CAP = 300  # a word counts at most so often, so that merges reach the rare words too


def byte_symbols() -> list[str]:
    """CLIP's printable letter for each byte: itself where printable, else one from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """The word with each occurrence of the pair, left to right, joined."""
    out: list[str] = []
    i = 0
    while i < len(word):
        joined = word[i : i + 2] == pair
        out.append("".join(pair) if joined else word[i])
        i += 2 if joined else 1
    return tuple(out)


def learn_merges(counts: Counter[str]) -> list[tuple[str, str]]:
    """Join the most frequent neighbours until every (ASCII) word is one token."""
    words = {word: (*word[:-1], word[-1] + "</w>") for word in counts}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += min(counts[word], CAP)
        if not pairs:
            return merges
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        words = {word: merge(pieces, merges[-1]) for word, pieces in words.items()}


def write_tokenizer(folder: Path, merges: list[tuple[str, str]]) -> None:
    symbols = byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *map("".join, merges), START, END]
    assert len(set(tokens)) == len(tokens)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "do_lower_case": True,
        "add_prefix_space": False,
        **SPECIAL,
        "errors": "replace",
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL, indent=2))


def make_vocabulary(work: Path, start: Path | None) -> None:
    """Writes tokenizer/ (learnt, or copied from `start`) and ids.npy i16[N,wordings,TOKENS]."""
    captions: list[list[str]] = json.loads((work / "captions.json").read_text())
    texts = [text for wordings in captions for text in wordings]
    words = Counter(w for text in texts for w in re.findall(r"[a-z]+|[^\sa-z]", text.lower()))
    if start:
        shutil.copytree(start, work / "tokenizer", dirs_exist_ok=True)
    else:
        write_tokenizer(work / "tokenizer", learn_merges(words))
    tokenizer = load_tokenizer(work / "tokenizer")
    split = sorted(word for word in words if len(tokenizer(word).input_ids) > 3)
    ids = encode(tokenizer, texts).reshape(len(captions), -1, TOKENS)
    np.save(work / "ids.npy", ids)
    log(f"{len(tokenizer)} tokens, {len(words)} words, of more than one token: {split}")


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """i16[N,TOKENS], padded and cut to TOKENS."""
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=TOKENS).input_ids
    return np.array(ids, dtype=np.int16)
