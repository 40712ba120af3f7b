"""`refdiff bench` and `--explain-engine`: what is counted, and that it is done as it is said."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import refdiff
from refdiff import ops
from refdiff.cli import main
from refdiff.kernels import conv2d, kept, panels, price, product, winograd
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
        (lambda: ops.conv2d(zeros(1, 64, 16, 16), zeros(64, 64, 3, 3), padding=1), "Winogr", "W"),
        (lambda: ops.conv2d(zeros(1, 3, 16, 16), zeros(4, 3, 3, 3), padding=1), "columns", "c"),
        (
            lambda: ops.conv2d(zeros(1, 64, 4, 4), zeros(64, 64, 3, 3), padding=1),
            "columns",
            "c, some columns",  # of all pixels together, and multiplied as a linear layer is
        ),
        (lambda: ops.conv2d(zeros(1, 32, 32, 32), zeros(4, 32, 3, 3), stride=2), "rows", "r"),
        (lambda: ops.conv2d(zeros(1, 3, 16, 16), zeros(4, 3, 1, 1)), "pixels", "all"),
        (lambda: ops.linear(zeros(3, 4), zeros(5, 4)), "row by row", "dots"),
        (lambda: ops.linear(zeros(1, 30, 4), zeros(50, 4)), "some columns", "some columns"),
        (lambda: ops.linear(zeros(1, 30, 4), zeros(5, 4)), "all columns", "all"),
        (
            lambda: ops.linear(zeros(1, 30, 4, dtype=float), zeros(5, 4, dtype=float)),
            "BLAS",
            "BLAS",
        ),
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

    noted(winograd, "convolve", "W")
    noted(conv2d, "by_columns", "c")
    noted(conv2d, "by_rows", "r")
    noted(product, "_dots", "dots")
    noted(product, "_some_columns", "some columns")
    noted(product, "_multiply", "all")
    noted(product, "by_blas", "BLAS")
    with refdiff.engine("fast"), ledger() as found:
        call()
    ((_, _, how),) = found
    assert how.startswith(words)
    assert ", ".join(sorted({*walked})) == expected


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own, and no price remembered before or after."""
    monkeypatch.setenv("REFDIFF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "folder", kept.folder.__wrapped__)
    monkeypatch.setattr(price, "folder", kept.folder)
    price.price.cache_clear()
    yield tmp_path
    price.price.cache_clear()


def test_choices_are_calibrated(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert price.price() == price.USUAL
    assert main(["bench", "--calibrate"]) == 0
    told = capsys.readouterr().out
    (found,) = json.loads((cache / "machine.json").read_bytes()).values()
    assert price.price() == found != price.USUAL
    assert f"{found:.0f} operations" in told
    assert str(cache / "machine.json") in told


@pytest.mark.parametrize("value", [1.0, 60.0, 149.0, 1000.0])
def test_the_price_decides(value: float, cache: Path) -> None:
    """By the formula, where filters fill vectors; and what is said from where is what is done."""
    price.keep(value)
    whole = [c for c in range(panels.LANES, 1000, panels.LANES) if price.winograd_pays(c, c)]
    assert whole == [c for c in range(panels.LANES, 1000, panels.LANES) if c > value / 3]
    least = int(price.told().rsplit("from ", 1)[1].split()[0])

    def way(c: int) -> str:
        with refdiff.engine("fast"):
            return ops.conv2d.explain(zeros(1, c, 16, 16), zeros(c, c, 3, 3), padding=1)

    assert way(least).startswith("Winograd")
    assert least == 1 or not way(least - 1).startswith("Winograd")


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[]", b'{"%s": "150"}', b'{"%s": 1e9}', b'{"%s": NaN}', b"\xff"]
)
def test_a_damaged_price_is_not_believed(damaged: bytes, cache: Path) -> None:
    (cache / "machine.json").write_bytes(damaged.replace(b"%s", price.processor().encode()))
    assert price.price() == price.USUAL


def test_the_price_is_of_one_processor(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    price.keep(60.0)
    assert price.price() == 60.0
    monkeypatch.setattr(price.binding, "get_host_cpu_name", lambda: "another")
    price.price.cache_clear()
    assert price.price() == price.USUAL


def test_a_price_without_a_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price, "folder", lambda: None)
    price.price.cache_clear()
    assert price.price() == price.USUAL
    assert main(["bench", "--calibrate"]) == 2
    assert "cannot be kept" in capsys.readouterr().err


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
    assert main([*argv, "--engine", "fast"]) == 0
    told = capsys.readouterr().err
    assert "Winograd F(4x4,3x3)" in told
    assert "running maxima" in told
    assert "unwatched, the fast engine makes one pass" in told
    assert main(argv) == 0  # definitions, of a picture that small
    told = capsys.readouterr().err
    assert "definition" in told
    assert "Winograd" not in told and "unwatched" not in told
