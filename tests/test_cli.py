"""The command line as a user meets it: pictures, notes, and one sentence for whatever is wrong."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refdiff import safetensors
from refdiff.cli import main
from refdiff.errors import RefdiffError
from refdiff.loading import shipped
from refdiff.pictures import read_settings, save_png
from refdiff.progress import Progress, duration, line

QUICK = ["--steps", "2", "--guidance", "2", "--size", "32x16"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_picture_says_how_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["generate", "a frog ✓", "-o", "a.png", "--seed", "3", "--negative", "dog", *QUICK]
    assert main([*argv, "--sampler", "euler_a", "--guidance-rescale", "0.5"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.png\n" and err == ""
    note = read_settings("a.png")
    assert (
        note["prompt"] == "a frog ✓" and note["size"] == [32, 16] and note["sampler"] == "euler_a"
    )
    assert pixels("a.png").shape == (16, 32, 3)
    assert main(["generate", "--like", "a.png", "-o", "b.png"]) == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    assert read_settings("b.png") == note
    assert main(["generate", "--like", "a.png", "-o", "c.png", "--seed", "4"]) == 0
    assert not np.array_equal(pixels("a.png"), pixels("c.png"))


def test_several_pictures_and_one_of_them_again() -> None:
    assert main(["generate", "a cat", "-o", "x.png", "--count", "2", *QUICK]) == 0
    assert sorted(os.listdir()) == ["x-0.png", "x-1.png"]
    assert main(["generate", "--like", "x-1.png", "-o", "y.png"]) == 0
    assert np.array_equal(pixels("x-1.png"), pixels("y.png"))
    assert not np.array_equal(pixels("x-0.png"), pixels("y.png"))


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_latents_in_and_out(suffix: str) -> None:
    noise = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype(np.float32)
    np.save("in.npy", noise)
    safetensors.write("in.safetensors", {"latents": noise})
    argv = ["generate", "a cat", *QUICK, "--latents", f"in{suffix}", "--save-latents", f"o{suffix}"]
    assert main([*argv, "-o", "a.png"]) == 0
    out = np.load("o.npy") if suffix == ".npy" else safetensors.read("o.safetensors")["latents"]
    assert out.shape == noise.shape and np.isfinite(out).all()
    os.remove(f"in{suffix}")  # the picture's note holds the noise too
    assert main(["generate", "--like", "a.png", "-o", "b.png"]) == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))


def test_engine_and_dtype() -> None:
    for engine, dtype in (("reference", "float64"), ("fast", "float32")):
        argv = ["generate", "a cat", *QUICK, "--engine", engine, "--dtype", dtype]
        assert main([*argv, "-o", f"{engine}.png"]) == 0
        assert read_settings(f"{engine}.png")["engine"] == engine
    gap = pixels("reference.png").astype(int) - pixels("fast.png")
    assert np.abs(gap).max() <= 1


def test_warm_up_says_where_machine_code_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup"]) == 0
    told = capsys.readouterr()
    assert Path(told.out.strip()).is_dir()
    assert "functions compiled" in told.err


def test_warm_up_without_a_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refdiff.kernels.kept.folder", lambda: None)
    assert main(["warmup"]) == 2
    assert "set REFDIFF_CACHE_DIR to a folder that can" in capsys.readouterr().err


def test_threads_change_nothing() -> None:
    for count in ("1", "3"):
        assert main(["generate", "a cat", *QUICK, "--threads", count, "-o", f"{count}.png"]) == 0
    assert Path("1.png").read_bytes() == Path("3.png").read_bytes()


def test_a_prompt_too_long_for_the_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "frog " * 50, *QUICK]) == 0
    assert "50 tokens, the model reads the first 30" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "no prompt"),
        (["a cat", "--steps", "0"], "steps"),
        (["a cat", "--steps", "1001"], "steps"),
        (["a cat", "--guidance", "nan"], "finite"),
        (["a cat", "--guidance=-inf"], "finite"),
        (["a cat", "--sampler", "magic"], "'magic'"),
        (["a cat", "--size", "63x64"], "multiples of 4"),
        (["a cat", "--size", "4000000x4000000"], "multiples of 4"),
        (["a cat", "--size", "0x0"], "multiples of 4"),
        (["a cat", "--count", "0"], "count"),
        (["a cat", "--count", "100000000"], "count"),
        (["a cat", "--seed", str(2**80)], "seed"),
        (["x" * 1_000_000], "1000000 characters"),
        (["a cat", "-o", "nowhere/a.png"], "no folder"),
        (["a cat", "-o", "."], "folder"),
        (["a cat", "--save-latents", "nowhere/a.npy"], "no folder"),
        (["a cat", "--save-latents", "a.txt"], "a.txt"),
        (["a cat", "--latents", "missing.npy"], "missing.npy"),
        (["a cat", "--latents", "a.txt"], "a.txt"),
        (["a cat", "--model", "nowhere"], "nowhere"),
        (["a cat", "--model", "."], "model_index.json"),
        (["--like", "missing.png"], "missing.png"),
        (["a cat", "--threads", "0"], "0 threads"),
        (["a cat", "--threads", "100000"], "100000 threads"),
    ],
)
def test_bad_requests(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["generate", *argv], words, capsys)


def refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one sentence that holds `words`, and no file that was not there before."""
    before = sorted(os.listdir())
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err, err
    assert err.startswith("refdiff: ") and err.count("\n") == 1 and len(err) < 600, err
    assert sorted(os.listdir()) == before


def test_words_that_the_grammar_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["generate", "a cat", "--size", "big"], ["paint"], ["generate", "--steps", "x"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2
    assert "512x384" in capsys.readouterr().err


def tensors(path: Path) -> dict[str, np.ndarray]:
    return {name: np.array(a) for name, a in safetensors.read(path).items()}


def edit_tensors(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "vae" / "diffusion_pytorch_model.safetensors"
        arrays = tensors(path)
        change(arrays)
        safetensors.write(path, arrays)

    return edit


def edit_json(name: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / name).read_text())
        change(config)
        (folder / name).write_text(json.dumps(config))

    return edit


def cut(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def lie(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes((2**60).to_bytes(8, "little") + path.read_bytes()[8:])


def unreadable(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.mkdir()


BIAS = "decoder.conv_in.bias"


def poison(value: float) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda t: t[BIAS].__setitem__(0, value)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (cut, "diffusion_pytorch_model.safetensors"),
    "lying header": (lie, "diffusion_pytorch_model.safetensors"),
    "unreadable": (unreadable, "diffusion_pytorch_model.safetensors"),
    "missing tensor": (edit_tensors(lambda t: t.pop(BIAS)), BIAS),
    "extra tensor": (edit_tensors(lambda t: t.update(more=t[BIAS])), "more"),
    "wrong shape": (edit_tensors(lambda t: t.update({BIAS: t[BIAS][:3]})), BIAS),
    "nan": (edit_tensors(poison(np.nan)), BIAS),
    "infinity": (edit_tensors(poison(np.inf)), BIAS),
    "no weights": (lambda f: (f / "vae/diffusion_pytorch_model.safetensors").unlink(), "vae"),
    "unknown key": (edit_json("unet/config.json", lambda c: c.update(warp=9)), "warp"),
    "unknown value": (edit_json("unet/config.json", lambda c: c.update(act_fn="relu")), "act_fn"),
    "missing key": (edit_json("unet/config.json", lambda c: c.pop("_class_name")), "_class_name"),
    "another size": (
        edit_json("unet/config.json", lambda c: c.update(cross_attention_dim=96)),
        "unet",
    ),
    "unknown scheduler": (
        edit_json("scheduler/scheduler_config.json", lambda c: c.update(_class_name="X")),
        "model_index.json",
    ),
    "unknown scheduler key": (
        edit_json("scheduler/scheduler_config.json", lambda c: c.update(warp=1)),
        "warp",
    ),
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json"),
    "no json": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json"),
    "vocabulary": (lambda f: (f / "tokenizer/vocab.json").write_text("[]"), "vocab.json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checkpoints(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, words = BROKEN[name]
    folder = copy_of_shipped(tmp_path / "model")
    break_it(folder)
    refused(["generate", "a cat", "--model", str(folder), *QUICK], words, capsys)


def copy_of_shipped(target: Path) -> Path:
    """The shipped checkpoint, its large files linked, the rest to be broken at will."""
    for path in shipped().rglob("*"):
        if path.is_file() and "recipe" not in path.parts:
            place = target / path.relative_to(shipped())
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_size > 5 << 20:
                place.symlink_to(path)
            else:
                place.write_bytes(path.read_bytes())
    return target


def test_the_copy_is_whole_when_nothing_is_broken(tmp_path: Path) -> None:
    folder = copy_of_shipped(tmp_path / "model")
    assert main(["generate", "a cat", "--model", str(folder), *QUICK]) == 0
    assert main(["generate", "a cat", *QUICK, "-o", "b.png"]) == 0
    assert read_settings("out.png") == read_settings("b.png")


def test_a_single_component_is_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    refused(["generate", "a", "--model", str(shipped() / "vae")], "single component", capsys)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"steps": "many"}, "steps"),
        ({"steps": True}, "steps"),
        ({"size": [1]}, "size"),
        ({"size": [4.5, 4]}, "size"),
        ({"weights": "others"}, "other weights"),
        ({"latents": "%%%"}, "damaged"),
        ({"latents": "eJw="}, "damaged"),
        ({"latents": 7}, "damaged"),
        ({"engine": "warp"}, "engine"),
        ({"engine": ["fast"]}, "engine"),
        ({"dtype": "warp"}, "dtype"),
        ({"dtype": "float16"}, "dtype"),
        ({"sampler": "warp"}, "warp"),
        ({"prompt": 7}, "prompt"),
        ({"guidance": 1e400}, "finite"),
        ({"seed": 2**70}, "seed"),
    ],
)
def test_hostile_notes(
    note: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["generate", "a cat", "-o", "a.png", *QUICK])
    capsys.readouterr()
    save_png(Image.new("RGB", (4, 4)), "bad.png", {**read_settings("a.png"), **note})
    refused(["generate", "--like", "bad.png"], words, capsys)


def test_pictures_without_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (4, 4)).save("plain.png")
    Path("text.png").write_text("no picture")
    refused(["generate", "--like", "plain.png"], "does not say", capsys)
    refused(["generate", "--like", "text.png"], "text.png", capsys)


def test_damaged_latents(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False}")
    safetensors.write("two.safetensors", {"a": np.zeros(1), "b": np.zeros(1)})
    np.save("wrong.npy", np.zeros((1, 4, 3, 3)))
    for file, words in (
        ("a.npy", "a.npy"),
        ("two.safetensors", "2 tensors"),
        ("wrong.npy", "shape"),
    ):
        refused(["generate", "a cat", *QUICK, "--latents", file], words, capsys)


def test_interrupted_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    assert main(["generate", "a cat", *QUICK]) == 130
    assert os.listdir() == [] and "interrupted" in capsys.readouterr().err


def test_control_c_in_the_middle_of_the_work() -> None:
    argv = [sys.executable, "-m", "refdiff", "generate", "a cat", "--steps", "900"]
    work = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has its children ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(5)
    work.send_signal(signal.SIGINT)
    out, err = work.communicate(timeout=60)
    assert work.returncode == 130 and out == "" and err.count("\n") == 1, err
    assert os.listdir() == []


def test_a_reader_that_goes_away_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = f"{sys.executable} -m refdiff generate 'a cat' {' '.join(QUICK)}"
    piped = f"set -o pipefail; {argv} | (exec 0<&-; sleep 0); test $? -le 1"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    monkeypatch.setattr("refdiff.pipeline.Pipeline.__call__", starve)
    assert main(["generate", "a cat"]) == 2


def starve(*_args: object, **_options: object) -> None:
    raise MemoryError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals_only() -> None:
    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        bar = Progress(stream)
        bar(1, 3)
        bar(2, 3)
        bar.close()
        assert ("step 2/3" in stream.getvalue()) is seen
        assert stream.getvalue().endswith("\x1b[K") is seen


def test_what_the_bar_says() -> None:
    assert line(3, 24, 2.0) == "step 3/24 [###.....................] 2.00 s/step, 42 s left"
    assert [duration(s) for s in (0.4, 200, 7500)] == ["0 s", "3 min 20 s", "2 h 5 min"]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["generate", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 0
        assert "examples:" in capsys.readouterr().out


def test_errors_are_one_family() -> None:
    from refdiff import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    assert all(issubclass(kind, RefdiffError) for kind in kinds) and len(kinds) == 5
