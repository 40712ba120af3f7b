"""The readers in other languages: compiled, given right answers and wrong ones, and believed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from refdiff.verify.kit.verify import verify
from refdiff.verify.mistakes import CATALOGUE
from refdiff.verify.walks import EXACT
from tests.verify.kit.implementations import by_refdiff

PROGRAMS = Path(__file__).parent / "programs"
BUILD = {
    "cpp": ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", "run", "ops.cpp"],
    "rs": ["rustc", "--edition=2021", "-Dwarnings", "-O", "-o", "run", "ops.rs"],
    "mjs": ["node", "--check", "ops.mjs"],
}
OPS = {"silu", "gelu", "geglu", "linear", "group_norm", "softmax", "attention", "conv2d"}
OPS |= {"timestep_embedding"}
BUGS = {
    "tanh": ("gelu/gelu-tanh", "ops/gelu/bend"),
    "eps": ("group_norm/eps-1e-06", "ops/group_norm/small-variance"),
    "scale": ("attention/no-scale", "ops/attention/self"),
    "flip": ("timestep_embedding/flipped", "ops/timestep_embedding/odd"),
}


@pytest.fixture(scope="module", params=BUILD)
def built(
    request: pytest.FixtureRequest, ops: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """How the program is called, that one of the readers is part of."""
    language = request.param
    if shutil.which(BUILD[language][0]) is None:
        pytest.skip(f"{BUILD[language][0]} is not here")
    folder = tmp_path_factory.mktemp(language)
    for source in (PROGRAMS / f"ops.{language}", *ops.glob("refdiff_kit.*")):
        shutil.copy(source, folder)
    subprocess.run(BUILD[language], cwd=folder, check=True)
    return ["node", str(folder / "ops.mjs")] if language == "mjs" else [str(folder / "run")]


def answers(built: list[str], kit: Path, bug: str = "") -> dict[str, list[str]]:
    """Of each vector: state, rho, the nearest mistake, how far that is."""
    done = subprocess.run([*built, str(kit), bug], check=True, capture_output=True, text=True)
    return {cells[0]: cells[1:] for cells in (li.split("\t") for li in done.stdout.splitlines())}


def test_a_right_implementation_passes(built: list[str], ops: Path) -> None:
    found = answers(built, ops)
    assert {id.split("/")[1] for id in found} == OPS
    assert {state for state, *_ in found.values()} == {"explained"}


@pytest.mark.parametrize("bug", BUGS)
def test_a_wrong_one_is_named(built: list[str], ops: Path, bug: str) -> None:
    mistake, where = BUGS[bug]
    found = answers(built, ops, bug)
    state, rho, nearest, left = found[where]
    assert state in ("unexplained", "impossible") and float(rho) > 100
    assert nearest == mistake and float(left) < 4
    for id, (state, *_) in found.items():
        touched = id.split("/")[1] in {mistake.split("/")[0], *(["geglu"] if bug == "tanh" else [])}
        assert touched or state == "explained", id


def test_a_damaged_kit_is_no_kit(built: list[str], ops: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(ops, kit)
    (kit / "ops/silu/grid.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nothing!")
    for broken in (kit, tmp_path):
        done = subprocess.run([*built, str(broken)], capture_output=True)
        assert done.returncode != 0


def test_the_readers_judge_as_refdiff_does(built: list[str], ops: Path) -> None:
    wrong = by_refdiff(EXACT, CATALOGUE["group_norm/eps-1e-06"])
    report = verify(ops, wrong, only="ops/group_norm/*")
    found = answers(built, ops, "eps")
    for t in report.tensors:
        state, rho, *_ = found[t.name.removesuffix(".y")]
        assert state == str(t.state) and (t.rho < 4 or abs(float(rho) / t.rho - 1) < 0.05), t.name


@pytest.mark.parametrize("language", BUILD)
def test_readers_are_short(ops: Path, language: str) -> None:
    assert (
        len((ops / f"refdiff_kit.{language.replace('cpp', 'hpp')}").read_text().splitlines()) < 200
    )
