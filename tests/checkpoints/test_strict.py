"""The checker says no: one name, one shape, one number wrong is caught and named."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from refdiff.checkpoints.strict import CHUNK, check
from refdiff.checkpoints.weight_files import WeightFiles, open_weights
from refdiff.errors import CheckpointError

FLOATS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}


def saved(folder, tensors: dict[str, torch.Tensor]) -> WeightFiles:
    save_file(tensors, folder / "model.safetensors")
    return open_weights(folder, "model")


def refused(weights: WeightFiles, shapes: dict[str, tuple[int, ...]]) -> str:
    with pytest.raises(CheckpointError) as caught:
        check(weights, shapes, "the/folder")
    return str(caught.value)


def shapes_of(weights: WeightFiles) -> dict[str, tuple[int, ...]]:
    return {name: weights[name].shape for name in weights}


def test_exact_weights_pass_in_every_float(tmp_path):
    for dtype in FLOATS:
        largest = torch.finfo(dtype).max
        tensors = {
            "w": torch.full((2, 3), largest, dtype=dtype),
            "b": -torch.tensor(largest, dtype=dtype),
        }
        weights = saved(tmp_path, tensors | {"none": torch.zeros(0, 4, dtype=dtype)})
        check(weights, {"w": (2, 3), "b": (), "none": (0, 4)}, "the/folder")


def test_names_and_shapes_are_told_together(tmp_path):
    weights = saved(tmp_path, {"a": torch.zeros(2), "b": torch.zeros(3), "x": torch.zeros(1)})
    message = refused(weights, {"a": (2,), "b": (3, 1), "c": (1,)})
    assert message.startswith("the/folder: ")
    assert "missing: c;" in message
    assert "unknown to the model: 'x';" in message
    assert "of another shape: b (is [3], expected [3, 1])" in message


def test_many_names_are_counted(tmp_path):
    weights = saved(tmp_path, {"a": torch.zeros(2)})
    message = refused(weights, {f"w{i}": (1,) for i in range(1000)})
    assert "missing: w0, w1, w2 and 997 more" in message and len(message) < 300


@given(data=st.data())
def test_dropping_adding_or_bending_any_one_tensor_is_caught(tmp_path_factory, data):
    names = [f"layer{i}.weight" for i in range(4)]
    weights = saved(tmp_path_factory.mktemp("w"), {n: torch.ones(2, 3) for n in names})
    shapes = shapes_of(weights)
    check(weights, shapes, "")
    name = data.draw(st.sampled_from(names))
    dropped = {n: s for n, s in shapes.items() if n != name}
    assert f"unknown to the model: {name!r}" in refused(weights, dropped)
    assert "missing: layer9" in refused(weights, shapes | {"layer9": (1,)})
    assert f"another shape: {name}" in refused(weights, shapes | {name: (3, 2)})


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_one_number_that_is_none_is_named_with_its_place(tmp_path_factory, dtype, data):
    value = data.draw(st.sampled_from(["nan", "inf", "-inf"]))
    place = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 4)))
    w = torch.randn(3, 5).to(dtype)
    w[place] = float(value)
    weights = saved(tmp_path_factory.mktemp("w"), {"fine": torch.ones(3), "w": w})
    message = refused(weights, {"fine": (3,), "w": (3, 5)})
    assert f"tensor w holds {value} at {list(place)}" in message and "model.safetensors" in message


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_chunk_is_looked_at_and_none_is_copied_whole(tmp_path, dtype):
    for at in (0, CHUNK - 1, CHUNK, 3 * CHUNK + 1):
        w = torch.zeros(3 * CHUNK + 2, dtype=dtype)
        w[at] = torch.nan
        weights = saved(tmp_path, {"w": w})
        assert f"holds nan at [{at}]" in refused(weights, {"w": tuple(w.shape)})
    weights = saved(tmp_path, {"w": torch.zeros(8 * CHUNK, dtype=dtype)})
    tracemalloc.start()
    check(weights, {"w": (8 * CHUNK,)}, "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20 + 200_000


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.uint8])
def test_weights_that_are_no_floats_are_refused(tmp_path, dtype):
    weights = saved(tmp_path, {"w": torch.ones(2, dtype=dtype)})
    assert "tensor w is of type" in refused(weights, {"w": (2,)})


def test_a_tensor_that_lies_askew_is_checked_too(tmp_path):
    w = np.float32([1, np.nan])
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    header += b" " * (1 - len(header) % 2)  # an odd length
    raw = len(header).to_bytes(8, "little") + header + w.tobytes()
    (tmp_path / "model.safetensors").write_bytes(raw)
    assert "tensor w holds nan at [1]" in refused(open_weights(tmp_path, "model"), {"w": (2,)})
