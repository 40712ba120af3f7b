"""`refdiff bench` and `--explain-engine`: what is counted, and that it is done as it is said."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import refdiff
from refdiff import ops
from refdiff.cli import main
from refdiff.kernels import product, winograd
from refdiff.ledger import ledger

F32 = np.float32


def zeros(*shape: int, dtype: type = F32) -> np.ndarray:
    return np.zeros(shape, dtype)


def test_work_is_counted_as_textbooks_do() -> None:
    with refdiff.engine("fast"), ledger() as found:
        ops.conv2d(zeros(2, 3, 8, 6), zeros(4, 3, 3, 3), padding=1)
        ops.linear(zeros(2, 10, 5), zeros(7, 5), zeros(7))
        ops.attention(zeros(2, 3, 10, 4), zeros(2, 3, 6, 4), zeros(2, 3, 6, 5))
        ops.add(zeros(3, 4), zeros(3, 4))
    work = {key[0]: entry.operations for key, entry in found.items()}
    assert work["conv2d"] == 2 * (2 * 4 * 8 * 6) * (3 * 9)
    assert work["linear"] == 2 * (2 * 10 * 7) * 5
    assert work["attention"] == 2 * 2 * 3 * 10 * 6 * (4 + 5)
    assert work["add"] == 12
    moved = {key[0]: entry.bytes for key, entry in found.items()}
    assert moved["add"] == 3 * 12 * 4
    assert moved["linear"] == 4 * (2 * 10 * 5 + 7 * 5 + 7 + 2 * 10 * 7)


def test_ops_within_ops_are_not_counted_twice() -> None:
    with ledger() as found:
        ops.attention(zeros(1, 1, 10, 4), zeros(1, 1, 6, 4), zeros(1, 1, 6, 4))  # takes softmax
    assert [key[0] for key in found] == ["attention"]
    with ledger() as found, pytest.raises(refdiff.ShapeError):
        ops.linear(zeros(3, 4), zeros(3, 5))
    assert not found


@pytest.mark.parametrize(
    ("call", "words", "expected"),
    [
        (lambda: ops.conv2d(zeros(1, 3, 16, 16), zeros(4, 3, 3, 3), padding=1), "Winogr", "tiles"),
        (lambda: ops.conv2d(zeros(1, 3, 4, 4), zeros(4, 3, 3, 3), padding=1), "columns", "laid"),
        (lambda: ops.conv2d(zeros(1, 3, 16, 16), zeros(4, 3, 3, 3), stride=2), "columns", "laid"),
        (lambda: ops.conv2d(zeros(1, 3, 16, 16), zeros(4, 3, 1, 1)), "pixels", "laid"),
        (lambda: ops.linear(zeros(3, 4), zeros(5, 4)), "row by row", "dots"),
        (lambda: ops.linear(zeros(1, 30, 4), zeros(50, 4)), "some columns", "some columns"),
        (lambda: ops.linear(zeros(1, 30, 4), zeros(5, 4)), "all columns", "laid"),
        (lambda: ops.linear(zeros(1, 30, 4, dtype=float), zeros(5, 4, dtype=float)), "BLAS", ""),
        (lambda: ops.silu(zeros(3)), "kernel", ""),
    ],
)
def test_what_is_said_is_what_was_done(
    call: Callable[[], object], words: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the ways that there are, exactly the one that is named is walked."""
    walked = []

    def noted(module: ModuleType, name: str, word: str) -> None:
        right = getattr(module, name)

        def call(*args: object, **options: object) -> object:
            walked.append(word)
            return right(*args, **options)

        monkeypatch.setattr(module, name, call)

    noted(winograd, "convolve", "tiles")
    noted(product, "dots", "dots")
    noted(product, "by_columns", "some columns")
    noted(product, "laid", "laid")
    with refdiff.engine("fast"), ledger() as found:
        call()
    ((_, _, how),) = found
    assert how.startswith(words)
    assert "".join({*walked}) == expected


def test_definitions_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    with ledger() as found:
        ops.silu(zeros(3))
    assert [key[2] for key in found] == ["definition"]


def test_the_command_says_where_time_goes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "roof.png"
    assert main(["bench", "--size", "32x32", "--top", "3", "--plot", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "GFLOP/s in products" in told
    assert told.count("conv2d") >= 1
    assert "(--top " in told
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 500
    assert main(["bench", "--size", "32x32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {line["op"] for line in told["parts"]["U-Net"]} >= {"conv2d", "linear", "attention"}
    assert all(line["seconds"] > 0 for part in told["parts"].values() for line in part)


def test_no_lines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--top", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err


def test_a_component_is_no_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    from refdiff.loading import shipped

    assert main(["bench", "--model", str(shipped() / "unet")]) == 2
    assert "name the whole checkpoint's folder" in capsys.readouterr().err


def test_generate_explains_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["generate", "a cat", "--steps", "2", "--explain-engine"]
    assert main(argv) == 0
    told = capsys.readouterr().err
    assert "Winograd F(4x4,3x3)" in told
    assert "running maxima" in told
    assert main([*argv[:-1], "--engine", "reference", "--explain-engine"]) == 0
    told = capsys.readouterr().err
    assert "definition" in told
    assert "Winograd" not in told
