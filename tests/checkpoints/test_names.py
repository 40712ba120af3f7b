"""Old and new spellings of the same weights load to the same arrays."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import safetensors
from refdiff.checkpoints import clip, unet_unconditional, vae
from refdiff.checkpoints.names import ATTENTION
from refdiff.errors import CheckpointError
from tests.nn import oracle

WEIGHTS = Path(__file__).parents[2] / "weights/emoji"
OLD = {new: old for old, new in ATTENTION.items()}


def copied(folder: Path, part: str, change) -> Path:
    """A copy of a shipped component whose tensors went through `change`."""
    shutil.copy(WEIGHTS / part / "config.json", folder)
    (source,) = (WEIGHTS / part).glob("*.safetensors")
    safetensors.write(folder / source.name, change(dict(safetensors.read(source))))
    return folder


def as_old(tensors: dict[str, np.ndarray], convolutions: bool) -> dict[str, np.ndarray]:
    """Names of before diffusers 0.15, with or without 1x1 convolutions."""
    result = {}
    for name, array in tensors.items():
        for new, old in OLD.items():
            for kind in ("weight", "bias"):
                if ".attentions." in name and name.endswith(f".{new}.{kind}"):
                    name = name.removesuffix(f"{new}.{kind}") + f"{old}.{kind}"
                    array = array[:, :, None, None] if convolutions and kind == "weight" else array
        result[name] = array
    return result


def same(a, b) -> bool:
    return set(a) == set(b) and all(
        a[n].shape == b[n].shape and np.array_equal(a[n], b[n]) for n in a
    )


@pytest.mark.parametrize("convolutions", [False, True])
def test_the_old_names_of_the_autoencoder(tmp_path, convolutions):
    old = copied(tmp_path, "vae", lambda t: as_old(t, convolutions))
    names = set(safetensors.read(old / "diffusion_pytorch_model.safetensors"))
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in names
    assert not any("to_q" in name for name in names)
    assert same(vae.load(old)[1], vae.load(WEIGHTS / "vae")[1])


def test_new_names_with_convolutions(tmp_path):
    def bend(tensors):
        return {
            n: a[:, :, None, None] if n.endswith("to_q.weight") else a for n, a in tensors.items()
        }

    assert same(vae.load(copied(tmp_path, "vae", bend))[1], vae.load(WEIGHTS / "vae")[1])


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_old_names_mean_what_diffusers_reads_in_them(tmp_path_factory, seed):
    _, options = oracle.draw_unconditional(np.random.default_rng(seed))
    folder = tmp_path_factory.mktemp("unet")
    diffusers.UNet2DModel(**options).save_pretrained(folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    safetensors.write(file, as_old(dict(safetensors.read(file)), False), {"format": "pt"})
    theirs = diffusers.UNet2DModel.from_pretrained(folder).state_dict()
    assert same(unet_unconditional.load(folder)[1], {n: w.numpy() for n, w in theirs.items()})


def test_both_names_at_once_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"to_v\.bias' under an old and a new name"):
        vae.load(
            copied(
                tmp_path,
                "vae",
                lambda t: t | {"encoder.mid_block.attentions.0.value.bias": np.zeros(64)},
            )
        )


def test_only_attention_is_renamed(tmp_path):
    with pytest.raises(CheckpointError, match=r"unknown to the model: 'encoder\.value\.bias"):
        vae.load(copied(tmp_path, "vae", lambda t: t | {"encoder.value.bias": np.zeros(64)}))


def test_the_text_encoder_with_and_without_prefix_and_buffer(tmp_path):
    published = clip.load(WEIGHTS / "text_encoder")[1]
    places = np.arange(32)[None]
    for i, change in enumerate(
        (
            lambda t: {n.removeprefix("text_model."): a for n, a in t.items()},
            lambda t: t | {"text_model.embeddings.position_ids": places},
            lambda t: (
                {n.removeprefix("text_model."): a for n, a in t.items()}
                | {"embeddings.position_ids": places}
            ),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert same(clip.load(copied(folder, "text_encoder", change))[1], published)


def test_a_projection_is_not_silently_dropped(tmp_path):
    extra = {"text_projection.weight": np.zeros((128, 128))}
    with pytest.raises(CheckpointError, match=r"unknown to the model: 'text_projection\.weight"):
        clip.load(copied(tmp_path, "text_encoder", lambda t: t | extra))


def test_the_config_of_another_model_is_caught(tmp_path):
    copied(tmp_path, "vae", dict)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"layers_per_block": 2}))
    with pytest.raises(CheckpointError, match="Take both from the same checkpoint"):
        vae.load(tmp_path)


def test_the_oracle_of_this_file_changes_names():
    tensors = {"x.attentions.3.to_out.0.weight": torch.zeros(2, 2).numpy()}
    assert as_old(tensors, True)["x.attentions.3.proj_attn.weight"].shape == (2, 2, 1, 1)
