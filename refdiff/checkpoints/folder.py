"""A diffusers pipeline's folder: which components it has, and what each of them is.

model_index.json   unet/   vae/   text_encoder/   tokenizer/   scheduler/
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refdiff.errors import CheckpointError, ConfigError
from refdiff.files import read_json
from refdiff.strict_json import show

PIPELINE = "StableDiffusionPipeline"

# Component of the pipeline -> the classes that it may have; a scheduler's is a sampler's affair.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "scheduler": (),
}
# What judges or conditions pictures beside the diffusion itself; its absence changes no number.
IGNORED_COMPONENTS = ("safety_checker", "feature_extractor", "image_encoder")
IGNORED_KEYS = ("_diffusers_version", "_name_or_path", "requires_safety_checker")

# _class_name in a component's own config.json -> what it is.
KINDS: Mapping[str, str] = {
    "UNet2DConditionModel": "unet",
    "UNet2DModel": "unet",
    "AutoencoderKL": "vae",
}

LOOKS = (
    "a checkpoint is a folder with model_index.json and the folders unet, vae, text_encoder, "
    "tokenizer and scheduler, as diffusers saves it"
)
COMPONENT_LOOKS = (
    "a component is a folder with a config.json of UNet2DConditionModel, UNet2DModel, "
    "AutoencoderKL or CLIPTextModel, with scheduler_config.json, or with vocab.json and merges.txt"
)


@dataclass(frozen=True)
class Component:
    """One part of a pipeline."""

    kind: str  # unet, vae, text_encoder, tokenizer or scheduler
    class_name: str  # diffusers' or transformers' name
    path: Path


@dataclass(frozen=True)
class Folder:
    """A pipeline's folder; `ignored` are components that it has and refdiff does without."""

    path: Path
    components: Mapping[str, Component]
    ignored: tuple[str, ...]


def read_folder(path: str | os.PathLike[str]) -> Folder:
    """The components of the pipeline in `path`, each one's own folder agreeing with the index.

    No weights are opened. Raises CheckpointError for what is no checkpoint or lacks a part, and
    ConfigError for a pipeline or a component that refdiff does not have.
    """
    path = existing_folder(path)
    index_path = path / "model_index.json"
    if not os.path.exists(index_path):
        raise CheckpointError(f"{path} has no model_index.json; {LOOKS}.")
    index = read_json(index_path, ConfigError)
    if index.pop("_class_name", None) != PIPELINE:
        raise ConfigError(f"{index_path} is not of class {PIPELINE}, the one that refdiff has.")
    classes = {
        name: _class_name(f"{index_path}: component {show(name)}", value)
        for name, value in index.items()
        if name not in IGNORED_KEYS
    }
    for name in classes:
        if name not in COMPONENTS and name not in IGNORED_COMPONENTS:
            raise ConfigError(f"{index_path} has a component {show(name)}, which refdiff lacks.")
    components = {}
    for name, allowed in COMPONENTS.items():
        class_name = classes.get(name)
        if class_name is None:
            raise ConfigError(f"{index_path} has no component {name}; {LOOKS}.")
        if allowed and class_name not in allowed:
            raise ConfigError(
                f"{index_path}: component {name} is of class {show(class_name)}, and refdiff has "
                f"{' and '.join(allowed)} there."
            )
        components[name] = _agreeing(read_component(path / name), name, class_name)
    ignored = tuple(name for name in IGNORED_COMPONENTS if classes.get(name) is not None)
    return Folder(path, components, ignored)


def read_component(path: str | os.PathLike[str]) -> Component:
    """What the folder `path` holds, by its own files.

    Raises CheckpointError for what is no component, ConfigError for one that refdiff lacks.
    """
    path = existing_folder(path)
    if os.path.exists(path / "scheduler_config.json"):
        return Component("scheduler", _own_class(path / "scheduler_config.json"), path)
    if os.path.exists(path / "config.json"):
        class_name = _own_class(path / "config.json")
        if class_name == "CLIPTextModel":
            return Component("text_encoder", class_name, path)
        if class_name not in KINDS:
            raise ConfigError(
                f"{path / 'config.json'} is of class {show(class_name)}, which refdiff lacks; "
                f"{COMPONENT_LOOKS}."
            )
        return Component(KINDS[class_name], class_name, path)
    if os.path.exists(path / "vocab.json") and os.path.exists(path / "merges.txt"):
        return Component("tokenizer", "CLIPTokenizer", path)
    if os.path.exists(path / "model_index.json"):
        raise CheckpointError(f"{path} is a whole pipeline, and one of its components is expected.")
    raise CheckpointError(f"{path} has none of the files of a component; {COMPONENT_LOOKS}.")


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """`path`, if it is a folder. Raises CheckpointError where it is not."""
    path = Path(path)
    if not os.path.lexists(path):
        raise CheckpointError(f"{path} does not exist; {LOOKS}.")
    if not os.path.isdir(path):
        raise CheckpointError(f"{path} is not a folder; {LOOKS}.")
    return path


def _own_class(path: Path) -> str:
    """The class in a component's configuration; transformers calls it by its model_type."""
    config = read_json(path, ConfigError, infinities=path.name == "scheduler_config.json")
    if "_class_name" not in config and config.get("model_type") == "clip_text_model":
        return "CLIPTextModel"
    name = config.get("_class_name")
    if not isinstance(name, str):
        raise ConfigError(f"{path} has _class_name = {show(name)}, and the name of a class is due.")
    return name


def _class_name(where: str, value: object) -> str | None:
    """The class in [library, class], or None in [null, null]."""
    if value == [None, None]:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
        raise ConfigError(f"{where} is {show(value)}, and [library, class] is expected.")
    return value[1]


def _agreeing(component: Component, kind: str, class_name: str) -> Component:
    """`component`, if it is what model_index.json says; a tokenizer's folder names no class."""
    if component.kind != kind or (kind != "tokenizer" and component.class_name != class_name):
        raise ConfigError(
            f"{component.path} holds {component.class_name}, and model_index.json says "
            f"{class_name}; the files are not from one checkpoint."
        )
    return component
