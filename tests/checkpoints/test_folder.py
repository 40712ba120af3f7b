"""Folders: what is a checkpoint is described, what is none is told what one looks like."""

import json
import os
import shutil
from pathlib import Path

import pytest

from refdiff.checkpoints import clip, unet, vae
from refdiff.checkpoints.folder import COMPONENTS, read_component, read_folder
from refdiff.errors import CheckpointError, ConfigError, RefdiffError

WEIGHTS = Path(__file__).parents[2] / "weights/emoji"
CONFIGS = {name: "config.json" for name in ("unet", "vae", "text_encoder")} | {
    "scheduler": "scheduler_config.json"
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped folder without its weights, which nobody opens here."""
    target = tmp_path / "model"
    shutil.copytree(WEIGHTS, target, ignore=shutil.ignore_patterns("*.safetensors", "recipe"))
    return target


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(error: type[RefdiffError], path: Path, read=read_folder) -> str:
    with pytest.raises(error) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_shipped_folder():
    folder = read_folder(WEIGHTS)
    assert set(folder.components) == set(COMPONENTS) and folder.ignored == ()
    for name, component in folder.components.items():
        assert component.kind == name and component.path == WEIGHTS / name
        assert read_component(component.path) == component
    assert folder.components["scheduler"].class_name == "DDIMScheduler"
    assert read_folder(str(WEIGHTS)) == folder


def test_what_judges_pictures_is_left_out_visibly(folder):
    change(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    assert read_folder(folder).ignored == ("safety_checker", "feature_extractor")


def test_optional_components_may_be_absent(folder):
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker"):
        del index[name]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert read_folder(folder).ignored == ()


def test_an_unconditional_unet_is_a_unet(folder):
    change(folder / "unet/config.json", _class_name="UNet2DModel")
    component = read_component(folder / "unet")
    assert (component.kind, component.class_name) == ("unet", "UNet2DModel")


@pytest.mark.parametrize("read", [read_folder, read_component])
def test_what_is_no_folder_is_told_what_one_looks_like(tmp_path, read):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, words in {
        "missing": "does not exist",
        "file": "is not a folder",
        "link": "is not a folder",
        "empty": "has no",
        "x" * 300: "does not exist",
    }.items():
        message = refused(CheckpointError, tmp_path / name, read)
        assert words in message and str(tmp_path / name) in message
        assert "a checkpoint is a folder" in message or "a component is a folder" in message


def test_a_pipeline_is_not_a_component_and_the_reverse(folder):
    assert "whole pipeline" in refused(CheckpointError, folder, read_component)
    assert "no model_index.json" in refused(CheckpointError, folder / "unet")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_that_is_missing_is_named(folder, name):
    shutil.rmtree(folder / name)
    assert str(folder / name) in refused(CheckpointError, folder)
    (folder / name).mkdir()
    assert str(folder / name) in refused(CheckpointError, folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_class_name": "FluxPipeline"}, "StableDiffusionPipeline"),
        ({"_class_name": None}, "StableDiffusionPipeline"),
        ({"_class_name": ["StableDiffusionPipeline"]}, "StableDiffusionPipeline"),
        ({"unet": None}, "[library, class] is expected"),
        ({"unet": "UNet2DConditionModel"}, "component 'unet' is 'UNet2DConditionModel'"),
        ({"unet": ["diffusers"]}, "[library, class]"),
        ({"unet": ["diffusers", 3]}, "[library, class]"),
        ({"unet": ["diffusers", None]}, "[library, class]"),
        ({"unet": [None, None]}, "no component unet"),
        ({"scheduler": [None, None]}, "no component scheduler"),
        ({"unet": ["diffusers", "UNet2DModel"]}, "'UNet2DModel', and refdiff has"),
        ({"text_encoder": ["transformers", "T5EncoderModel"]}, "'T5EncoderModel'"),
        ({"scheduler": ["diffusers", "PNDMScheduler"]}, "model_index.json says PNDMScheduler"),
        ({"text_encoder_2": ["transformers", "CLIPTextModel"]}, "'text_encoder_2'"),
        ({"safety_checker": 3}, "component 'safety_checker' is 3"),
        ({"../evil": ["a", "b"]}, "component '../evil'"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(folder, changes, words):
    change(folder / "model_index.json", **changes)
    message = refused(ConfigError, folder)
    assert words in message and str(folder) in message


@pytest.mark.parametrize("name", CONFIGS)
def test_a_component_of_another_class_is_refused(folder, name):
    path = folder / name / CONFIGS[name]
    change(path, _class_name=["list"])
    assert "_class_name = ['list']" in refused(ConfigError, folder)
    change(path, _class_name="OtherModel", model_type="other")
    assert "OtherModel" in refused(ConfigError, folder)
    path.write_text("{}")
    assert "_class_name = None" in refused(ConfigError, folder)


def test_components_in_each_others_folders_are_caught(folder):
    (folder / "vae").rename(folder / "spare")
    (folder / "unet").rename(folder / "vae")
    (folder / "spare").rename(folder / "unet")
    assert "holds AutoencoderKL, and model_index.json says" in refused(ConfigError, folder)


def test_a_scheduler_is_no_tokenizer(folder):
    shutil.copy(folder / "scheduler/scheduler_config.json", folder / "tokenizer")
    assert "holds DDIMScheduler, and model_index.json says CLIP" in refused(ConfigError, folder)


BAD_JSON = {
    "empty": (b"", "not JSON at byte 0"),
    "cut off": (b'{"a": ', "not JSON at byte 6"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "not JSON at byte 0"),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8"),
    "a list": (b"[1]", "holds [1], and a JSON object is expected"),
    "null": (b"null", "holds None"),
    "twice": (b'{"a": 1, "a": 1}', "'a' twice"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "Infinity": (b'{"a": -Infinity}', "-Infinity"),
    "beyond float64": (b'{"a": 1e999}', "beyond float64"),
    "endless digits": (b'{"a": ' + b"7" * 100_000 + b"}", "beyond float64"),
    "half a surrogate": (b'{"a": "\\ud800"}', "half a surrogate"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeper than 127"),
    "large": (b'{"a": "' + b"x" * 1_000_000 + b'"}', "more than 1000000 bytes"),
}


@pytest.mark.parametrize("case", BAD_JSON)
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json"])
def test_json_of_strangers_is_refused_with_its_reason(folder, name, case):
    data, words = BAD_JSON[case]
    (folder / name).write_bytes(data)
    message = refused(ConfigError, folder)
    assert words in message and str(folder / name) in message and len(message) < 600


def test_a_config_that_cannot_be_read(folder):
    path = folder / "unet/config.json"
    path.unlink()
    path.mkdir()
    assert "not a regular file" in refused(ConfigError, folder)
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in refused(ConfigError, folder)


def test_a_component_without_its_config(folder):
    for module, name in ((unet, "unet"), (vae, "vae"), (clip, "text_encoder")):
        (folder / name / "config.json").unlink()
        assert "cannot be read (No such file" in refused(ConfigError, folder / name, module.load)
