"""Vectors of what stands between the networks: samplers, guidance, the scaling of latents.

A sampler's vector tells the model's outputs and the noise, and asks for the plan's columns, for
what the model is shown in each row, and for x after it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refdiff.diffusion.samplers import ENTRIES, Entry
from refdiff.op import Array
from refdiff.params import Params
from refdiff.verify.kit.vector import (
    Draw,
    Named,
    Run,
    Vector,
    Vectors,
    Wrong,
    computed,
    letters,
    stored,
)
from refdiff.verify.mistakes.recipes import RECIPES
from refdiff.verify.recipe import NOISE, Recipe, guided, values
from refdiff.verify.walks import EXACT

Follow = Callable[[Recipe], Run]

STEPS = 6
LATENT = (1, 4, 5, 7)
PLAIN = Recipe({}, {}, "diffusers", STEPS, guidance=1.0, phi=0.0, scaling=1.0, shift=0.0)
LATER = {  # the second configuration of each sampler, as far as it reads these keys
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "clip_sample": False,
    "rescale_betas_zero_snr": True,
    "use_karras_sigmas": True,
    "solver_order": 3,
    "final_sigmas_type": "sigma_min",
    "set_alpha_to_one": False,
}


def recipe_vectors() -> Vectors:
    """Two configurations of every sampler, then guidance and latents."""
    for entry in ENTRIES:
        for which, keys in (("default", {}), ("other", other(entry))):
            yield sampling(entry, which, {"_class_name": entry.class_name, **keys})
    for scale, phi in ((7.5, 0.0), (1.0, 0.0), (0.0, 0.0), (7.5, 0.7), (3.0, 1.0)):
        yield guidance(scale, phi)
    for which, scaling, shift in (
        ("sd", 0.18215, 0.0),
        ("sdxl", 0.13025, 0.0),
        ("shift", 0.3611, 0.1159),
    ):
        yield unscaling(which, scaling, shift)


def other(entry: Entry) -> dict[str, Any]:
    """The second configuration."""
    return {
        key: value
        for key, value in LATER.items()
        if key in entry.read and entry.read[key].accepts(value)
    }


def vector(
    id: str,
    recipe: Recipe,
    follow: Follow,
    inputs: Mapping[str, Array],
    attributes: Mapping[str, Any],
    *flags: str,
    bounded: bool = False,
) -> Vector:
    """The vector of a recipe, that `follow` makes outputs of; wrong are the known wrong recipes."""

    def wrong(made: Vector) -> Iterator[Wrong]:
        for mistake in RECIPES:

            def outputs(change: Callable[[Recipe], Recipe] = mistake.change) -> Named:
                return dict(computed(made, EXACT, run=follow(change(recipe))))

            yield Wrong(mistake.id, mistake.title, outputs)

    return Vector(
        id,
        id.split("/")[1],
        follow(recipe),
        inputs,
        {},
        attributes,
        flags,
        letters(inputs, {}),
        wrong,
        bounded=bounded,
    )


def sampling(entry: Entry, which: str, config: Mapping[str, Any]) -> Vector:
    """A sampler's walk through its plan."""
    id = f"samplers/{entry.name}/{which}"
    recipe, draw = replace(PLAIN, scheduler=config), Draw(id)
    inputs: dict[str, Array] = {}
    if "mask" in entry.options:
        ones = np.indices(LATENT).sum(0) % 3 > 0
        inputs = {"mask": ones.astype(np.float32), "original_image": draw.normal(*LATENT)}
        recipe = replace(recipe, options=dict(inputs))
    sampler = recipe.sampler()
    rows = len(sampler.plan(STEPS))
    inputs["start"] = draw.normal(*LATENT)
    inputs["out"] = draw.normal(rows, *sampler.out_shape(LATENT))
    if any(sampler.needs_noise(sampler.plan(STEPS), i) for i in range(rows)):
        inputs["noise"] = draw.normal(rows, *LATENT)
    attributes = {"scheduler": config, "steps": STEPS, "dialect": recipe.dialect}
    made = vector(id, recipe, walked, inputs, attributes, which)
    return replace(made, alternatives=(walked(replace(recipe, dialect="paper")),))


def walked(recipe: Recipe) -> Run:
    """Every row of the plan."""

    def run(p: Params, given: Named) -> Named:
        options = {k: given[k] for k in recipe.options}
        sampler = replace(recipe, options=options).sampler()
        plan = sampler.plan(recipe.steps)
        told = {NOISE: given["start"]}
        for i, out in enumerate(given["out"]):
            told[f"steps.{i}.out"] = out
        for i, z in enumerate(given.get("noise", ())):
            told[f"steps.{i}.noise"] = z
        shown, x = [], []
        for name, value in values(replace(recipe, options=options), told):
            if name.endswith("x_in"):
                shown.append(stored(value))
            if name == "latents" or name.endswith("x_prev"):
                told[name] = stored(value)
            if name.endswith("x_prev"):
                x.append(told[name])
        columns = {n: plan.column(n) for n in plan.names}
        numeric = {
            f"plan.{n}": c.astype(float) for n, c in columns.items() if c.dtype.kind in "fiub"
        }
        return {"x": np.stack(x), "x_in": np.stack(shown), **numeric}

    return run


def guidance(scale: float, phi: float) -> Vector:
    """Two outputs combined, and the spread pulled back by phi."""
    id = f"guidance/classifier_free/{scale:g}" + (f"-rescaled-{phi:g}" if phi else "")
    draw = Draw(id)
    inputs = {"uncond": draw.normal(2, 4, 5, 7), "text": draw.normal(2, 4, 5, 7)}

    def follow(recipe: Recipe) -> Run:
        return lambda p, given: {"y": stored(guided(recipe, given["uncond"], given["text"]))}

    recipe = replace(PLAIN, guidance=scale, phi=phi)
    attributes = {"guidance": scale, "guidance_rescale": phi}
    return vector(
        id, recipe, follow, inputs, attributes, "rescale" if phi else "scale", bounded=not phi
    )


def unscaling(which: str, scaling: float, shift: float) -> Vector:
    """Latents, as the autoencoder takes them."""
    id = f"guidance/latents/{which}"

    def follow(recipe: Recipe) -> Run:
        return lambda p, given: {
            "z": stored(recipe.unscale(given["x"], recipe.scaling, recipe.shift))
        }

    recipe = replace(PLAIN, scaling=scaling, shift=shift)
    attributes = {"scaling_factor": scaling, "shift_factor": shift}
    return vector(
        id, recipe, follow, {"x": Draw(id).normal(2, 4, 5, 7)}, attributes, which, bounded=True
    )
