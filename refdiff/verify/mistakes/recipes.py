"""Mistakes between the networks: the noise schedule, its times, the sampler, guidance, latents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refdiff.diffusion import samplers
from refdiff.diffusion.samplers import AnySampler, Plan
from refdiff.op import Array
from refdiff.verify.recipe import Recipe


@dataclass(frozen=True)
class WrongRecipe:
    """A mistake in a recipe."""

    id: str
    title: str
    change: Callable[[Recipe], Recipe]


def config(**keys: Any) -> Callable[[Recipe], Recipe]:
    """Keys of the scheduler's config set otherwise, in what its class reads."""

    def change(recipe: Recipe) -> Recipe:
        return replace(recipe, scheduler=set_keys(recipe.scheduler, keys))

    return change


def set_keys(scheduler: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """A config with keys set; those are no defaults any more."""
    defaulted = scheduler.get("_use_default_values") or []
    kept = [key for key in defaulted if key not in keys]
    return {**scheduler, **keys, "_use_default_values": kept}


def another(name: str) -> Callable[[Recipe], Recipe]:
    """Another sampler over the same schedule."""

    def change(recipe: Recipe) -> Recipe:
        scheduler = samplers.config_as(recipe.scheduler, name)
        return replace(recipe, scheduler=scheduler, options={})

    return change


def starting(start: Callable[[Array, float], Array]) -> Callable[[Recipe], Recipe]:
    """A run begins with another product of noise and sigma."""
    return lambda recipe: replace(recipe, start=start)


def showing(show: Callable[[Array, float], Array]) -> Callable[[Recipe], Recipe]:
    """The model is shown something else of x and the row's sigma."""

    def shown(sampler: AnySampler, plan: Plan[Any], i: int, x: Array) -> Array:
        return show(x, float(getattr(plan.rows[i], "sigma", 0.0)))

    return lambda recipe: replace(recipe, show=shown)


def guiding(guide: Callable[[Array, Array, float], Array]) -> Callable[[Recipe], Recipe]:
    """Guidance by another formula of (unconditional, text, scale)."""
    return lambda recipe: replace(recipe, guide=guide)


def decoding(unscale: Callable[[Array, float, float], Array]) -> Callable[[Recipe], Recipe]:
    """Latents brought to the autoencoder by another formula of (x, scaling, shift)."""
    return lambda recipe: replace(recipe, unscale=unscale)


def three_channels(u: Array, c: Array, s: float) -> Array:
    """The last channel is not guided."""
    guided = u + s * (c - u)
    return np.concatenate([guided[:, :3], c[:, 3:]], 1)


NAMES = ("ddim", "ddpm", "pndm", "euler", "euler_a", "heun", "dpm++", "unipc", "lms", "deis")
RECIPES = tuple(
    WrongRecipe(*entry)
    for entry in (
        ("schedule/linear", "beta is linear", config(beta_schedule="linear")),
        (
            "schedule/scaled-linear",
            "the root of beta is linear",
            config(beta_schedule="scaled_linear"),
        ),
        ("schedule/cosine", "the cosine schedule", config(beta_schedule="squaredcos_cap_v2")),
        (
            "schedule/ddpm-ends",
            "beta runs from 0.0001 to 0.02",
            config(beta_start=1e-4, beta_end=0.02),
        ),
        (
            "schedule/sd-ends",
            "beta runs from 0.00085 to 0.012",
            config(beta_start=0.00085, beta_end=0.012),
        ),
        ("schedule/zero-snr", "rescaled to zero terminal SNR", config(rescale_betas_zero_snr=True)),
        (
            "schedule/not-zero-snr",
            "not rescaled to zero terminal SNR",
            config(rescale_betas_zero_snr=False),
        ),
        ("times/offset-0", "steps_offset is 0", config(steps_offset=0)),
        ("times/offset-1", "steps_offset is 1", config(steps_offset=1)),
        ("times/leading", "leading spacing", config(timestep_spacing="leading")),
        ("times/linspace", "linspace spacing", config(timestep_spacing="linspace")),
        ("times/trailing", "trailing spacing", config(timestep_spacing="trailing")),
        ("times/karras", "Karras' sigmas", config(use_karras_sigmas=True)),
        ("times/not-karras", "not Karras' sigmas", config(use_karras_sigmas=False)),
        (
            "times/last-alpha-one",
            "alpha_bar after the last step is 1",
            config(set_alpha_to_one=True),
        ),
        (
            "times/last-alpha-first",
            "alpha_bar after the last step is the first",
            config(set_alpha_to_one=False),
        ),
        (
            "times/final-sigma-min",
            "the last sigma is the smallest, not 0",
            config(final_sigmas_type="sigma_min"),
        ),
        (
            "prediction/epsilon",
            "the output is taken for the noise",
            config(prediction_type="epsilon"),
        ),
        ("prediction/v", "the output is taken for v", config(prediction_type="v_prediction")),
        (
            "prediction/sample",
            "the output is taken for the picture",
            config(prediction_type="sample"),
        ),
        ("step/clipped", "x0 is clipped to -1..1", config(clip_sample=True)),
        ("step/not-clipped", "x0 is not clipped", config(clip_sample=False)),
        ("step/order-1", "a solver of first order", config(solver_order=1)),
        ("step/order-3", "a solver of third order", config(solver_order=3)),
        (
            "step/forgets",
            "what earlier steps gave is forgotten",
            lambda r: replace(r, remembers=False),
        ),
        (
            "step/noise-before",
            "the noise of the step before",
            lambda r: replace(r, noise_of=lambda i: i - 1),
        ),
        ("step/no-noise", "no noise is added", lambda r: replace(r, noise_of=lambda i: -1)),
        ("start/not-scaled", "the run begins with noise of variance 1", starting(lambda z, s: z)),
        (
            "start/data-too",
            "the run begins with sqrt(sigma^2 + 1), which counts the data, too",
            starting(lambda z, s: z * np.sqrt(s**2 + 1)),
        ),
        (
            "start/noise-only",
            "the run begins with sigma, which does not count the data",
            starting(lambda z, s: z * np.sqrt(max(s**2 - 1, 0))),
        ),
        ("input/not-scaled", "the model is shown x as it is", showing(lambda x, sigma: x)),
        ("input/by-sigma", "the model is shown x / sigma", showing(lambda x, sigma: x / sigma)),
        (
            "guidance/swapped",
            "text and unconditional are swapped",
            guiding(lambda u, c, s: c + s * (u - c)),
        ),
        (
            "guidance/one-more",
            "the scale is one more (w = s in 2207.12598)",
            guiding(lambda u, c, s: c + s * (c - u)),
        ),
        ("guidance/none", "no guidance", guiding(lambda u, c, s: c)),
        ("guidance/uncond", "the unconditional output alone", guiding(lambda u, c, s: u)),
        (
            "guidance/no-base",
            "the unconditional output is not added",
            guiding(lambda u, c, s: s * (c - u)),
        ),
        ("guidance/three-channels", "three channels of four are guided", guiding(three_channels)),
        ("guidance/rescaled", "guidance is rescaled by 0.7", lambda r: replace(r, phi=0.7)),
        ("guidance/not-rescaled", "guidance is not rescaled", lambda r: replace(r, phi=0.0)),
        (
            "latents/not-unscaled",
            "latents are not divided by the scaling factor",
            decoding(lambda x, a, b: x),
        ),
        (
            "latents/scaled-again",
            "latents are multiplied by the scaling factor",
            decoding(lambda x, a, b: x * a),
        ),
        ("latents/sd", "latents are divided by 0.18215", decoding(lambda x, a, b: x / 0.18215)),
        ("latents/sdxl", "latents are divided by 0.13025", decoding(lambda x, a, b: x / 0.13025)),
        *((f"sampler/{name}", f"the sampler is {name}", another(name)) for name in NAMES),
    )
)
