"""What a tokenizer folder says beside its vocabulary is read as transformers reads it."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from refdiff.errors import CheckpointError, ConfigError
from refdiff.text import Tokenizer

from .conftest import write_folder

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TEXTS = [
    *("hi!! a", "a <|ENDOFTEXT|> b", "a<|endoftext|>b", "x <|STARTOFTEXT|>!", "<|startoftext|>"),
    *("a <SKS> b", "a<sks>b <sks2>", "A a ! <sks", "of <|endof"),
]
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
LAST = 256 + 256 + 60 + 1  # id of the last token of the small vocabulary


def token(content, normalized, **more):
    flags = {"lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}
    return {"content": content, **flags, **more}


def spelled(content):
    return st.just(content) | st.booleans().map(lambda flag: token(content, flag))


roles = st.fixed_dictionaries(
    {},
    optional={
        "bos_token": spelled(BOS),
        "eos_token": spelled(EOS),
        "unk_token": spelled(EOS),
        "pad_token": st.sampled_from([EOS, "!", "a", "of</w>"]).flatmap(spelled),
    },
)
decoders = st.none() | st.tuples(st.booleans(), st.booleans(), st.booleans()).map(
    lambda flags: {
        "0": token("!", flags[0], special=True),
        str(LAST): token(EOS, flags[1], special=True),
        str(LAST + 1): token("<sks>", flags[2], special=False),
        str(LAST + 2): token("<sks2>", False, special=False, lstrip=True),
    }
)


def typed(value):
    return {"__type": "AddedToken", **value} if isinstance(value, dict) else value


def compare(folder, texts=TEXTS, length=16):
    ours, oracle = Tokenizer.from_folder(folder, length), CLIPTokenizer.from_pretrained(folder)
    how = {"padding": "max_length", "truncation": True, "max_length": length}
    for text in texts:
        assert ours(text) == oracle(text, **how).input_ids, text
    return ours, oracle


@settings(max_examples=70, deadline=None)
@given(config=roles, special=st.none() | roles, decoder=decoders, added=st.booleans())
def test_special_tokens(config, special, decoder, added):
    config = {key: typed(value) for key, value in config.items()}
    if decoder is not None:
        config["added_tokens_decoder"] = decoder
    files = {"tokenizer_config": config}
    if special is not None:
        files["special_tokens_map"] = special
    if added and decoder is None:
        files["added_tokens"] = {"<sks>": LAST + 1, "<sks2>": LAST + 2}
    with tempfile.TemporaryDirectory() as folder:
        compare(write_folder(Path(folder), 60, **files))


@pytest.mark.parametrize("pad", ["!", EOS])
def test_what_transformers_5_saves(tmp_path, pad):
    old = write_folder(
        tmp_path / "old",
        60,
        tokenizer_config={"pad_token": pad, "model_max_length": 77},
        added_tokens={"<sks>": LAST + 1, "<sks2>": LAST + 2},
    )
    CLIPTokenizer.from_pretrained(old).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new" / "vocab.json").exists()
    compare(tmp_path / "new")


@pytest.mark.parametrize(
    ("stated", "length"), [(77, 77), (32, 32), (10**30, 77), (1e30, 77), (None, 77), ("none", 77)]
)
def test_length(tmp_path, stated, length):
    config = {} if stated == "none" else {"model_max_length": stated}
    folder = write_folder(tmp_path, 60, tokenizer_config=config)
    assert Tokenizer.from_folder(folder).length == length == len(Tokenizer.from_folder(folder)(""))
    assert Tokenizer.from_folder(folder, length=5).length == 5


@pytest.mark.parametrize("stated", [1, -77, 0, "77", True, []])
def test_a_length_is_refused(tmp_path, stated):
    folder = write_folder(tmp_path, 60, tokenizer_config={"model_max_length": stated})
    with pytest.raises(CheckpointError, match="model_max_length is"):
        Tokenizer.from_folder(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"padding_side": "left"}, "padding_side is 'left'"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class is 'T5Tokenizer'"),
        ({"additional_special_tokens": ["<x>"]}, "additional_special_tokens is"),
        ({"add_bos_token": False}, "the setting add_bos_token .False. is unknown"),
        ({"bos_token": token(BOS, True, single_word=True)}, "sets single_word"),
    ],
)
def test_settings_are_refused(tmp_path, config, message):
    folder = write_folder(tmp_path, 60, tokenizer_config=config)
    with pytest.raises(ConfigError, match=message):
        Tokenizer.from_folder(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": []}, r"tokenizer_config.json holds \[\], and a JSON object"),
        ({"tokenizer_config": {"model_max_length": float("nan")}}, "has the number NaN"),
        ({"tokenizer_config": {"pad_token": 3}}, "3 is not a token"),
        ({"special_tokens_map": {"pad_token": {"content": ""}}}, "is not a token"),
        ({"special_tokens_map": {"pad_token": "<pad>"}}, "lacks the special token '<pad>'"),
        ({"tokenizer_config": {"added_tokens_decoder": []}}, "added_tokens_decoder holds"),
        ({"tokenizer_config": {"added_tokens_decoder": {"-1": {}}}}, "added_tokens_decoder holds"),
        ({"tokenizer_config": {"added_tokens_decoder": {"0": {}}}}, "is not a token"),
        ({"added_tokens": {"<x>": LAST + 5}}, f"'<x>' has the id {LAST + 5}"),
        ({"added_tokens": {"<x>": 3}}, "'<x>' has the id 3"),
        ({"added_tokens": {"<x>": "3"}}, "has no id from 0 up"),
        ({"tokenizer": {"model": {"vocab": {}, "merges": {}}}}, "no byte-pair model"),
        ({"tokenizer": {"model": {"vocab": [], "merges": []}}}, "holds a list"),
        ({"tokenizer": {"model": {"vocab": {"a": 0}, "merges": [["a"]]}}}, "merge 1: .'a'. is not"),
        ({"tokenizer": {"model": {"vocab": {"a": 0}, "merges": [3]}}}, "merge 1: 3 is not"),
    ],
)
def test_damage_is_named(tmp_path, files, message):
    folder = write_folder(tmp_path, 60, **files)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(folder)


def test_a_wrong_setting_would_be_caught(tmp_path):
    folder = write_folder(tmp_path, 60, special_tokens_map={"pad_token": "!"})
    ours, oracle = compare(folder)
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": EOS}))
    assert Tokenizer.from_folder(folder).encode("a!") != oracle("a!").input_ids[1:-1]
    assert ours.encode("a!") == oracle("a!").input_ids[1:-1]
