"""From a path to something that can be called: a whole pipeline, or one of its components."""

import os
from pathlib import Path
from typing import Any

from refdiff.checkpoints import clip, folder, unet, unet_unconditional, vae
from refdiff.components import VAE, TextEncoder, UnconditionalUNet, UNet
from refdiff.diffusion import samplers
from refdiff.errors import CheckpointError, ConfigError
from refdiff.files import read_json
from refdiff.pipeline import Pipeline
from refdiff.text import Tokenizer

SHIPPED = "emoji"


def load(path: str | os.PathLike[str] | None = None) -> Any:
    """The pipeline in a diffusers folder; a component's own folder gives that component.

    Without a path, the weights that refdiff ships. A component is a UNet, VAE, TextEncoder,
    Tokenizer or sampler, by what the folder holds.
    Raises CheckpointError or ConfigError, which say what is wrong in which file.
    """
    place = folder.existing_folder(shipped() if path is None else path)
    if not os.path.exists(place / "model_index.json") and _looks_like_a_component(place):
        return load_component(folder.read_component(place))
    return load_pipeline(folder.read_folder(place))


def load_pipeline(found: folder.Folder) -> Pipeline:
    """Every component of a pipeline's folder, checked against each other."""
    parts = {name: load_component(part) for name, part in found.components.items()}
    return Pipeline(
        unet=parts["unet"],
        vae=parts["vae"],
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        scheduler=scheduler_config(found.components["scheduler"].path),
        path=found.path,
    )


def load_component(part: folder.Component) -> Any:
    """One component, by its kind."""
    match part.kind, part.class_name:
        case "unet", "UNet2DModel":
            return UnconditionalUNet(*unet_unconditional.load(part.path))
        case "unet", _:
            return UNet(*unet.load(part.path))
        case "vae", _:
            return VAE(*vae.load(part.path))
        case "text_encoder", _:
            return TextEncoder(*clip.load(part.path))
        case "tokenizer", _:
            return Tokenizer.from_folder(part.path)
        case _:
            return samplers.from_config(scheduler_config(part.path))


def scheduler_config(path: Path) -> dict[str, object]:
    """A scheduler_config.json's contents: the file itself, its folder, or a whole checkpoint's."""
    name = "scheduler_config.json"
    places = [path / "scheduler" / name, path / name] if path.is_dir() else [path]
    return read_json(next(filter(os.path.exists, places), places[-1]), ConfigError, infinities=True)


def shipped() -> Path:
    """Where the shipped weights lie: inside the installed package, or in a source checkout."""
    here = Path(__file__).parent
    for place in (here / "weights" / SHIPPED, here.parent / "weights" / SHIPPED):
        if (place / "model_index.json").exists():
            return place
    raise CheckpointError(
        f"the shipped weights are not at {here / 'weights'}: install refdiff anew"
    )


def _looks_like_a_component(place: Path) -> bool:
    names = ("config.json", "scheduler_config.json", "vocab.json")
    return any(os.path.exists(place / name) for name in names)
