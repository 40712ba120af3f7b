"""Machine code on disk: kept, found again, and never in the way."""

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refdiff.kernels import jit, kept
from refdiff.warmup import compiling_beside
from refdiff.workers import threads

COMPUTE = """
import numpy as np, refdiff
x = np.linspace(-3, 3, 101, dtype=np.float32)
with refdiff.engine("fast"):
    y = refdiff.ops.silu(x)
assert abs(y - x / (1 + np.exp(-x.astype(float)))).max() < 1e-6
from refdiff.kernels.activations import silu32
print(len(silu32.stats.cache_hits), len(silu32.stats.cache_misses))
"""


def compute(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMPUTE],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def hits_and_misses(process: subprocess.Popen[str]) -> tuple[int, ...]:
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return tuple(map(int, told.split()))


def test_two_at_once_and_one_after_them(tmp_path: Path) -> None:
    """One of them compiles, the other waits for it."""
    both = [compute(REFDIFF_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert {hits_and_misses(process) for process in both} == {(0, 1), (1, 0)}
    assert hits_and_misses(compute(REFDIFF_CACHE_DIR=str(tmp_path))) == (1, 0)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_what_is_damaged_is_made_anew(kind: str, tmp_path: Path) -> None:
    assert hits_and_misses(compute(REFDIFF_CACHE_DIR=str(tmp_path))) == (0, 1)
    files = list(tmp_path.glob(f"*/*_silu32*.{kind}"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert hits_and_misses(compute(REFDIFF_CACHE_DIR=str(tmp_path))) == (0, 1)
    assert hits_and_misses(compute(REFDIFF_CACHE_DIR=str(tmp_path))) == (1, 0)


@pytest.mark.parametrize("variable", ["REFDIFF_CACHE_DIR", "XDG_CACHE_HOME", "HOME"])
def test_without_a_place_nothing_is_kept(variable: str, tmp_path: Path) -> None:
    """Where a folder is named, or the home, stands a file."""
    taken = tmp_path / "file"
    taken.touch()
    unset = {"REFDIFF_CACHE_DIR": "", "XDG_CACHE_HOME": ""}
    for _ in range(2):
        assert hits_and_misses(compute(**{**unset, variable: str(taken)})) == (0, 1)


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that is read-only: what is there may be seen, not changed."""
    assert kept.folder() is not None
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert kept.folder.__wrapped__() is None


def test_a_second_process_begins_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves on disk what this one has not compiled, and ends with the block."""
    monkeypatch.setenv("REFDIFF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "folder", kept.folder.__wrapped__)
    place = kept.folder()
    assert place is not None
    with threads(2), compiling_beside():
        end = time.monotonic() + 120
        while time.monotonic() < end and not any(place.glob("*winograd._some_tiles*.nbi")):
            time.sleep(0.1)
    assert any(place.glob("*winograd._some_tiles*.nbi"))
    assert not any(place.glob("*layer_norm*.nbi"))


DRAW = """
import refdiff
from refdiff import strips
from refdiff.kernels.jit import compiled
strips.LARGE = 1 << 12
for kind in "normal", "small":
    with refdiff.memory(kind), refdiff.engine("fast"):
        refdiff.load()("frogs", steps=1, guidance=2.0)
print(compiled())
"""


def test_nothing_is_left_to_compile_after_a_warm_up(tmp_path: Path) -> None:
    """With as many threads as there are, and with others; by strips, too."""
    here = {**os.environ, "REFDIFF_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "refdiff", "warmup"], check=True, env=here)
    for count in "1", "2", "3":
        argv = [sys.executable, "-c", DRAW]
        told = subprocess.check_output(argv, text=True, env={**here, "OMP_NUM_THREADS": count})
        assert told == "0\n"


@pytest.mark.parametrize("why", ["one thread", "not empty", "no place"])
def test_none_is_started_where_it_does_not_help(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*args: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(kept, "folder", lambda: None if why == "no place" else tmp_path)
    if why == "not empty":
        (tmp_path / "kernel.nbi").touch()
    with threads(1 if why == "one thread" else 2), compiling_beside():
        pass


def test_garbage_is_collected_again_after_compiling() -> None:
    """However many compile within each other, and where it was not collected before."""
    with jit.uncollected():
        with jit.uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), jit.uncollected():
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with jit.uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


WHILE_COMPILING = """
import os, signal, threading
import numpy as np
from refdiff.kernels import jit

begun = threading.Event()

@jit.jit
def other(x):
    return x.sum() + 1

@jit.jit
def slow(x):
    return np.sort(x)[::-1] @ x

def tell(compile):
    def told(*args):
        with jit.compiling:
            begun.set()
            return compile(*args)
    return told

slow.compile = tell(slow.compile)
thread = threading.Thread(target=slow, args=(np.ones(3),))
thread.start()
begun.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(int(other(np.ones(3)) != 4))
thread.join()
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_until_nothing_is_compiled(tmp_path: Path) -> None:
    """Else the compiler's locks would stay taken in the child, by a thread that is not there."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WHILE_COMPILING],
        check=True,
        timeout=120,
        env={**os.environ, "REFDIFF_CACHE_DIR": str(tmp_path)},
    )
