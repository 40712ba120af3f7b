"""The laws that every op keeps, over the whole registry: a new op without a case fails here."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refdiff.kernels
import refdiff.ops  # fills the registry
from refdiff.kernels import points, scratch, winograd
from refdiff.kernels.scratch import LINE
from refdiff.op import REGISTRY, Op, engine
from refdiff.ops.conv2d import output_size, sides
from refdiff.workers import threads
from tests.ops.cases import DRAW, ORACLE, Case, cast

SEEDS = st.integers(0, 2**32 - 1)
KERNELS = [name for name, op in REGISTRY.items() if op.fast]
over_ops = pytest.mark.parametrize("name", sorted(REGISTRY))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference over the largest value; both must have one shape and no nan."""
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.isfinite(a).all() == np.isfinite(b).all()
    return float(np.max(abs(a - b), initial=0) / np.max(abs(b), initial=1e-300))


def test_every_op_has_a_case_and_an_oracle() -> None:
    assert set(REGISTRY) == set(DRAW) == set(ORACLE)


@over_ops
@given(seed=SEEDS)
def test_definition_is_what_torch_computes(name: str, seed: int) -> None:
    case = DRAW[name](np.random.default_rng(seed))
    ours = case.call(REGISTRY[name].definition, np.float64)
    assert relative(ours, case.torch(ORACLE[name], np.float64)) <= 1e-12


@over_ops
def test_float32_is_as_near_to_the_truth_as_torch(name: str) -> None:
    """Over 200 draws at once: the mean square error of one small draw is luck."""
    faces = [REGISTRY[name].definition, *filter(None, [REGISTRY[name].fast])]
    square = np.zeros(1 + len(faces))
    for seed in range(200):
        case = DRAW[name](np.random.default_rng(seed))
        truth = case.call(REGISTRY[name].definition, np.float64)
        answers = [case.torch(ORACLE[name], np.float32)]
        answers += [case.call(face, np.float32) for face in faces]
        scale = np.abs(truth).max() or 1.0
        square += [np.mean(np.square((a.astype(np.float64) - truth) / scale)) for a in answers]
    torch_error, *ours = np.sqrt(square)
    assert all(error <= 2 * torch_error for error in ours), (torch_error, ours)


def bound_of(op: Op[Any]) -> str:
    """The expression behind `Bound:`, with which the kernel's docstring ends."""
    _, bound = (op.fast.__doc__ or "").split("Bound:")
    return " ".join(bound.split())


def reach(x: np.ndarray, w: np.ndarray, **options: Any) -> np.ndarray | float:
    """Of Winograd's way, where it is taken."""
    size = output_size(x.shape, w.shape, **options)
    plain = all(options[name] == 1 for name in ("stride", "dilation", "groups"))
    if not plain or w.shape[2:] != (3, 3) or not winograd.pays(size, w.shape[1], len(w)):
        return 0.0
    top, _, left, _ = sides(options["padding"])
    return points.reach(x, w, size, (top, left))


def excess(op: Op[Any], case: Case, dtype: Any) -> float:
    """How many times its own bound the kernel leaves the definition, at the worst element."""
    slow, fast = (case.call(face, dtype).astype(np.float64) for face in (op.definition, op.fast))
    u = np.finfo(dtype).eps / 2
    names = {
        "abs": abs,
        "np": np,
        "u": u,
        "γ": lambda n: n * u / (1 - n * u),
        "tiny": float(np.finfo(dtype).tiny),
        "y": slow,
        "peak": lambda a: np.abs(a).max(),
        "reach": reach,
        "maybe": lambda f, a: None if a is None else f(a),
        op.name: op.definition,
        **case.args,
        **case.names,
    }
    allowed = np.broadcast_to(eval(bound_of(op), names), slow.shape)
    assert slow.shape == fast.shape
    gap = np.abs(slow - fast)
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.max(gap / np.where(gap == 0, 1, allowed), initial=0))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=SEEDS)
@settings(max_examples=60)
def test_kernel_keeps_its_bound(name: str, dtype: Any, seed: int) -> None:
    assert excess(REGISTRY[name], DRAW[name](np.random.default_rng(seed)), dtype) <= 1


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_keeps_its_bound_uncompiled(name: str, interpreted: None) -> None:
    """The same lines as plain Python: what is compiled is what is written."""
    with np.errstate(over="ignore", invalid="ignore"):
        for seed in range(12):
            case = DRAW[name](np.random.default_rng(seed))
            assert excess(REGISTRY[name], case, np.float32) <= 1


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every compiled function replaced by the Python function it came from."""
    names = [info.name for info in pkgutil.iter_modules(refdiff.kernels.__path__)]
    # all are imported before any is changed: what one takes from another would stay changed
    for module in [importlib.import_module(f"refdiff.kernels.{name}") for name in names]:
        for key, value in vars(module).items():
            if hasattr(value, "py_func") and not isinstance(value, type):
                monkeypatch.setattr(module, key, value.py_func)
    with threads(1):  # no helper, which would be told by compiled code
        yield


@pytest.mark.parametrize("name", KERNELS)
def test_a_wrong_kernel_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative mistake of 1e-3 in one element leaves the bound of every op."""
    op = REGISTRY[name]
    right = op.fast
    assert right

    def wrong(*args: Any, **options: Any) -> np.ndarray:
        y = right(*args, **options).copy()
        y.flat[abs(y).argmax()] *= 1.001
        return y

    wrong.__doc__ = right.__doc__
    monkeypatch.setattr(op, "fast", wrong)
    case = DRAW[name](np.random.default_rng(4))
    assert excess(op, case, np.float64) > 1


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("narrow", [np.float16, np.float32])
@given(seed=SEEDS)
@settings(max_examples=20)
def test_weights_may_be_narrower_than_the_data(name: str, narrow: Any, seed: int) -> None:
    """The first argument in float64, the others narrower: computed as the definition does."""
    op, case = REGISTRY[name], DRAW[name](np.random.default_rng(seed))
    first, *others = (cast(a, narrow) for a in case.args.values())
    args = cast(first, np.float64), *others
    with np.errstate(all="ignore"), engine("fast"):
        slow, fast = op.definition(*args, **case.options), op(*args, **case.options)
    assert slow.dtype == fast.dtype and relative(fast, slow) <= 1e-10


@over_ops
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("choice", ["reference", "fast"])
def test_dtype_belongs_to_the_data(name: str, dtype: Any, choice: str) -> None:
    case = DRAW[name](np.random.default_rng(7))
    with engine(choice):
        y = case.call(REGISTRY[name], dtype)
    assert y.dtype == (np.float64 if name == "timestep_embedding" else dtype)


@pytest.mark.parametrize("name", sorted({*KERNELS} - {"add", "softmax"}))
@given(seed=SEEDS)
@settings(max_examples=20)
def test_large_results_begin_with_a_line_of_caches(name: str, seed: int) -> None:
    """But softmax, in a copy that NumPy lays down, and sums of what lies in different ways."""
    case = DRAW[name](np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch, engine("fast"), np.errstate(all="ignore"):
        patch.setattr(scratch, "NEAR", 0)
        assert case.call(REGISTRY[name], np.float32).ctypes.data % LINE == 0


@over_ops
def test_inputs_are_left_alone(name: str) -> None:
    case = DRAW[name](np.random.default_rng(11))
    for value in case.args.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    for choice in ("reference", "fast"):
        with engine(choice):
            case.call(REGISTRY[name], np.float64)


@over_ops
@given(seed=SEEDS)
@settings(max_examples=30)
def test_shape_line_is_true(name: str, seed: int) -> None:
    """`x [N,C,H,W], w [O,C/g,k,l] -> [N,O,H',W']` against the shapes of a real call."""
    op = REGISTRY[name]
    case = DRAW[name](np.random.default_rng(seed))
    left, right = shape_line(op.definition.__doc__ or "").split("->")
    sizes: dict[str, int] = {"g": case.options.get("groups", 1)}
    for label, shape in labels(left):
        value = case.args[label]
        if value is not None and label != "mask":  # which may have more axes
            assert matches(shape, np.shape(value), sizes), (label, shape, np.shape(value), sizes)
    result = case.call(op, np.float64)
    if "width" in case.args:
        sizes["width"] = case.args["width"]
    (answer,) = labels("y " + right.strip())
    assert matches(answer[1], result.shape, sizes), (answer, result.shape, sizes)


def shape_line(doc: str) -> str:
    """The last sentence with an arrow between brackets."""
    (line,) = [x for x in doc.splitlines() if "] -> [" in x or "], mask [L,S] ->" in x]
    start = min(
        i
        for i in range(len(line))
        if line[i:].split(" ")[0].isidentifier() and line[i:].split(" ")[1][:1] == "["
    )
    return line[start:].strip()


def labels(text: str) -> list[tuple[str, list[str]]]:
    """ "x [N,C], w [O]" -> [("x", ["N", "C"]), ("w", ["O"])]"""
    parts = [part.strip(" ,").split(" [") for part in text.strip().split("]") if part.strip()]
    return [(name, [d for d in dims.split(",") if d]) for name, dims in parts]


def matches(dims: list[str], shape: tuple[int, ...], sizes: dict[str, int]) -> bool:
    """Whether `shape` can be `dims`: equal letters equal sizes, * any axes, primes free."""
    if "*" in dims:
        i, tail = dims.index("*"), len(dims) - dims.index("*") - 1
        shape = shape[:i] + shape[len(shape) - tail :] if tail else shape[:i]
        dims = [d for d in dims if d != "*"]
    if len(dims) != len(shape):
        return False
    for dim, n in zip(dims, shape, strict=True):
        factor, letter = (2, dim[1:]) if dim[0] == "2" else (1, dim)
        letter, _, divisor = letter.partition("/")
        want = n * (sizes[divisor] if divisor else 1)
        if letter == "C+D":
            if n != sizes["C"] + sizes["D"]:
                return False
        elif "'" not in letter and sizes.setdefault(letter, want // factor) * factor != want:
            return False
    return True


def test_the_shape_checker_can_say_no() -> None:
    assert matches(["N", "C"], (2, 3), {})
    assert not matches(["N", "N"], (2, 3), {})
    assert not matches(["N", "C"], (2, 3, 4), {})
    assert not matches(["*", "2D"], (5, 8), {"D": 3})


@over_ops
def test_signature_of_the_kernel_is_the_definition_s(name: str) -> None:
    op = REGISTRY[name]
    if op.fast:
        assert inspect.signature(op.fast) == inspect.signature(op.definition)
