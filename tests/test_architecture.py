"""The rooms: imports go only upwards, no circle, no framework; importing stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import refdiff

ROOT = Path(refdiff.__file__).parent
# Room -> the rooms it may import, beside errors and itself; from the ground floor up.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "atomic": set(),
    "strict_json": set(),
    "files": {"strict_json"},
    "memory": set(),
    "workers": set(),
    "interrupts": set(),
    "op": {"workers"},
    "kernels": {"op", "workers", "interrupts", "memory", "atomic"},
    "ops": {"op", "kernels"},
    "strips": {"op", "ops", "kernels"},
    "safetensors": {"atomic", "strict_json"},
    "version": set(),
    "selection": set(),
    "trace": {"op", "safetensors"},
    "stream": {"op", "safetensors"},
    "sketch": {"op", "files"},
    "manifest": {"op", "sketch", "version"},
    "tracefile": {"op", "atomic", "trace", "selection", "stream", "sketch", "manifest"},
    "tracing": {"op", "trace", "tracefile"},
    "recording": {"op", "trace", "tracefile"},
    "params": {"op", "trace", "kernels", "memory"},
    "nn": {"op", "ops", "params"},
    "diffusion": set(),
    "noise": set(),
    "text": {"files"},
    "checkpoints": {"safetensors", "strict_json", "files", "params", "nn", "diffusion", "text"},
    "components": {"workers", "memory", "op", "params", "trace", "nn", "strips"},
    "checks": {"op", "components", "text"},
    "pictures": {"op", "atomic"},
    "latents": {"op", "atomic", "safetensors"},
    "plots": set(),
    "tables": set(),
    "ledger": {"op", "ops", "tables"},
    "draws": {"op", "noise", "diffusion"},
    "pipeline": {"op", "draws", "trace", "components", "diffusion", "noise", "text", "pictures"}
    | {"checks"},
    "loading": {"files", "checkpoints", "components", "diffusion", "text", "pipeline"},
    "verify": {"op", "atomic", "strict_json", "files", "safetensors", "trace", "params", "nn"}
    | {"selection", "version", "workers"}
    | {"ops", "diffusion", "noise", "text", "checkpoints", "components", "loading", "pipeline"},
    "comparing": {"op", "verify"},
    "comparecommand": {"atomic", "comparing", "verify"},
    "kitcommand": {"atomic", "comparecommand", "verify"},
    "progress": set(),
    "arguments": {"strict_json"},
    "warmup": {"op", "ops", "kernels", "params", "workers"},
    "generate": {"op", "atomic", "checkpoints", "loading", "pipeline", "pictures", "latents"}
    | {"checks", "ledger", "memory", "progress", "warmup"},
    "tracecommand": {"op", "atomic", "safetensors", "components", "generate", "loading", "manifest"}
    | {"pipeline", "latents", "progress", "trace", "tracefile", "tracing", "verify"},
    "show": {"atomic", "diffusion", "loading", "plots", "tables"},
    "bench": {"op", "ops", "kernels", "atomic", "ledger", "loading", "pipeline", "plots", "tables"},
    "cli_verify": {"arguments", "comparecommand", "kitcommand"},
    "cli": {
        "bench",
        "generate",
        "memory",
        "show",
        "warmup",
        "tracecommand",
        "cli_verify",
        "selection",
        "arguments",
        "version",
        "workers",
    },
    "__main__": {"cli"},
    "refdiff": {"noise", "ops", "op", "diffusion", "loading", "pipeline", "text", "trace"}
    | {"comparing", "memory", "recording", "sketch", "tracing", "version", "workers"},
}
OUTSIDE: dict[str, set[str]] = {  # which libraries a room may use
    "workers": {"threadpoolctl"},
    "kernels": {"llvmlite", "numba", "numpy", "scipy"},
    "ops": {"numpy", "scipy"},
    "diffusion": {"numpy", "scipy"},
    "errors": set(),
    "text": set(),
    "strict_json": set(),
    "files": set(),
    "atomic": set(),
    "progress": set(),
    "pictures": {"numpy", "PIL"},
    "plots": {"numpy", "PIL"},
    "pipeline": {"numpy", "PIL"},
    "verify": {"numpy", "scipy", "PIL"},
}


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "refdiff" if first == "__init__" else first


def imports(source: str, path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    package = ["refdiff", *path.relative_to(ROOT).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [node.module])])
            names |= {f"{base}.{a.name}" for a in node.names} if base == "refdiff" else {base}
    return names


def faults(source: str, path: Path) -> list[str]:
    room = room_of(path)
    found = []
    for name in imports(source, path):
        top, _, rest = name.partition(".")
        if top == "refdiff":
            other = rest.split(".")[0]
            other = other if other in ROOMS else "refdiff"
            if other not in {room, "errors", *ROOMS[room]}:
                found.append(f"{path.name}: {room} imports {name}")
        elif top not in sys.stdlib_module_names | OUTSIDE.get(room, {"numpy"}):
            found.append(f"{path.name}: {room} imports {name}")
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_upwards_only(path: Path) -> None:
    assert faults(path.read_text(), path) == []


def test_the_table_of_rooms_goes_upwards() -> None:
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        if room not in ("refdiff", "cli"):
            assert all(order.index(other) < order.index(room) for other in allowed), room
    assert {room_of(path) for path in FILES} == set(ROOMS)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("nn/x.py", "from refdiff.diffusion import loop"),
        ("noise/x.py", "import torch"),
        ("ops/x.py", "from refdiff.nn.unet import unet"),
        ("nn/x.py", "def f():\n    import jax.numpy"),
        ("nn/x.py", "from ..text import Tokenizer"),
        ("diffusion/x.py", "from refdiff import load"),
    ],
)
def test_the_walk_can_say_no(room: str, line: str) -> None:
    assert faults(line, ROOT / room)


def test_importing_is_cheap_and_needs_no_framework() -> None:
    """What makes an import slow stays out until it is used: docs/performance.md has the figure."""
    code = (
        "import sys\n"
        "for name in ('torch', 'diffusers', 'transformers', 'safetensors', 'jax'):\n"
        "    sys.modules[name] = None\n"
        "import refdiff, refdiff.cli\n"
        "slow = ('numba', 'llvmlite', 'scipy.special', 'scipy.linalg')\n"
        "print([name for name in slow if name in sys.modules])\n"
        "pipe = refdiff.load()\n"
        "pipe('a frog', steps=1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_fit_a_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "path", [p for p in FILES if "ENTRY = Entry(" in p.read_text()], ids=lambda p: p.stem
)
def test_a_sampler_fits_a_screen_or_three(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 150
