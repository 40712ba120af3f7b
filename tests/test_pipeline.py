"""The whole path against diffusers, on the shipped weights and on random small models."""

import json
import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import refdiff
from refdiff import pipeline
from refdiff.components import VAE, TextEncoder, UNet
from refdiff.diffusion.guidance import classifier_free
from refdiff.diffusion.loop import sample
from refdiff.errors import ConfigError, PromptError, ShapeError
from refdiff.loading import shipped
from tests.nn import oracle

PROMPTS = (
    "frogs on stilts",
    "a red apple on a blue background",
    "two cats",
    "a penguin wearing a top hat",
    "Ünïcode, 猫 and 🐸 in a very long prompt " + "of many words " * 20,
)
SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
}


@pytest.fixture(scope="module")
def pipe() -> refdiff.Pipeline:
    return refdiff.load()


def load_theirs() -> diffusers.StableDiffusionPipeline:
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(
        shipped(), dtype=torch.float32, safety_checker=None
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def theirs() -> diffusers.StableDiffusionPipeline:
    return load_theirs()


def gap(
    pipe: refdiff.Pipeline,
    theirs: diffusers.StableDiffusionPipeline,
    sampler: str,
    seed: int,
    prompt: str,
    guidance: float = 4.0,
) -> np.ndarray:
    """Levels between the two programs' pictures of one prompt and seed, of guidance 4 there.

    Engines take turns.
    """
    other = theirs(
        prompt,
        negative_prompt="a dog",
        num_inference_steps=25,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    options = {"negative": "a dog", "guidance": guidance, "seed": seed, "sampler": sampler}
    with refdiff.engine("fast" if seed % 2 else "reference"):
        mine = pipe(prompt, **options).images[0]
    return np.abs(np.asarray(mine, int) - np.asarray(other, int))


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_pictures_are_those_of_diffusers(
    pipe: refdiff.Pipeline, theirs: diffusers.StableDiffusionPipeline, sampler: str
) -> None:
    """At most one level in at most one of a thousand values, from the same seed, in float32."""
    config = json.loads((shipped() / "scheduler" / "scheduler_config.json").read_text())
    theirs.scheduler = SCHEDULERS[sampler].from_config(config)
    for seed, prompt in enumerate(PROMPTS, 7):
        levels = gap(pipe, theirs, sampler, seed, prompt)
        assert levels.max() <= 1 and (levels > 0).mean() <= 1e-3, prompt


def test_a_hundredth_of_guidance_is_noticed(
    pipe: refdiff.Pipeline, theirs: diffusers.StableDiffusionPipeline
) -> None:
    """The comparison can say no: guidance 4.01 leaves its bound."""
    theirs.scheduler = diffusers.DDIMScheduler.from_config(dict(pipe.scheduler))
    levels = gap(pipe, theirs, "ddim", 7, PROMPTS[0], guidance=4.01)
    assert (levels > 0).mean() > 1e-3


@pytest.mark.parametrize("sampler", ["ddpm", "euler_a"])
def test_drawn_noise_is_drawn_in_diffusers_order(
    pipe: refdiff.Pipeline, theirs: diffusers.StableDiffusionPipeline, sampler: str
) -> None:
    config = json.loads((shipped() / "scheduler" / "scheduler_config.json").read_text())
    cls = {"ddpm": diffusers.DDPMScheduler, "euler_a": diffusers.EulerAncestralDiscreteScheduler}
    theirs.scheduler = cls[sampler].from_config(config)
    options = {"height": 48, "width": 80, "num_inference_steps": 6, "guidance_scale": 3.0}
    generator = torch.Generator().manual_seed(3)
    other = theirs("a cat", num_images_per_prompt=2, generator=generator, **options).images
    mine = pipe("a cat", steps=6, guidance=3.0, seed=3, sampler=sampler, size=(80, 48), count=2)
    assert [i.size for i in mine.images] == [(80, 48)] * 2
    for a, b in zip(mine.images, other, strict=True):
        assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


@given(seed=oracle.SEEDS)
@settings(max_examples=40)
def test_denoising_loop_in_float64(seed: int) -> None:
    assert loop_gap(seed) <= 1e-9


def loop_gap(seed: int) -> float:
    """Ten guided steps of a random U-Net on random text states, against PyTorch in float64."""
    rng = oracle.RNG(seed)
    config, options = oracle.draw_unet(rng)
    options["out_channels"] = config.in_channels
    config = type(config)(**{**vars(config), "out_channels": config.in_channels})
    module = oracle.build(oracle.UNet, options, seed, torch.float64)
    module.time_proj = oracle.ExactTimes(module.time_proj)
    texts = rng.normal(size=(2, 3, config.context))
    side = 2 ** (len(config.channels) - 1)
    x = rng.normal(size=(1, config.in_channels, side, 2 * side))
    scheduler_config = {
        "_class_name": ["DDIMScheduler", "PNDMScheduler"][seed % 2],
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "set_alpha_to_one": False,
        "steps_offset": 1,
        **({"skip_prk_steps": True} if seed % 2 else {"clip_sample": False}),
    }
    unet = UNet(config, oracle.params(module).weights.source)
    sampler = refdiff.samplers.from_config(scheduler_config, dialect="paper")
    model = classifier_free(lambda x, t: unet(x, t, texts), 3.0)
    steps = list(sample(model, sampler, sampler.plan(10), x, lambda i: x))
    other = torch_loop(module, scheduler_config, torch.tensor(x), torch.tensor(texts))
    return oracle.relative(steps[-1].x_prev, other)


def torch_loop(
    module: torch.nn.Module, config: dict[str, object], x: torch.Tensor, texts: torch.Tensor
) -> torch.Tensor:
    scheduler = getattr(diffusers, str(config["_class_name"])).from_config(config)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    scheduler.set_timesteps(10)
    with torch.no_grad():
        for t in scheduler.timesteps:
            uncond, cond = module(torch.cat([x, x]), t, texts).sample.chunk(2)
            x = scheduler.step(uncond + 3.0 * (cond - uncond), t, x).prev_sample
    return x


def test_a_trace_names_every_tensor_on_the_way(pipe: refdiff.Pipeline, tmp_path: Path) -> None:
    with refdiff.trace(pipe) as t:
        result = pipe("a frog", steps=2, guidance=2.0, dtype=np.float64)
    order = list(t)
    assert order[0] == "tokens" and order[-1] == "picture"
    for name in (
        "text_encoder.text_model.encoder.layers.2.mlp.fc1",
        "latents",
        "steps.0.unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
        "steps.1.out",
        "vae.decoder.mid_block.attentions.0",
    ):
        assert name in t, name
    assert np.array_equal(t["steps.1.x_prev"], result.latents)
    assert t.notes["engine"] == "reference"
    t.save(tmp_path / "trace.safetensors")
    again = refdiff.Trace.load(tmp_path / "trace.safetensors")
    assert list(again) == order and again.notes == t.notes
    assert all(np.array_equal(again[name], t[name]) for name in t)
    pipe("a frog", steps=1)
    assert list(t) == order  # what is not inside is not recorded


def test_engines_agree_and_definitions_can_be_chosen(pipe: refdiff.Pipeline) -> None:
    made = {}
    for choice in "fast", "reference":
        with refdiff.engine(choice):
            made[choice] = pipe("a cat", steps=2, seed=1)
        assert made[choice].settings["engine"] == choice
    assert oracle.relative(made["fast"].latents, made["reference"].latents) <= 1e-4


def test_kernels_are_taken_where_a_first_picture_is_sooner_there_with_them(
    pipe: refdiff.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any batch and with any number of steps the same, and as the caller says where they do."""
    weights = pipe.unet.size
    assert weights == sum(x.size for x in pipe.unet.weights.source.values())
    assert pipe.engine_for().name == "reference" and pipe.engine_for((512, 512)).name == "fast"
    options = {"steps": 2, "size": (32, 16)}
    for least, chosen in (weights * 8 * 4, "fast"), (weights * 8 * 4 + 1, "reference"):
        monkeypatch.setattr(pipeline, "PAYS", least)
        alone, batch = (pipe("a cat", **options, count=count) for count in (1, 3))
        assert alone.settings["engine"] == batch.settings["engine"] == chosen
        assert alone.latents.tobytes() == batch.latents[:1].tobytes()
        with refdiff.engine("reference"):
            assert pipe("a cat", **options).settings["engine"] == "reference"
        with pytest.raises(ShapeError):
            pipe.engine_for((31, 16))


def test_nothing_is_compiled_for_a_small_picture(tmp_path: Path) -> None:
    """It is made where there is no Numba at all, from the command line, too."""
    code = (
        "import sys\n"
        "sys.modules['numba'] = sys.modules['llvmlite'] = None\n"
        "import refdiff.cli\n"
        "assert refdiff.load()('a frog', steps=1).settings['engine'] == 'reference'\n"
        "sys.exit(refdiff.cli.main(['generate', 'a frog', '--steps', '1']))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def apart(pipe: refdiff.Pipeline, prompt: str, steps: int) -> np.ndarray:
    """Levels between the pictures of both engines, value by value."""
    pictures = []
    for name in ("fast", "reference"):
        with refdiff.engine(name):
            made = pipe(prompt, steps=steps, guidance=4.0, seed=7)
        pictures.append(np.asarray(made.images[0], int))
    return np.abs(pictures[0] - pictures[1])


def test_engines_draw_the_same_picture(pipe: refdiff.Pipeline) -> None:
    """Within one level of 255 in 99.9 % of the values."""
    assert (apart(pipe, PROMPTS[0], steps=8) <= 1).mean() >= 0.999


def unet_errors(
    pipe: refdiff.Pipeline, theirs: diffusers.StableDiffusionPipeline, seed: int
) -> tuple[float, float]:
    """Root mean square errors of one call in float32, here and in PyTorch, from the float64."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(pipe.latent_shape(2, None), np.float32)
    t, states = int(rng.integers(1000)), pipe.encode(["", PROMPTS[seed % len(PROMPTS)]])
    right = pipe.unet(x.astype(np.float64), t, states)
    with refdiff.engine("fast"):
        ours = pipe.unet(x, t, states)
    with torch.no_grad():
        other = theirs.unet(torch.tensor(x), t, torch.tensor(states)).sample.numpy()
    return tuple(float(np.sqrt(np.mean(np.square(y - right)))) for y in (ours, other))


def test_the_networks_error_beside_that_of_torch(
    pipe: refdiff.Pipeline, theirs: diffusers.StableDiffusionPipeline
) -> None:
    """The fast engine's whole U-Net, Winograd and all: at most 4 times PyTorch's float32 error."""
    errors = np.array([unet_errors(pipe, theirs, seed) for seed in range(4)])
    ours, other = np.sqrt(np.square(errors).mean(0))
    assert ours <= 4 * other


def test_guidance_one_is_the_conditional_model(pipe: refdiff.Pipeline) -> None:
    one, near = (pipe("a cat", steps=3, guidance=g, dtype="float64") for g in (1, 1 + 1e-12))
    assert oracle.relative(one.latents, near.latents) <= 1e-9


def test_progress_is_told_each_step(pipe: refdiff.Pipeline) -> None:
    calls: list[tuple[int, int]] = []
    pipe("a cat", steps=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_latents_given_are_started_from(pipe: refdiff.Pipeline) -> None:
    noise = refdiff.noise.torch_cpu(5).normal((1, 4, 16, 16), np.float32)
    a, b = pipe("a cat", steps=2, seed=5), pipe("a cat", steps=2, seed=8, latents=noise)
    assert np.array_equal(a.latents, b.latents)


def test_a_component_alone(pipe: refdiff.Pipeline) -> None:
    kinds = {"unet": UNet, "vae": VAE, "text_encoder": TextEncoder, "tokenizer": refdiff.Tokenizer}
    for name, kind in kinds.items():
        assert isinstance(refdiff.load(shipped() / name), kind)
    sampler = refdiff.load(shipped() / "scheduler")
    assert list(sampler.plan(4).timesteps) == [751, 501, 251, 1]
    unet = refdiff.load(shipped() / "unet")
    x = np.zeros((1, 4, 8, 8), np.float32)
    with refdiff.trace(unet) as t:
        y = unet(x, 10, pipe.encode(["a frog"]))
    assert "down_blocks.0.resnets.0.conv1" in t and np.array_equal(t["conv_out"], y)
    assert repr(unet).startswith("UNet(")


def test_text_states_are_as_wide_as_the_weights(pipe: refdiff.Pipeline) -> None:
    """Ids have no precision of their own: half precision is widened, double is kept."""
    config, half = pipe.text_encoder.config, pipe.text_encoder.weights.source
    double = TextEncoder(config, {name: half[name].astype(np.float64) for name in half})
    ids = pipe.tokenizer("a frog")
    states = [encoder(ids).last_hidden_state for encoder in (pipe.text_encoder, double)]
    assert [s.dtype for s in states] == [np.float32, np.float64]
    assert np.array_equal(states[1], pipe.text_encoder(ids, np.float64).last_hidden_state)


def test_the_autoencoder_returns_what_it_was_given(pipe: refdiff.Pipeline) -> None:
    """A frog through encoder and decoder is still that frog: at least 20 dB."""
    picture = np.asarray(pipe("a frog", guidance=4.0).images[0], np.float32) / 127.5 - 1
    image = picture.transpose(2, 0, 1)[None]
    mean, logvar = pipe.vae.encode(image)
    assert mean.shape == logvar.shape == (1, 4, 16, 16)
    x = pipe.vae.scale(mean)
    again = pipe.vae.decode(pipe.vae.unscale(x))
    assert np.mean(np.square((again - image) / 2)) < 10 ** (-20 / 10)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"steps": 0}, ConfigError, "steps"),
        ({"steps": 1001}, ConfigError, "steps"),
        ({"steps": 2.5}, ConfigError, "steps"),
        ({"guidance": float("nan")}, ConfigError, "finite"),
        ({"guidance": float("inf")}, ConfigError, "finite"),
        ({"guidance_rescale": 1.5}, ConfigError, "0 to 1"),
        ({"count": 0}, ConfigError, "count"),
        ({"count": 10**9}, ConfigError, "count"),
        ({"size": (65, 64)}, ShapeError, "multiples of 4"),
        ({"size": (0, 64)}, ShapeError, "multiples of 4"),
        ({"size": (10**12, 10**12)}, ShapeError, "multiples of 4"),
        ({"sampler": "eueler"}, ConfigError, "eueler"),
        ({"dtype": "float16"}, ConfigError, "float16"),
        ({"seed": 2**70}, ConfigError, "seed"),
        ({"latents": np.zeros((1, 4, 8, 8))}, ShapeError, "latents"),
        ({"latents": np.full((1, 4, 16, 16), np.nan)}, ShapeError, "finite"),
        ({"negative": "x" * 10**6}, PromptError, "1000000"),
    ],
)
def test_bad_requests_are_refused_before_any_work(
    pipe: refdiff.Pipeline, options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        pipe("a frog", **options)


def test_prompts_that_cannot_be(pipe: refdiff.Pipeline) -> None:
    with pytest.raises(PromptError, match="shorten"):
        pipe("x" * 10**6)
    with pytest.raises(PromptError, match="surrogate"):
        pipe("\ud800")
    with pytest.raises(PromptError, match="string"):
        pipe(3)  # type: ignore[arg-type]


def test_mixed_checkpoints_are_refused(pipe: refdiff.Pipeline) -> None:
    parts = {k: getattr(pipe, k) for k in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    text = pipe.text_encoder
    narrow = type(text.config)(**{**vars(text.config), "width": 8})
    few = type(text.config)(**{**vars(text.config), "positions": 8})
    for config, words in ((narrow, "text states are 8 wide"), (few, "positions")):
        with pytest.raises(ConfigError, match=words):
            refdiff.Pipeline(**{**parts, "text_encoder": TextEncoder(config, {})})
