"""Whether compare says yes to what is right: docs/alarms.md.

    python -m tests.bench.alarms docs

Honest runs of small models, seed by seed: PyTorch in float32, float16 and bfloat16, torch.compile,
and exports to ONNX Runtime and OpenVINO where they are installed (pip install refdiff[peers]). The
histogram is of every tensor's local error in units of honest rounding.
"""

import contextlib
import io
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch

import refdiff
from refdiff.loading import shipped
from refdiff.verify.compare import compare
from refdiff.verify.report import Report
from tests.verify.tiny import KINDS, SD2, Tiny, normal, tiny

SEEDS = 17  # for each kind of model and each dtype: 4 x 3 x 17 = 204 runs
EXPORTS = 4  # seeds for each compiler and runtime
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BINS = (0, 0.5, 1, 1.5, 2, 3, 4, 8, 16, np.inf)
Dump = dict[str, np.ndarray]


class Run(NamedTuple):
    """A run, and what was said of it."""

    by: str
    kind: str
    seed: int
    report: Report


def models(seeds: int) -> Iterator[tuple[int, Tiny]]:
    """Both shapes of U-Net in turn, and the others."""
    for seed in range(seeds):
        for kind in KINDS:
            yield seed, tiny(kind, 1000 + seed, SD2 if kind == "unet" and seed % 2 else None)


def torch_runs() -> Iterator[Run]:
    """PyTorch, module by module, in three formats."""
    for seed, model in models(SEEDS):
        reference = model.reference()
        for dtype in DTYPES:
            said = compare(reference, model.candidate(dtype=dtype), model.ours)
            yield Run(f"torch {str(dtype).split('.')[1]}", model.kind, seed, said)


def shipped_runs() -> Iterator[Run]:
    """The shipped model's U-Net in PyTorch."""
    ours = refdiff.load().unet
    theirs = diffusers.UNet2DConditionModel.from_pretrained(shipped() / "unet").eval()
    for seed in range(EXPORTS):
        rng = np.random.default_rng(seed)
        inputs = {
            "sample": normal(rng, 2, ours.config.in_channels, 6, 8),
            "timestep": np.array([901, 21]),
            "encoder_hidden_states": normal(rng, 2, 32, ours.config.context),
        }
        model = Tiny("unet", theirs, ours, inputs)
        reference = model.reference()
        for dtype in DTYPES:
            said = compare(reference, model.candidate(dtype=dtype), ours)
            name = f"torch {str(dtype).split('.')[1]}, the shipped model"
            yield Run(name, "unet", seed, said)


def output_of(model: Tiny, call: Callable[..., Any]) -> Dump:
    """What a compiled or exported U-Net says: its output alone."""
    return {"output": np.asarray(call(*model.inputs.values()))}


def compiled(model: Tiny) -> Dump:
    """torch.compile."""
    graph = torch.compile(model.torch)
    with torch.no_grad():
        return output_of(model, lambda *x: graph(*map(torch.tensor, x)).sample)


def exported(model: Tiny, path: Path) -> None:
    """The U-Net as an ONNX file, with the result of every node as an output."""
    import onnx

    inputs = tuple(map(torch.tensor, model.inputs.values()))
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            model.torch,
            inputs,
            str(path),
            dynamo=False,
            input_names=[*model.inputs],
            output_names=["output"],
            opset_version=17,
        )
    graph = onnx.load(path)
    known = {output.name for output in graph.graph.output}
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Add", "Mul", "MatMul", "Gemm", "LayerNormalization"):
            names = [name for name in node.output if name not in known]
            graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    onnx.save(graph, path)


def onnx_runtime(model: Tiny) -> Dump:
    """ONNX Runtime, node by node."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unet.onnx"
        exported(model, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(model.inputs)), strict=True))


def openvino(model: Tiny) -> Dump:
    """OpenVINO: its output alone, computed in float32."""
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unet.onnx"
        exported(model, path)
        core = ov.Core()
        graph = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return {"output": graph(list(model.inputs.values()))["output"]}


def other_runs() -> Iterator[Run]:
    """Compilers and runtimes, on U-Nets."""
    for name, make in (
        ("torch.compile", compiled),
        ("ONNX Runtime", onnx_runtime),
        ("OpenVINO", openvino),
    ):
        for seed in range(EXPORTS):
            model = tiny("unet", 2000 + seed, SD2 if seed % 2 else None)
            reference = {**model.reference()}
            reference["output"] = reference.pop("")
            if name != "ONNX Runtime":
                inputs = {n: v for n, v in reference.items() if n.startswith("inputs.")}
                reference = {**inputs, "output": reference["output"]}
            try:
                candidate = make(model)
            except ImportError as error:
                print(f"{name} is not installed: {error}", file=sys.stderr)
                break
            yield Run(name, "unet", seed, compare(reference, candidate, model.ours))


def main(folder: Path) -> None:
    """Run all, write the page."""
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows: dict[str, list[Run]] = {}
    for runs in (torch_runs(), shipped_runs(), other_runs()):
        for run in runs:
            rows.setdefault(run.by, []).append(run)
            wrong = [t for t in run.report.tensors if t.state > 0]
            if wrong:
                print(run.by, run.kind, run.seed, [(t.name, t.rho) for t in wrong], file=sys.stderr)
        print({by: len(r) for by, r in rows.items()}, file=sys.stderr)
    (folder / "alarms.md").write_text(page(rows))


def page(rows: dict[str, list[Run]]) -> str:
    """The page."""
    lines = [
        "# Honest runs, and what compare says of them",
        "",
        f"Written by `python -m tests.bench.alarms docs` against PyTorch {torch.__version__}, "
        f"diffusers {diffusers.__version__}. Small U-Nets of Stable Diffusion 1 and 2, encoders, "
        "decoders and text encoders, and the shipped U-Net, every layer judged by its own error; "
        "of torch.compile and OpenVINO the whole network by its output.",
        "",
        "| run by | runs | tensors | explained | loose | unexplained | largest rho |",
        "|---|---|---|---|---|---|---|",
    ]
    for by, runs in rows.items():
        tensors = [t for run in runs for t in run.report.tensors]
        states = Counter(min(int(t.state), 2) for t in tensors)
        lines.append(
            f"| {by} | {len(runs)} | {len(tensors)} | {states[0]} | {states[1]} | {states[2]} "
            f"| {max(t.rho for t in tensors):.2f} |"
        )
    lines += ["", "| local error / honest rounding | tensors |", "|---|---|"]
    rhos = [t.rho for runs in rows.values() for run in runs for t in run.report.tensors]
    counts = np.histogram(rhos, BINS)[0]
    for low, high, count in zip(BINS, BINS[1:], counts, strict=False):
        lines.append(f"| {low:g} to {high:g} | {count} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
