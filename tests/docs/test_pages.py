"""README and docs are true: commands run, Python prints what it says, links lead somewhere."""

import contextlib
import hashlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from refdiff.cli import main
from refdiff.loading import shipped
from tests.bench.dialects import page
from tests.docs.fences import FENCE, fences

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)


def commands(page: Path) -> list[list[str]]:
    """Every `refdiff ...` line in the page's shell fences, those behind `&&` included."""
    lines = "\n".join(fences(page, "sh")).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("&&")]
    words = [shlex.split(part, comments=True) for part in parts]
    return [w[1:] for w in words if w and Path(w[0]).name == "refdiff"]


@by_page
def test_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one folder: a later command may use an earlier one's picture."""
    monkeypatch.chdir(tmp_path)
    for argv in commands(page):
        # where the reader's own checkpoint is named, the shipped one stands in for it
        argv = [str(shipped()) if word.startswith("PATH") else word for word in argv]
        assert main(argv) == 0, argv


def test_readme_has_the_two_commands() -> None:
    first, second = fences(README, "sh")[:2]
    assert "pip install" in first and "refdiff generate" in first and "-o frogs.png" in first
    assert "pip install" in second and "pytest" in second
    assert len(first.strip().replace("\\\n", "").splitlines()) == 1
    assert len(second.strip().replace("\\\n", "").splitlines()) == 1


@by_page
def test_python_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fences of a page share their names; `# ...` behind a print is what it prints."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in fences(page, "python"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        said = re.findall(r"^\s*print\(.*\)\s*#\s*(.*)$", code, re.MULTILINE)
        assert printed.getvalue().splitlines() == said, code


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@by_page
def test_nothing_of_a_machine_is_in_the_page(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", page.read_text())


def test_tables_are_those_of_the_code(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "docs" / "tables.py"), str(tmp_path)]
    subprocess.run(script, check=True)
    name = "configurations.md"
    assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text()


def test_the_dialects_are_those_of_the_code() -> None:
    """Their effects too, to the digit that is shown."""
    assert (ROOT / "docs" / "dialects.md").read_text() == page()


def test_the_card_s_checksums_are_those_of_the_files() -> None:
    folder = ROOT / "weights" / "emoji"
    lines = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.MULTILINE)
    files = {
        str(p.relative_to(folder))
        for p in folder.glob("*/*")
        if p.suffix in (".json", ".txt", ".safetensors")
    }
    assert {name for _, name in lines} == files | {"model_index.json"}
    for digest, name in lines:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert sum((folder / name).stat().st_size for _, name in lines) <= 25e6
