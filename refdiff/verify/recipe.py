"""What a pipeline does between its networks, as a recipe whose parts can be done wrong.

    latents = sigma_0 noise     x_in = x / scale     out = uncond + s (text - uncond)
    x_prev = step(x, out)       z = x / scaling + shift

Each value follows from the candidate's own values before it, as a layer's does in a replay.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refdiff.diffusion import samplers
from refdiff.diffusion.guidance import combine, rescale
from refdiff.diffusion.samplers import AnySampler, Plan
from refdiff.diffusion.types import Dialect
from refdiff.op import Array
from refdiff.pipeline import Pipeline

Named = Mapping[str, Array]
NOISE = "noise"  # what the run starts from, of variance 1


def scaled_input(sampler: AnySampler, plan: Plan[Any], i: int, x: Array) -> Array:
    """What the model is shown."""
    return sampler.scale_input(plan, i, x)


def unscaled(x: Array, scaling: float, shift: float) -> Array:
    """What the autoencoder decodes."""
    return x / scaling + shift


def started(noise: Array, sigma: float) -> Array:
    """Where a run begins."""
    return noise * sigma


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the values between the networks; a mistake changes one part."""

    scheduler: Mapping[str, Any]  # config, its class among it
    options: Mapping[str, Any]
    dialect: Dialect
    steps: int
    guidance: float
    phi: float  # of the guidance rescale
    scaling: float
    shift: float
    start: Callable[[Array, float], Array] = started
    show: Callable[[AnySampler, Plan[Any], int, Array], Array] = scaled_input
    guide: Callable[[Array, Array, float], Array] = combine
    unscale: Callable[[Array, float, float], Array] = unscaled
    remembers: bool = True  # whether a step is told what the steps before it remembered
    noise_of: Callable[[int], int] = lambda i: i  # the step whose noise is added

    @classmethod
    def of(cls, pipe: Pipeline, settings: Mapping[str, Any]) -> "Recipe":
        """The right one, by a pipeline and what it was called with."""
        name = settings["sampler"]
        return cls(
            pipe.scheduler if name is None else samplers.config_as(pipe.scheduler, name),
            settings["sampler_options"],
            settings["dialect"],
            settings["steps"],
            settings["guidance"],
            settings["guidance_rescale"],
            pipe.vae.config.scaling_factor,
            pipe.vae.config.shift_factor,
        )

    def init_noise_sigma(self) -> float:
        """The standard deviation of the latents that a run begins with."""
        sampler = self.sampler()
        return float(sampler.init_noise_sigma(sampler.plan(self.steps)))

    def sampler(self) -> AnySampler:
        """Raises ConfigError for a recipe that no sampler follows."""
        return samplers.with_options(self.scheduler, self.options, self.dialect)


def values(recipe: Recipe, told: Named) -> Iterator[tuple[str, Array]]:
    """Every value between the networks, in order, from what is told before it.

    told: the candidate's values in the precision that is computed in, and the noise of the start.
    """
    sampler = recipe.sampler()
    plan = sampler.plan(recipe.steps)
    yield "latents", recipe.start(told[NOISE], float(sampler.init_noise_sigma(plan)))
    x, memory = told["latents"], None
    for i in range(len(plan)):
        step = f"steps.{i}"
        if f"{step}.out" not in told:
            return
        yield f"{step}.x_in", recipe.show(sampler, plan, i, x)
        if f"{step}.unet" in told and f"{step}.eps_text" in told:
            uncond, text = np.split(told[f"{step}.unet"], 2)
            yield f"{step}.eps_uncond", uncond
            yield f"{step}.eps_text", text
        if f"{step}.eps_text" in told:
            uncond, text = told[f"{step}.eps_uncond"], told[f"{step}.eps_text"]
            yield f"{step}.out", guided(recipe, uncond, text)
        out = told[f"{step}.out"]
        z = told.get(f"steps.{recipe.noise_of(i)}.noise")
        z = np.zeros_like(x) if z is None and sampler.needs_noise(plan, i) else z
        memory = memory if recipe.remembers else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
        yield f"{step}.x_prev", x
        x = told.get(f"{step}.x_prev", x)
    yield "z", recipe.unscale(x, recipe.scaling, recipe.shift)


def guided(recipe: Recipe, uncond: Array, text: Array) -> Array:
    """The model's output under guidance."""
    y = recipe.guide(uncond, text, recipe.guidance)
    return rescale(y, text, recipe.phi) if recipe.phi else y
