"""The tables of docs/noise.md are those of the code."""

import re
import runpy
from pathlib import Path

from refdiff.noise.names import NAMES
from refdiff.noise.torch_cuda import GPUS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "noise.md").read_text()


def test_the_table_is_what_the_script_prints():
    script = runpy.run_path(str(DOCS / "noise.py"))
    assert f"\n{script['table']()}\n" in PAGE
    assert set(NAMES) < set(script["NAMES"])


def test_every_gpu_is_accounted_for():
    rows = re.findall(r"^\| (`[^|]*) \| ([0-9x, ]+) \|", PAGE, re.MULTILINE)
    said = {}
    for names, sizes in rows:
        for name, size in zip(names.split(", "), sizes.split(", "), strict=True):
            said[name.strip("`")] = tuple(map(int, size.split(" x ")))
    assert said == GPUS
