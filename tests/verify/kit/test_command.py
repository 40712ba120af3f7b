"""The commands, with programs that answer, fail, hang and lie."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from refdiff import safetensors
from refdiff.cli import main
from refdiff.verify.kit.read import read_kit
from tests.verify.kit.implementations import by_torch

PROGRAM = """
import json, sys
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], "numpy") as file:
    told = json.loads(file.metadata()["attributes"])
    assert not [name for name in file.keys() if name.startswith(("out.", "neg."))]
    x = file.get_tensor("in.x")
{body}
save_file({{"out.y": y}}, sys.argv[2])
"""
SILU = "y = x / (1 + np.exp(-x))"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


def run(kit: Path, program: Path, body: str, *options: str) -> int:
    program.write_text(PROGRAM.format(body=body))
    command = f"{sys.executable} {program} {{in}} {{out}}"
    return main(["verify", str(kit), "--exec", command, *options])


def test_a_program_that_is_right(
    ops: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", "ops/silu/[gt]*")
    assert run(ops, program, SILU, *only, "--twice") == 0
    assert capsys.readouterr().out.startswith("right: everything is explained by rounding (exit 0)")
    report = program.with_suffix(".xml")
    assert run(ops, program, SILU, *only, "--json", "--junit", str(report)) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "explained" and report.exists()


@pytest.mark.parametrize(
    ("body", "options", "status", "said"),
    [
        ("y = np.maximum(x, 0)", (), 1, "you match neg.silu/relu (relu instead of silu)"),
        ("sys.exit('no such op')", (), 3, "the command ended with 1: no such op"),
        ("raise ValueError('two\\nlines')", (), 3, "the command ended with 1: lines"),
        ("sys.exit(0)", (), 3, "the command ended well and wrote no {out}"),
        ("open(sys.argv[2], 'w').write('?'); sys.exit(0)", (), 3, "out.safetensors"),
        ("import time; time.sleep(60)", ("--timeout", "1"), 3, "took longer than 1 seconds"),
        (f"{SILU}; y[0] += np.random.rand() * 1e-7", ("--twice",), 4, "not the same"),
    ],
)
def test_programs_that_are_not(
    ops: Path,
    program: Path,
    capsys: pytest.CaptureFixture[str],
    body: str,
    options: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    assert run(ops, program, body, "--only", "ops/silu/grid", *options) == status
    printed = capsys.readouterr().out
    assert said in printed and len(printed.splitlines()) <= 4


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("./mine", "does not say where {in} and {out} go"),
        ("'./mine {in} {out}", "is no command line"),
        ("./not/there {in} {out}", "cannot run './not/there'"),
    ],
)
def test_commands_that_are_none(
    ops: Path, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert main(["verify", str(ops), "--exec", command]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and len(printed.err.splitlines()) == 1 and not printed.out


def test_answers_in_files(ops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of any format; what is not there is said."""
    answer, dumps = by_torch(), tmp_path / "dumps"
    argv = ["verify", str(ops), "--dumps", str(dumps), "--only", "ops/silu/*"]
    assert main(argv) == 2 and "is no folder" in capsys.readouterr().err
    (dumps / "ops/silu").mkdir(parents=True)
    entries = [entry for entry in read_kit(ops) if entry.of == "silu"]
    for i, entry in enumerate(entries):
        outputs = answer(entry, entry.tensors())
        if i % 2:
            np.savez(dumps / f"{entry.id}.npz", **outputs)
        else:
            safetensors.write(dumps / f"{entry.id}.safetensors", outputs)
    assert main(argv) == 0 and f"{len(entries)} explained" in capsys.readouterr().out
    (dumps / f"{entries[1].id}.npz").unlink()
    assert (
        main(argv) == 3 and "not compared  ops/silu/bend.y: there is no" in capsys.readouterr().out
    )


def test_a_kit_is_written_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = tmp_path / "kit"
    argv = ["vectors", "-o", str(kit), "--only", "ops/add/*"]
    assert main(argv) == 0 and capsys.readouterr().out.startswith(f"{kit}: 6 vectors, ")
    assert main([*argv[:-1], "ops/geglu/odd"]) == 0  # a kit is replaced
    assert [p.name for p in kit.rglob("*.safetensors")] == ["odd.safetensors"]
    assert {p.name for p in kit.glob("*.*")} == {"manifest.json", "vectors.tsv"} | {
        f"refdiff_kit.{language}" for language in ("hpp", "rs", "mjs")
    }
    shutil.rmtree(kit)
    kit.mkdir()
    (kit / "thesis.txt").write_text("irreplaceable")
    capsys.readouterr()
    assert main(argv) == 2 and "holds other things than a kit" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["kit"] and list(kit.iterdir())
    assert main(["vectors", "-o", str(tmp_path / "no" / "kit"), "--only", "ops/add/*"]) == 2
