"""compare on PyTorch's own runs: it can say yes, it can say no, and it says where and why."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import refdiff
from refdiff.errors import CheckpointError, ConfigError
from refdiff.trace import Trace
from refdiff.verify.budget import KEY, honest_runs
from refdiff.verify.compare import compare
from tests.bench.mutants import models, trial
from tests.verify.mutants import MUTANTS
from tests.verify.tiny import KINDS, SD2, Tiny, tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*should be kept in float32.*")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# one of each kind by default, all by `python -m tests.bench.mutants`
FEW = MUTANTS[::12]


@pytest.fixture(scope="module")
def unet() -> Tiny:
    return tiny("unet", 3)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_yes_to_torch(kind: str, precision: str) -> None:
    model = tiny(kind, 11, SD2 if kind == "unet" else None)
    report = compare(model.reference(), model.candidate(dtype=DTYPES[precision]), model.ours)
    assert report.exit_code == 0, str(report)
    assert report.profile == precision
    assert all(t.local is not None for t in report.tensors)


@pytest.mark.parametrize("mutant", FEW, ids=lambda m: m.name)
def test_it_says_no_and_why(mutant: object) -> None:
    i = MUTANTS.index(mutant)  # type: ignore[arg-type]
    made = trial(models()[MUTANTS[i].model], [MUTANTS[i]], np.random.default_rng([i, 1]))
    assert made.report.exit_code == 1
    assert made.located(made.guilty[0]), str(made.report)
    assert made.named(MUTANTS[i]), str(made.report)


def test_what_is_not_there_is_not_passed_over(unet: Tiny) -> None:
    reference, candidate = unet.reference(), unet.candidate()
    del candidate["mid_block.resnets.0.conv1"]
    candidate["conv_in"] = candidate["conv_in"][:, :, 1:]
    candidate["of my own"] = np.ones(3, np.float32)
    report = compare(reference, candidate, unet.ours)
    reasons = {n.name: n.reason for n in report.not_compared}
    assert reasons == {
        "mid_block.resnets.0.conv1": "missing",
        "conv_in": "misshapen",
        "of my own": "unknown",
    }
    assert report.exit_code == 3 and report.verdict == "incomplete"
    waived = compare(reference, candidate, unet.ours, waive=[*reasons])
    assert waived.exit_code == 0 and len(waived.not_compared) == 3


def test_not_finite_and_constant_are_wrong(unet: Tiny) -> None:
    for value in (np.nan, np.inf, 0.0):
        candidate = unet.candidate()
        name = "down_blocks.0.attentions.0.proj_in"
        candidate[name] = np.full_like(candidate[name], value)
        report = compare(unet.reference(), candidate, unet.ours, diagnosing=False)
        assert report.exit_code == 1 and report.first and report.first.name == name


def test_layers_that_only_the_model_knows_are_judged(unet: Tiny) -> None:
    """A reference of blocks, a candidate of layers."""
    coarse = {n: v for n, v in unet.reference().items() if n.count(".") < 3}
    candidate = unet.candidate()
    report = compare(coarse, candidate, unet.ours)
    assert report.exit_code == 0 and len(report.tensors) > len(coarse)
    inner = "up_blocks.1.resnets.0.conv2"
    candidate[inner] = candidate[inner] * 1.001
    wrong = compare(coarse, candidate, unet.ours)
    assert wrong.first and wrong.first.name == inner
    assert wrong.diagnosis[0].id == "values/scale" and "1.001" in wrong.diagnosis[0].title


def test_a_wider_kind_of_rounding_is_loose(unet: Tiny) -> None:
    """float32 numbers that were computed with tf32's products: said, not hidden, not blamed."""
    with refdiff.engine("reference", rounding="tf32"), refdiff.trace(unet.ours) as taken:
        x = unet.inputs
        unet.ours(x["sample"], x["timestep"], x["encoder_hidden_states"])
    # the last bits are not zero, as after a sum in float32; nor are waves a product
    noisy = {n: v * np.float32(1 + 2**-20) for n, v in taken.items()}
    noisy["time_proj"] = unet.candidate()["time_proj"]
    report = compare(unet.reference(), noisy, unet.ours)
    assert report.profile == "tf32" and any("tf32" in w for w in report.warnings)
    assert report.exit_code in (0, 5)


def test_weights_are_compared_first_and_computed_with(unet: Tiny) -> None:
    """Quantised ones are told and used, others are wrong."""
    weights = {n: np.asarray(w) for n, w in unet.ours.weights.source.items()}
    coarse = {n: np.round(w * 64) / 64 for n, w in weights.items()}
    theirs = type(unet.ours)(unet.ours.config, coarse)
    x = unet.inputs
    with refdiff.trace(theirs) as taken:
        theirs(x["sample"], x["timestep"], x["encoder_hidden_states"])
    reference, candidate = unet.reference(), dict(taken)
    assert compare(reference, candidate, unet.ours, diagnosing=False).exit_code == 1
    report = compare(reference, candidate, unet.ours, weights=coarse)
    assert report.exit_code == 0 and "near it" in report.warnings[0], str(report)
    wrong = {**weights, "conv_in.weight": weights["conv_in.weight"][::-1]}
    report = compare(reference, unet.candidate(), unet.ours, weights=wrong, diagnosing=False)
    assert report.exit_code == 1 and "conv_in.weight" in report.weights[0]
    with pytest.raises(ConfigError, match="none of"):
        compare(reference, candidate, unet.ours, weights={"x": np.ones(3)})


def test_a_second_run_shows_what_is_not_the_same_twice(unet: Tiny) -> None:
    reference, first = unet.reference(), unet.candidate()
    assert compare(reference, first, unet.ours, again=unet.candidate()).exit_code == 0
    second = dict(first)
    second["conv_out"] = first["conv_out"] + np.float32(1e-3)
    report = compare(reference, first, unet.ours, again=second)
    assert report.exit_code == 4 and report.nondeterministic == ("conv_out",)


@pytest.mark.parametrize("precision", DTYPES)
def test_without_the_model_honest_runs_are_the_measure(
    unet: Tiny, tmp_path: Path, precision: str
) -> None:
    """The page beside the reference holds them; a mistake is still seen, if not where it began."""
    path = saved(unet, tmp_path)
    candidate = unet.candidate(dtype=DTYPES[precision])
    report = compare(path, candidate, waive=["time_proj"])
    assert report.exit_code in (0, 5), str(report)
    assert all(t.local is None for t in report.tensors)
    name = "down_blocks.0.resnets.0.conv1"
    candidate[name] = candidate[name] + np.float32(0.5)
    wrong = compare(path, candidate)
    assert wrong.exit_code == 1 and wrong.first and wrong.first.name == name


def test_a_damaged_page_is_refused(unet: Tiny, tmp_path: Path) -> None:
    path = saved(unet, tmp_path)
    page = path.with_suffix(".json")
    for text in ("{", f'{{"{KEY}": 3}}', f'{{"{KEY}": {{"float32": {{"conv_in": [1, 2]}}}}}}'):
        page.write_text(text)
        with pytest.raises(CheckpointError, match="anew"):
            compare(path, unet.candidate())


def saved(model: Tiny, folder: Path) -> Path:
    """The reference in a file, honest runs on the page beside it."""
    import json

    path = folder / "ref.safetensors"
    trace = Trace()
    for name, value in model.reference().items():
        trace.record(name, value)
    trace.save(path)
    told = honest_runs(model.ours, model.reference())
    path.with_suffix(".json").write_text(json.dumps({KEY: told}))
    return path


def test_the_public_name_takes_what_the_work_takes() -> None:
    """refdiff.compare is a name that imports nothing until it is called."""
    public, work = (inspect.signature(f).parameters for f in (refdiff.compare, compare))
    assert [(p.name, p.kind, p.default) for p in public.values() if p.name != "told"] == [
        (p.name, p.kind, p.default) for p in work.values() if p.name != "told"
    ]
    assert public.keys() == work.keys()
