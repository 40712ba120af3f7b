"""The judge: honest answers pass in every precision, and everything that can be wrong is."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
import torch

from refdiff.errors import CheckpointError, ConfigError
from refdiff.op import Array
from refdiff.verify.kit.answers import Answers
from refdiff.verify.kit.read import Entry, read_kit
from refdiff.verify.kit.text import screen
from refdiff.verify.kit.verify import verify
from refdiff.verify.kit.write import write_kit
from refdiff.verify.mistakes import CATALOGUE, FAMILIES
from refdiff.verify.report import Exit, Report
from refdiff.verify.report_junit import junit
from refdiff.verify.verdict import State
from refdiff.verify.walks import HONEST
from tests.verify.kit.implementations import by_refdiff, by_torch, changed

SCHEMA = Path(__file__).parents[3] / "docs" / "report.schema.json"
COARSE = {"ops/gelu/small.y"}  # where torch's erf is good to 1e-7 and not to the last place
NORM = "ops/group_norm/picture"
Outputs = dict[str, Array]


def judged(kit: Path, change: Callable[[Outputs], None], only: str = NORM) -> Report:
    return verify(kit, changed(by_refdiff(), change), only=only)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_torch_is_right(ops: Path, name: str) -> None:
    report = verify(ops, by_torch(getattr(torch, name)), name)
    wrong = {t.name for t in report.tensors if t.state != State.EXPLAINED}
    assert wrong <= COARSE and not report.not_compared
    assert all(t.state == State.LOOSE for t in report.tensors if t.name in wrong)


def test_better_than_asked_is_right(ops: Path) -> None:
    assert verify(ops, by_torch(torch.float64)).exit_code == Exit.EXPLAINED


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_samplers_in_every_precision(ddim: Path, precision: str) -> None:
    report = verify(ddim, by_refdiff(HONEST[precision][-1]), precision)
    assert report.exit_code == Exit.EXPLAINED
    names = {t.name.rpartition("/")[2] for t in report.tensors}
    assert {"default.x", "default.x_in", "default.plan.t", "other.x"} <= names


@pytest.mark.parametrize(
    "id",
    [
        "gelu/gelu-tanh",
        "geglu/swapped",
        "attention/no-scale",
        "group_norm/eps-1e-06",
        "layer_norm/unbiased",
        "conv2d/flipped",
        "linear/transposed",
        "timestep_embedding/flipped",
        "embedding/next-row",
    ],
)
def test_a_mistake_is_named(ops: Path, id: str) -> None:
    mistake = CATALOGUE[id]
    report = verify(ops, by_refdiff(HONEST["float32"][0], mistake), only=f"ops/{mistake.op}/*")
    named = {d.explanations[0].id for d in report.diagnosed if d.explanations[0].explains}
    assert report.exit_code == Exit.UNEXPLAINED and id in named
    assert f"you match neg.{id} ({mistake.title})" in screen(report)


def test_a_mistake_that_is_not_known_is_not_named(ops: Path) -> None:
    strange = FAMILIES["silu/steepness"].at(1.3)
    report = verify(ops, by_refdiff(HONEST["float32"][0], strange), only="ops/silu/grid")
    assert not report.diagnosis[0].explains and "no known mistake; the nearest" in screen(report)


def flipped(y: Outputs) -> None:
    y["out.y"].flat[17] *= -1


def dropped(y: Outputs) -> None:
    del y["out.y"]


def turned(y: Outputs) -> None:
    y["out.y"] = y["out.y"].swapaxes(2, 3)


def holed(y: Outputs) -> None:
    y["out.y"].flat[3] = np.nan


def rough(y: Outputs) -> None:
    y["out.y"] += 6e-7 * np.where(np.indices(y["out.y"].shape).sum(0) % 2, 1, -1)


def spelled(y: Outputs) -> None:
    y["out.y"] = y["out.y"].astype("U9")


@pytest.mark.parametrize(
    ("change", "exit_code", "said"),
    [
        (flipped, Exit.UNEXPLAINED, "impossible"),
        (holed, Exit.UNEXPLAINED, "times honest rounding"),
        (rough, Exit.LOOSE, "loose"),
        (dropped, Exit.INCOMPLETE, "the answer holds no out.y"),
        (turned, Exit.INCOMPLETE, "the answer has the shape [2, 8, 7, 5], expected [2, 8, 5, 7]"),
        (spelled, Exit.INCOMPLETE, "the answer is of type"),
        (dict.clear, Exit.INCOMPLETE, "the answer holds no out.y"),
    ],
)
def test_what_is_wrong_is_told(
    ops: Path, change: Callable[[Outputs], None], exit_code: Exit, said: str
) -> None:
    assert judged(ops, lambda y: None).exit_code == Exit.EXPLAINED
    report = judged(ops, change)
    assert report.exit_code == exit_code and said in screen(report)
    jsonschema.validate(json.loads(report.to_json()), json.loads(SCHEMA.read_text()))
    suite = ElementTree.fromstring(junit(report).encode())
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    assert failed == (exit_code != Exit.LOOSE)


def test_twice(ops: Path) -> None:
    """An answer that is not the same twice, if by less than rounding."""
    calls = [0]

    def drifting(y: Outputs) -> None:
        calls[0] += 1
        y["out.y"].flat[0] += calls[0] * np.spacing(y["out.y"].flat[0])

    wavering: Answers = changed(by_refdiff(), drifting)
    report = verify(ops, wavering, only=NORM, twice=True)
    assert report.exit_code == Exit.NONDETERMINISTIC and report.nondeterministic == (f"{NORM}.y",)
    assert verify(ops, wavering, only=NORM).exit_code == Exit.EXPLAINED
    assert verify(ops, by_refdiff(), only=NORM, twice=True).exit_code == Exit.EXPLAINED


def test_whole_numbers_are_equal_or_not(tmp_path: Path) -> None:
    write_kit(tmp_path / "kit", "tokenizer/clip/plain")

    def off(y: Outputs) -> None:
        y["out.ids"][1, 2] += 1

    assert verify(tmp_path / "kit", by_refdiff()).exit_code == Exit.EXPLAINED
    assert verify(tmp_path / "kit", changed(by_refdiff(), off)).exit_code == Exit.UNEXPLAINED


def refuse(entry: Entry, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    raise AssertionError("nobody should be asked")


def test_kits_that_are_none(ops: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no kit: it has no manifest"):
        verify(tmp_path, refuse)
    with pytest.raises(ConfigError, match=r"no vector of .* matches 'nothing'"):
        verify(ops, refuse, only="nothing")
    with pytest.raises(ConfigError, match="no vector matches"):
        write_kit(tmp_path / "kit", "nothing")
    assert not (tmp_path / "kit").exists() and not list(tmp_path.iterdir())
    manifest = tmp_path / "manifest.json"
    text = (ops / "manifest.json").read_text()
    for broken, error, said in (
        (text.replace("refdiff-kit-1", "refdiff-kit-9"), ConfigError, "another version"),
        (text.replace('"sha256"', '"sha"'), CheckpointError, "is damaged: KeyError"),
        (
            text.replace("ops/add/picture.safetensors", "../x"),
            CheckpointError,
            "outside of the kit",
        ),
        (text[:-9], CheckpointError, "is not JSON"),
        ('{"schema": "refdiff-kit-1"}', CheckpointError, "is damaged"),
    ):
        manifest.write_text(broken)
        with pytest.raises(error, match=said):
            read_kit(tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    write_kit(tmp_path / "kit", NORM)
    path = tmp_path / "kit" / f"{NORM}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        verify(tmp_path / "kit", by_refdiff())
