"""How a model is run along a dump: one component on the reference's inputs, or a whole pipeline."""

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from refdiff.components import VAE, TextEncoder, UnconditionalUNet, UNet
from refdiff.errors import CheckpointError, ConfigError
from refdiff.op import Array
from refdiff.pipeline import Pipeline
from refdiff.strict_json import parse_json, show
from refdiff.trace import Passenger
from refdiff.verify.walks import Walk

Named = Mapping[str, Array]
SETTINGS: Mapping[str, tuple[type, ...]] = {  # what a call is made of, and of which kind
    "prompt": (str,),
    "negative": (str,),
    "steps": (int,),
    "guidance": (int, float),
    "guidance_rescale": (int, float),
    "seed": (int,),
    "sampler": (str, NoneType),
    "sampler_options": (dict,),
    "dialect": (str,),
    "rng": (str,),
    "size": (list,),
    "count": (int,),
}


def run_along(model: Any, reference: Named, candidate: Named, passenger: Passenger) -> None:
    """Run a model in float64, the passenger riding along.

    The inputs are the candidate's own where it tells them, else the reference's: `inputs.*` of a
    component, or what a pipeline hands to its networks; its settings are the reference's.
    Raises CheckpointError where they are not there, ConfigError for what is no model.
    """
    told = Told(candidate, reference)
    if isinstance(model, Pipeline):
        pipeline_along(model, settings_of(reference), told, passenger)
        return
    if not isinstance(model, UNet | UnconditionalUNet | VAE | TextEncoder):
        raise ConfigError(
            f"a {type(model).__name__} has no layers to compare, expected a pipeline, a U-Net, an "
            "autoencoder or a text encoder: name such a folder by --model"
        )
    with model.recording(passenger):
        component_along(model, told, passenger)


def run_free(model: Any, reference: Named, walk: Walk, passenger: Passenger) -> None:
    """Run a model as an honest implementation would, on the reference's inputs and settings.

    Raises CheckpointError where they are not there.
    """
    with walk.within():
        if isinstance(model, Pipeline):
            settings = settings_of(reference)
            called = {**settings, "size": tuple(settings["size"]), "dtype": walk.dtype}
            with model.recording(passenger):
                model(called.pop("prompt"), **called)
            return
        inputs = {n: walk.of(x) for n, x in reference.items() if n.startswith("inputs.")}
        with model.recording(passenger):
            component_along(model, inputs, passenger, walk.dtype)


class Told(Mapping[str, Array]):
    """What the first mapping tells, or else the second."""

    def __init__(self, first: Named, second: Named) -> None:
        self.first, self.second = first, second

    def __getitem__(self, name: str) -> Array:
        return self.first[name] if name in self.first else self.second[name]

    def __contains__(self, name: object) -> bool:
        return name in self.first or name in self.second

    def __iter__(self) -> Iterator[str]:
        yield from self.second

    def __len__(self) -> int:
        return len(self.second)


def component_along(
    model: Any, told: Named, passenger: Passenger, dtype: npt.DTypeLike = np.float64
) -> None:
    """One call on the inputs that are told, in that precision; the result is `output`."""

    def cast(name: str) -> Array:
        x = needed(told, f"inputs.{name}")
        return x.astype(dtype) if x.dtype.kind == "f" else x

    match model:
        case UNet():
            y = model(*map(cast, ("sample", "timestep", "encoder_hidden_states")))
        case UnconditionalUNet():
            y = model(cast("sample"), cast("timestep"))
        case TextEncoder():
            states = model(cast("input_ids"), dtype)
            y = states.last_hidden_state
            passenger.record("output.pooled", states.pooled)
        case VAE() if "inputs.z" in told:
            y = model.decode(cast("z"))
        case _:
            y, logvar = model.encode(cast("sample"))
            passenger.record("output.logvar", logvar)
    passenger.record("output", y)


def pipeline_along(
    pipe: Pipeline, settings: Mapping[str, Any], reference: Named, passenger: Passenger
) -> None:
    """Text encoder, U-Net at every step that was traced, and decoder, each on what came before."""
    with pipe.recording(passenger):
        states = text_states(pipe, settings, reference)
        for i, t in steps_of(pipe, settings, reference):
            x = wide(needed(reference, f"steps.{i}.x_in"))
            doubled = np.concatenate([x] * (len(states) // len(x)))
            with passenger.within(f"steps.{i}"):
                pipe.unet(doubled, t, states)
        if "z" in reference:
            passenger.record("picture", pipe.vae.decode(wide(reference["z"])))


def text_states(pipe: Pipeline, settings: Mapping[str, Any], reference: Named) -> Array:
    """The text encoder's states as the U-Net sees them; run even where the U-Net's are told."""
    alone = settings["guidance"] == 1
    texts = [settings["prompt"]] if alone else [settings["negative"], settings["prompt"]]
    states = np.repeat(pipe.encode(texts, np.float64), settings["count"], axis=0)
    if "text_states" in reference:
        states = np.repeat(wide(reference["text_states"]), settings["count"], axis=0)
    return states


def steps_of(
    pipe: Pipeline, settings: Mapping[str, Any], reference: Named
) -> Iterator[tuple[int, float]]:
    """Row and time of each step whose U-Net was traced."""
    sampler = pipe.choose(settings["sampler"], settings["dialect"], settings["sampler_options"])
    for i, row in enumerate(sampler.plan(settings["steps"]).rows):
        if f"steps.{i}.x_in" in reference:
            yield i, row.t


def settings_of(reference: Named) -> dict[str, Any]:
    """What the pipeline was called with, from the notes of its trace. Raises CheckpointError."""
    try:
        told = parse_json(getattr(reference, "notes", {})["settings"].encode(), infinities=True)
        return {name: checked(told, name, kinds) for name, kinds in SETTINGS.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the reference does not say what its pipeline was called with ({error}): make it by "
            "`refdiff trace PROMPT`, or give --model one component's folder"
        ) from error


def checked(told: Any, name: str, kinds: tuple[type, ...]) -> Any:
    """One of the settings. Raises KeyError or ValueError for another kind of value."""
    value = told[name]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(f"{name} is {show(value)}")
    return value


def needed(reference: Named, name: str) -> Array:
    """A tensor of the reference. Raises CheckpointError where it is not there."""
    if name not in reference:
        raise CheckpointError(
            f"the reference holds no {name}, from which the model is run: make it by "
            "`refdiff trace`, and leave that name in"
        )
    return reference[name]


def wide(x: Array) -> Array:
    """In float64, unless of whole numbers."""
    return x.astype(np.float64) if x.dtype.kind == "f" else x
