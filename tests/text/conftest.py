"""The oracle, transformers' CLIPTokenizer, over CLIP's own vocabulary and over a small one."""

import gzip
import json
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from refdiff.text import Tokenizer

ROOT = Path(__file__).parents[2]
MERGES = ROOT / "refdiff" / "text" / "clip" / "bpe_simple_vocab_16e6.txt.gz"
SMALL = ROOT / "weights" / "emoji" / "tokenizer"


def write_folder(folder, merges=None, **files):
    """A tokenizer folder with CLIP's first `merges` merges, all if None, and further JSON files."""
    lines = gzip.decompress(MERGES.read_bytes()).decode().split("\n")[1:48_895][:merges]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*symbols, *(s + "</w>" for s in symbols), *(line.replace(" ", "") for line in lines)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", "utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("text") / "clip")


@pytest.fixture(scope="session")
def clip():
    return Tokenizer.clip()


@pytest.fixture(scope="session")
def oracle(clip_folder):
    return CLIPTokenizer.from_pretrained(clip_folder)


@pytest.fixture(scope="session")
def small():
    return Tokenizer.from_folder(SMALL)


@pytest.fixture(scope="session")
def small_oracle():
    return CLIPTokenizer.from_pretrained(SMALL)
