"""Weights: one file or shards, each tensor from the file that the index says, pickles refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from refdiff.checkpoints import clip
from refdiff.checkpoints.weight_files import open_weights
from refdiff.errors import CheckpointError, RefdiffError
from refdiff.safetensors import write

STEM = "model"


def ones(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full(i + 1, i, np.float32) for i, name in enumerate(names)}


def sharded(folder: Path, shards: dict[str, dict], weight_map: object) -> Path:
    for name, tensors in shards.items():
        write(folder / name, tensors)
    index = folder / f"{STEM}.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_weights(folder, STEM)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_the_plain_file_comes_before_the_half_precision_one(tmp_path):
    write(tmp_path / "model.fp16.safetensors", {"w": np.ones(2, np.float16)})
    assert open_weights(tmp_path, STEM)["w"].dtype == np.float16
    write(tmp_path / "model.safetensors", {"w": np.ones(2, np.float32)})
    assert open_weights(tmp_path, STEM)["w"].dtype == np.float32


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 3)))
def test_shards_are_one_mapping(tmp_path_factory, placement):
    placement = {k: v for k, v in placement.items() if k != "__metadata__"} | {"w": 0}
    tensors = {name: np.full(2, i, np.int32) for i, name in enumerate(placement)}
    names = {name: f"{STEM}-{shard}.safetensors" for name, shard in placement.items()}
    shards = {file: {n: tensors[n] for n in names if names[n] == file} for file in names.values()}
    weights = open_weights(sharded(tmp_path_factory.mktemp("shards"), shards, names), STEM)
    assert set(weights) == set(tensors) and len(weights) == len(tensors)
    assert all(np.array_equal(weights[name], tensors[name]) for name in tensors)
    assert "absent" not in weights or "absent" in tensors


def test_shards_of_the_library_and_both_spellings_of_their_index(tmp_path):
    options = {"vocab_size": 40, "hidden_size": 8, "intermediate_size": 9, "bos_token_id": 0}
    config = transformers.CLIPTextConfig(
        **options, num_attention_heads=2, eos_token_id=2, pad_token_id=1, num_hidden_layers=2
    )
    model = transformers.CLIPTextModel(config)
    model.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    state = {f"text_model.{name}": w.numpy() for name, w in model.state_dict().items()}
    for index in ("model.safetensors.index.json", "model.safetensors.index.fp16.json"):
        os.rename(next(tmp_path.glob("*.index*")), tmp_path / index)
        _, weights = clip.load(tmp_path)
        assert set(weights) == set(state)
        assert all(np.array_equal(weights[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        (None, "weight_map is None"),
        ({}, "weight_map is {}"),
        (["a.safetensors"], "weight_map is ['a.safetensors']"),
        ({"a": 1}, "tensor 'a' into 1"),
        ({"a": "../a.safetensors"}, "'../a.safetensors'; the name of a safetensors file"),
        ({"a": "/a.safetensors"}, "without a path"),
        ({"a": "sub/a.safetensors"}, "without a path"),
        ({"a": "..\\a.safetensors"}, "without a path"),
        ({"a": "C:a.safetensors"}, "without a path"),
        ({"a": "a\0.safetensors"}, "without a path"),
        ({"a": "a.bin"}, "'a.bin'"),
        ({"a": ".."}, "'..'"),
        ({"a": "x" * 300 + ".safetensors"}, "which is not there"),
        ({"a": "c.safetensors"}, "names 'c.safetensors', which is not there"),
        ({"a": "a.safetensors"}, "puts into None"),
        ({"a": "a.safetensors", "b": "a.safetensors", "x": "a.safetensors"}, "lacks tensor 'x'"),
        ({"a": "a.safetensors", "b": "b.safetensors"}, "puts into 'b.safetensors'"),
        (
            {"a": "a.safetensors", "b": "a.safetensors", "c": "b.safetensors"},
            "b.safetensors holds tensor 'b'",
        ),
    ],
)
def test_an_index_that_contradicts_its_files_is_refused(tmp_path, weight_map, words):
    shards = {"a.safetensors": ones("a", "b"), "b.safetensors": ones("b", "c")}
    assert words in refused(sharded(tmp_path, shards, weight_map))


def test_an_index_that_is_no_index(tmp_path):
    for text, words in {"[]": "JSON object", "{": "not JSON", '{"a":1,"a":2}': "twice"}.items():
        (tmp_path / "model.safetensors.index.json").write_text(text)
        assert words in refused(tmp_path)


def test_pickles_are_refused_with_the_way_out(tmp_path):
    for name in ("model.bin", "model.ckpt"):
        (tmp_path / name).write_bytes(b"")
        message = refused(tmp_path)
        assert name in message and "save_pretrained" in message
        (tmp_path / name).unlink()


def test_no_weights_at_all(tmp_path):
    assert "model.safetensors does not exist" in refused(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        open_weights(tmp_path / "missing", STEM)


def test_a_damaged_file_is_told_with_its_name(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 9)
    assert "model.safetensors" in refused(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").mkdir()
    assert "regular file" in refused(tmp_path)


def test_bfloat16_is_read_as_its_values(tmp_path):
    from safetensors.torch import save_file

    save_file(
        {"w": torch.tensor([1.0, -2.5], dtype=torch.bfloat16)}, tmp_path / "model.safetensors"
    )
    weights = open_weights(tmp_path, STEM)
    np.testing.assert_array_equal(weights["w"], np.float32([1, -2.5]))
    assert issubclass(CheckpointError, RefdiffError)
