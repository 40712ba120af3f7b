"""Whole networks beside diffusers on PyTorch, and where asked for beside compilers and runtimes.

python -m tests.bench.speed.networks unet15 vae clip [--with compile onnx openvino] [--rounds 3]
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import refdiff
from tests.bench.speed.models import NETWORKS, Network
from tests.bench.speed.race import Times, machine, race, ratios

torch.set_grad_enabled(False)
Contender = Callable[[], np.ndarray]


def ours(net: Network) -> Contender:
    """refdiff's fast engine."""

    def run() -> np.ndarray:
        with refdiff.engine("fast"):
            return np.asarray(net.ours(*net.inputs.values()))

    return run


def eager(net: Network) -> Contender:
    tensors = [torch.tensor(x) for x in net.inputs.values()]
    return lambda: net.torch(*tensors).numpy()


def compiled(net: Network) -> Contender:
    tensors = [torch.tensor(x) for x in net.inputs.values()]
    graph = torch.compile(net.torch)
    return lambda: graph(*tensors).numpy()


def exported(net: Network, folder: Path) -> Path:
    path = folder / "model.onnx"
    tensors = tuple(torch.tensor(x) for x in net.inputs.values())
    torch.onnx.export(
        net.torch, tensors, str(path), dynamo=True, input_names=[*net.inputs], external_data=True
    )
    return path


def onnx(net: Network) -> Contender:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        session = onnxruntime.InferenceSession(
            str(exported(net, Path(folder))), providers=["CPUExecutionProvider"]
        )
    return lambda: session.run(None, net.inputs)[0]


def openvino(net: Network) -> Contender:
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        core = ov.Core()
        graph = core.compile_model(
            core.read_model(exported(net, Path(folder))),
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"},
        )
    return lambda: graph([*net.inputs.values()])[0]


PEERS = {"compile": compiled, "onnx": onnx, "openvino": openvino}


def measure(net: Network, peers: list[str], rounds: int) -> dict[str, Times]:
    contenders = {"torch": eager(net), "refdiff": ours(net)}
    for name in peers:
        start = time.perf_counter()
        contenders[name] = PEERS[name](net)
        print(f"{name} made ready in {time.perf_counter() - start:.0f} s", flush=True)
    return race(contenders, rounds)


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="+", choices=[*NETWORKS])
    parser.add_argument("--with", dest="peers", nargs="*", default=[], choices=[*PEERS])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    for name in args.networks:
        net = NETWORKS[name]()
        times = measure(net, args.peers, args.rounds)
        print(f"| {net.name} | seconds | times refdiff's |\n|---|---|---|")
        for peer, (median, low, high) in ratios(times, "refdiff").items():
            print(
                f"| {peer} | {times[peer]} | {median:.2f} ({low:.2f} to {high:.2f}) |", flush=True
            )


if __name__ == "__main__":
    main()
