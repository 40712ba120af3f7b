"""C++ programs as oracles: built once per test module, run with arguments, answering in bytes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest


def build(folder: Path, source: str, *flags: str) -> Path:
    """Compile a program into the folder; without g++ the tests that need it fail and say so."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.fail("these tests compare with a C++ program: g++ was not found, so install it")
    (folder / "oracle.cpp").write_text(source)
    program = folder / "oracle"
    command = [compiler, "-O1", *flags, "-o", str(program), str(folder / "oracle.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def answer(program: Path, dtype: type, *arguments: object) -> np.ndarray:
    """The numbers of `dtype` that the program writes."""
    command = [str(program), *map(str, arguments)]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, dtype)
