"""From prompt to picture: the whole path (Rombach et al. 2022, arXiv 2112.10752).

tokens -> text states -> noise -> guided denoising -> latents -> picture
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from refdiff.checks import check_fit, check_latents, check_numbers, check_prompts
from refdiff.components import VAE, TextEncoder, UNet
from refdiff.diffusion import samplers
from refdiff.diffusion.guidance import classifier_free, with_uncond
from refdiff.diffusion.loop import sample
from refdiff.diffusion.types import Dialect, Model
from refdiff.draws import drawer, row_noise
from refdiff.errors import ConfigError, ShapeError
from refdiff.op import FAST, REFERENCE, Array, Engine, current_engine, engine
from refdiff.pictures import to_images
from refdiff.text import Tokenizer
from refdiff.trace import Passenger

LARGEST = 16  # times the side that the model was trained for
PAYS = (
    1 << 35
)  # weights times latent pixels: kernels save a picture the time that they take to make

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Result:
    """What a call made: pictures, their latents, and what is needed to make them again."""

    images: list[Image.Image]
    latents: Array  # [N,C,h,w], as the U-Net sees them
    settings: Mapping[str, Any]


@dataclass
class Pipeline:
    """Stable Diffusion's components, and the way from one to the next."""

    unet: UNet
    vae: VAE
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    scheduler: Mapping[str, Any]
    path: Path | None = None

    def __post_init__(self) -> None:
        self.sampler = samplers.from_config(self.scheduler)
        self._trace: Passenger | None = None
        check_fit(self.unet, self.vae, self.text_encoder, self.tokenizer)

    def __call__(
        self,
        prompt: str,
        *,
        steps: int = 25,
        guidance: float = 7.5,
        seed: int = 0,
        negative: str = "",
        sampler: str | samplers.AnySampler | None = None,
        sampler_options: Mapping[str, Any] | None = None,
        dialect: Dialect = "diffusers",
        rng: str = "torch-cpu",
        size: tuple[int, int] | None = None,
        count: int = 1,
        latents: Array | None = None,
        guidance_rescale: float = 0.0,
        dtype: npt.DTypeLike = np.float32,
        progress: Progress | None = None,
    ) -> Result:
        """Pictures of a prompt.

        steps: of the sampler; guidance: 1 is none, more follows the prompt more closely;
        seed: of the generator that rng names, PyTorch's on a CPU unless another is wanted, so that
        it gives the noise it gives there; negative: what the picture shall not be; sampler: a name
        of `samplers.names()`, a sampler, or None for the checkpoint's own; sampler_options: keys of
        its config and arguments of its step; dialect: "diffusers" or "paper"; size: (width, height)
        in pixels; count: of pictures from one seed; latents: noise to start from [count,C,h,w] in
        place of the seed's; dtype: of all arithmetic, float32 or float64 (the seed's noise is
        float32's in both); progress: called with (steps done, steps in all).
        Raises PromptError, ConfigError or ShapeError for what cannot be made, before any work.
        """
        chosen = self.choose(sampler, dialect, sampler_options or {})
        plan = chosen.plan(steps)
        check_numbers(guidance, guidance_rescale, count, dtype)
        shape = self.latent_shape(count, size)
        draw = drawer(rng, seed, shape, dtype)
        path_seed = getattr(chosen, "noise_seed", None)
        added = row_noise(plan, draw, seed if path_seed is None else path_seed, shape, dtype)
        start = draw(-1) if latents is None else check_latents(latents, shape).astype(dtype)
        settings = {
            "prompt": prompt,
            "negative": negative,
            "steps": steps,
            "guidance": guidance,
            "guidance_rescale": guidance_rescale,
            "seed": seed,
            "sampler": sampler if isinstance(sampler, str) else None,
            "sampler_options": dict(sampler_options or {}),
            "dialect": dialect,
            "rng": rng,
            "size": (shape[3] * self.vae.config.factor, shape[2] * self.vae.config.factor),
            "count": count,
            "dtype": np.dtype(dtype).name,
        }
        with self._engine(settings, size) as used:
            apart = chosen.out_shape(shape)[0] == 2 * count
            model = self.guided(prompt, negative, guidance, guidance_rescale, count, dtype, apart)
            self._tap_plan(plan)
            x = self._tap("latents", start * chosen.init_noise_sigma(plan))
            for done, final in enumerate(self.denoise(model, chosen, plan, x, added), 1):
                x = final
                if progress is not None:
                    progress(done, len(plan))
            self.unet.rest()
            z = self._tap("z", self.vae.unscale(x))
            picture = self._tap("picture", self.vae.decode(z))
            self.vae.rest()
        return Result(to_images(picture), x, {**settings, "engine": str(used)})

    def denoise(
        self,
        model: Model,
        sampler: samplers.AnySampler,
        plan: samplers.Plan[Any],
        x: Array,
        draw: Callable[[int], Array],
    ) -> Iterator[Array]:
        """The latents after each row of the plan, recorded below `steps.i`: x [N,C,h,w]."""

        def told(x: Array, t: float) -> Array:
            return self._tap("out", model(self._tap("x_in", x), t))

        steps = sample(told, sampler, plan, x, lambda i: self._tap("noise", draw(i)))
        for i in range(len(plan)):
            with self._trace.within(f"steps.{i}") if self._trace is not None else nullcontext():
                step = next(steps)
                self._tap("x_prev", step.x_prev)
            yield step.x_prev

    def guided(
        self,
        prompt: str,
        negative: str,
        guidance: float,
        rescale: float,
        count: int,
        dtype: npt.DTypeLike,
        apart: bool = False,
    ) -> Model:
        """The U-Net under the prompt, as a function of (x, t); guidance 1 needs no second half.

        apart: says the unconditional output as well, before the guided one.
        """
        alone = guidance == 1 and not apart
        texts = [prompt] if alone else [negative, prompt]
        states = np.repeat(self.encode(texts, dtype), count, axis=0)

        def model(x: Array, t: float) -> Array:
            return self.unet(x, t, states)

        def both(x: Array, t: float) -> Array:
            out = model(x, t)
            self._tap("eps_uncond", out[: len(x) // 2])
            self._tap("eps_text", out[len(x) // 2 :])
            return out

        if alone:
            return model
        return (with_uncond if apart else classifier_free)(both, guidance, rescale)

    def encode(self, texts: list[str], dtype: npt.DTypeLike = np.float32) -> Array:
        """The text states that the U-Net attends to: -> [N,L,D]. Raises PromptError.

        Each text is a call of its own, the last one first: so diffusers encodes the prompt before
        the negative one, and a name that is counted means the same text in both.
        """
        check_prompts(texts)
        ids = self._tap("tokens", np.array(self.tokenizer(texts)))
        states = [self.text_encoder(row, dtype).last_hidden_state for row in ids[::-1]]
        self.text_encoder.rest()
        return self._tap("text_states", np.concatenate(states[::-1]))

    def choose(
        self,
        sampler: str | samplers.AnySampler | None,
        dialect: Dialect = "diffusers",
        options: Mapping[str, Any] | None = None,
    ) -> samplers.AnySampler:
        """The sampler of that name over the checkpoint's schedule; None: the checkpoint's own."""
        if sampler is not None and not isinstance(sampler, str):
            if options or dialect != "diffusers":
                raise ConfigError(
                    "sampler_options or a dialect came with a sampler that is already built: "
                    "build it with them, or name it"
                )
            return sampler
        config = self.scheduler if sampler is None else samplers.config_as(self.scheduler, sampler)
        return samplers.with_options(config, options or {}, dialect)

    def latent_shape(self, count: int, size: tuple[int, int] | None) -> tuple[int, int, int, int]:
        """[count,C,h,w] for (width, height) in pixels. Raises ShapeError where there is none."""
        factor, trained = self.vae.config.factor, self.unet.config.sample_size or 64
        width, height = size or (trained * factor, trained * factor)
        largest = LARGEST * trained * factor
        for side in (width, height):
            if not isinstance(side, int) or side % factor or not factor <= side <= largest:
                raise ShapeError(
                    f"the size {width}x{height} cannot be made: choose sides that are multiples of "
                    f"{factor}, from {factor} to {largest} pixels"
                )
        return count, self.unet.config.in_channels, height // factor, width // factor

    @contextmanager
    def recording(self, trace: Passenger) -> Iterator[None]:
        """Record every tensor of the calls inside, each component's below its name."""
        with ExitStack() as stack:
            for part in (self.unet, self.vae, self.text_encoder):
                stack.enter_context(part.recording(trace, part.name))
            self._trace = trace
            stack.callback(setattr, self, "_trace", None)
            yield

    def engine_for(self, size: tuple[int, int] | None = None) -> Engine:
        """Which makes a first picture sooner: kernels, or definitions, which nothing compiles.

        It depends on the size of the U-Net and of a picture alone, so that a picture has the same
        bits the first and every other time, and in every batch. Raises ShapeError.
        """
        _, _, h, w = self.latent_shape(1, size)
        return FAST if self.unet.size * h * w >= PAYS else REFERENCE

    @contextmanager
    def _engine(
        self, settings: Mapping[str, Any], size: tuple[int, int] | None
    ) -> Iterator[Engine]:
        """As the caller chose, or `engine_for` does; a trace is told which, and the settings."""
        wanted = current_engine(default=self.engine_for(size))
        with engine(wanted.name, wanted.rounding, wanted.plain) as used:
            if self._trace is not None:
                self._trace.notes["engine"] = str(used)
                self._trace.notes["settings"] = json.dumps(settings, default=str)
            yield used

    def _tap_plan(self, plan: samplers.Plan[Any]) -> None:
        """The plan's columns as `plan.NAME`; those of words are no tensors."""
        for name in plan.names:
            if plan.column(name).dtype.kind != "U":
                self._tap(f"plan.{name}", plan.column(name))

    def _tap(self, name: str, value: Array) -> Array:
        if self._trace is not None:
            self._trace.record(name, value)
        return value
