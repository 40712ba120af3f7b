"""Records of diffusers' own pipelines: the names, shapes and values of refdiff's traces."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers

import refdiff
from refdiff.loading import shipped
from refdiff.trace import Trace
from tests.nn import oracle
from tests.verify.tiny import TEXT, UNET, VAE_KEYS

BOUND = 2e-4  # relative to the largest value of a tensor, two rows of float32 apart
OWN = ("plan.*", "tokens", "text_states", "latents", "z", "picture")
STEP = tuple(f"steps.*.{name}" for name in ("x_in", "out", "x_prev", "eps_*"))


def build(kind: str, folder: Path) -> diffusers.StableDiffusionPipeline:
    """Stable Diffusion 1's or 2's shape with random weights, the shipped tokenizer and schedule."""
    unet = UNET | {"block_out_channels": (16, 32), "layers_per_block": 2, "cross_attention_dim": 24}
    text = TEXT | {
        "vocab_size": 1250,
        "hidden_size": 24,
        "max_position_embeddings": 32,
        "eos_token_id": 1249,
        "bos_token_id": 1248,
    }
    unet |= {"sd1": {"attention_head_dim": 4}, "sd2": {"attention_head_dim": (2, 4)}}[kind]
    unet["use_linear_projection"] = kind == "sd2"
    text["hidden_act"] = {"sd1": "quick_gelu", "sd2": "gelu"}[kind]
    tokenizer = transformers.CLIPTokenizer.from_pretrained(shipped() / "tokenizer")
    scheduler = diffusers.DDIMScheduler.from_pretrained(
        shipped() / "scheduler",
        prediction_type={"sd1": "epsilon", "sd2": "v_prediction"}[kind],
    )
    pipe = diffusers.StableDiffusionPipeline(
        unet=oracle.build(oracle.UNet, unet, 1, torch.float32),
        vae=oracle.build(oracle.VAE, VAE_KEYS, 2, torch.float32),
        text_encoder=oracle.build(oracle.CLIP, text, 3, torch.float32),
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(folder)
    # transformers 5 writes tokenizer.json alone
    shutil.copytree(shipped() / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    return pipe


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def both(request: Any, tmp_path_factory: Any) -> Iterator[tuple[Any, refdiff.Pipeline]]:
    folder = tmp_path_factory.mktemp(request.param)
    yield build(request.param, folder), refdiff.load(folder)


def run(theirs: Any, size: tuple[int, int] = (24, 16)) -> None:
    theirs(
        "a red frog",
        negative_prompt="two dogs",
        num_inference_steps=3,
        guidance_scale=3.0,
        width=size[0],
        height=size[1],
        generator=torch.Generator().manual_seed(7),
    )


def mine(pipe: refdiff.Pipeline, **options: Any) -> Trace:
    with refdiff.trace(pipe, **options) as t:
        pipe("a red frog", negative="two dogs", steps=3, guidance=3.0, seed=7, size=(24, 16))
    return t


def gaps(ours: Trace, theirs: Trace) -> dict[str, float]:
    return {name: oracle.relative(ours[name], theirs[name]) for name in ours}


def test_every_name_of_ours_is_in_the_record(both: tuple[Any, refdiff.Pipeline]) -> None:
    theirs, ours = both
    with refdiff.record(theirs) as r:
        run(theirs)
    t = mine(ours, exclude=OWN + STEP)
    assert set(t) - set(r) == set()
    assert {n.split(".")[0] for n in t} == {"steps", "unet", "vae", "text_encoder"} - {"unet"}
    worst = gaps(t, r)
    assert max(worst.values()) <= BOUND, max(worst, key=worst.__getitem__)
    more = {name.split("@")[0].rpartition(".")[2] for name in set(r) - set(t)}
    assert more <= {"dropout", "1", "encoder", "text_encoder"}  # nothing of weight is missing
    run(theirs)
    assert len(r) == len(set(r)) and not any("steps.3" in name for name in r)


MISTAKES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a bias": (lambda p: p.unet.down_blocks[0].resnets[1].conv1.bias, "steps.0.unet.down_blocks.0"),
    "the text": (lambda p: p.text_encoder.get_parameter(_text(p)), "text_encoder.text_model.enc"),
    "the decoder": (lambda p: p.vae.decoder.mid_block.attentions[0].to_q.bias, "vae.decoder.mid"),
}


def _text(pipe: Any) -> str:
    named = dict(pipe.text_encoder.named_parameters())
    return next(name for name in named if name.endswith("layers.1.mlp.fc1.bias"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen_where_it_is(both: tuple[Any, refdiff.Pipeline], mistake: str) -> None:
    theirs, ours = both
    find, place = MISTAKES[mistake]
    weight = find(theirs)
    kept = weight.detach().clone()
    with torch.no_grad():
        weight += 0.5
    with refdiff.record(theirs) as r:
        run(theirs)
    with torch.no_grad():
        weight.copy_(kept)
    worst = gaps(mine(ours, exclude=OWN + STEP), r)
    first = next(name for name, gap in worst.items() if gap > BOUND)
    assert first.startswith(place)


def test_options_and_files(both: tuple[Any, refdiff.Pipeline], tmp_path: Path) -> None:
    theirs, ours = both
    options: dict[str, Any] = {"level": "block", "steps": "1:", "exclude": ["*.encoder"]}
    with refdiff.record(theirs, to=tmp_path / "r.safetensors", **options):
        run(theirs)
    read = Trace.load(tmp_path / "r.safetensors")
    t = mine(ours, **options)
    assert set(t) - set(read) == {n for n in t if n.startswith("plan.")} | {
        *("tokens", "text_states", "latents", "z", "picture"),
        *(f"steps.{i}.{n}" for i in (1, 2) for n in ("x_in", "out", "x_prev")),
        *(f"steps.{i}.eps_{n}" for i in (1, 2) for n in ("uncond", "text")),
    }
    assert (tmp_path / "r.json").exists()


def test_what_is_not_wanted_stays_on_its_device(
    both: tuple[Any, refdiff.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    real = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: (taken.append(1), real(t))[1])
    with refdiff.record(both[0].unet, include="conv_in") as r:
        both[0].unet(torch.zeros(1, 4, 8, 8), 3, torch.zeros(1, 5, 24))
    assert list(r) == ["conv_in"] and len(taken) == 1


def test_an_autoencoder_alone_is_heard_in_both_directions(
    both: tuple[Any, refdiff.Pipeline],
) -> None:
    """Its encode and decode are no `forward`; the encoder's result is the mean of the latents."""
    theirs, ours = both[0].vae, both[1].vae
    image = np.random.default_rng(0).normal(size=(1, 3, 16, 24)).astype(np.float32)
    z = np.random.default_rng(1).normal(size=(1, 4, 8, 12)).astype(np.float32)
    with refdiff.record(theirs) as r, torch.no_grad():
        theirs.encode(torch.tensor(image))
        theirs.decode(torch.tensor(z), return_dict=False)
    with refdiff.trace(ours) as t:
        ours.encode(image)
        ours.decode(z)
    assert set(t) - set(r) == set() and {"", "@2", "quant_conv"} <= set(t)
    assert max(gaps(t, r).values()) <= BOUND
    assert "encode" not in vars(theirs) and "decode" not in vars(theirs)


def test_records_can_be_nested_and_let_go(both: tuple[Any, refdiff.Pipeline]) -> None:
    vae = both[0].vae
    z = torch.zeros(1, 4, 2, 2)
    with refdiff.record(vae) as outer:
        with refdiff.record(vae) as inner, torch.no_grad():
            vae.decode(z)
        with torch.no_grad():
            vae.decode(z)
    assert set(outer) >= set(inner) and "@2" in outer and "@2" not in inner
    assert "decode" not in vars(vae)
