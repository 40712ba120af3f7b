"""Every format against its own library: what it writes, we read, tensor by tensor."""

import json
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refdiff.trace import Trace
from refdiff.verify.dumps import open_dump
from refdiff.verify.dumps.blocks import BLOCKS

DTYPES = st.sampled_from(["<f4", "<f2", "<f8", "<i4", "<i8", "u1", "?", ">f4", ">i2"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
NAMES = st.text("abcxyz0123./_", min_size=1, max_size=9).filter(lambda n: not n.startswith("/"))
TENSORS = st.dictionaries(NAMES, ARRAYS, max_size=5)


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    native = theirs.astype(theirs.dtype.newbyteorder("="))
    return (ours.dtype, ours.shape) == (native.dtype, native.shape) and (
        ours.tobytes() == native.tobytes()
    )


@given(TENSORS, st.booleans())
def test_npz(tmp_path, tensors, compressed):
    path = tmp_path / "dump.npz"
    (np.savez_compressed if compressed else np.savez)(path, **tensors)
    dump = open_dump(path)
    assert list(dump) == list(tensors)
    assert dump.shapes == {name: array.shape for name, array in tensors.items()}
    assert all(same(dump[name], array) for name, array in tensors.items())
    assert dump.path == path and dump.notes == {} and len(dump) == len(tensors)


@given(ARRAYS, st.booleans())
def test_npy_in_both_orders_whatever_it_is_called(tmp_path, array, fortran):
    path = tmp_path / "x.bin"
    with open(path, "wb") as file:
        np.save(file, array.copy(order="F" if fortran else "C"))
    assert same(open_dump(path)["x"], array)


def test_stored_arrays_are_views_of_the_file(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(1000))
    array = open_dump(tmp_path / "x.npz")["a"]
    assert not array.flags.owndata and not array.flags.writeable


def test_bfloat16_is_widened_wherever_it_occurs(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(ml_dtypes.bfloat16)
    wide = values.astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", b=values)
    tensor = torch.tensor(wide).bfloat16()
    safetensors.torch.save_file({"c": tensor}, tmp_path / "c.safetensors")
    values.tofile(tmp_path / "d.bin")
    entry = {"file": "d.bin", "dtype": "bfloat16", "shape": [3, 5]}
    (tmp_path / "d.json").write_text(json.dumps({"tensors": {"d": entry}}))
    (tmp_path / "e.pb").write_bytes(onnx.numpy_helper.from_array(values, "e").SerializeToString())
    for file in ("a.npy", "b.npz", "c.safetensors", "d.json", "e.pb"):
        dump = open_dump(tmp_path / file)
        assert same(dump[file[0]], wide), file


@given(st.lists(NAMES, unique=True, max_size=6), st.data())
def test_a_trace_keeps_its_order_of_computation(tmp_path, names, data):
    trace = Trace({"engine": "reference"})
    for name in names:
        trace.record(name, data.draw(ARRAYS.filter(lambda array: array.dtype.isnative)))
    trace.save(tmp_path / "t.safetensors")
    dump = open_dump(tmp_path / "t.safetensors")
    assert list(dump) == names and dump.notes["engine"] == "reference"
    assert all(same(dump[name], trace[name]) for name in names)


@pytest.mark.parametrize("order", ["[1]", '["a"]', "not JSON", '{"a": 1}', "[" * 5000, '["a","a"]'])
def test_an_order_that_is_none_leaves_the_file_as_it_is(tmp_path, order):
    tensors = {"b": torch.ones(2), "a": torch.ones(2, 3)}
    safetensors.torch.save_file(tensors, tmp_path / "t.safetensors", {"order": order})
    assert set(open_dump(tmp_path / "t.safetensors")) == {"a", "b"}


@given(st.integers(0, 2**32), st.booleans())
def test_raw_files_with_offsets_and_orders(tmp_path, seed, fortran):
    rng = np.random.default_rng(seed)
    dtype = rng.choice(["float32", "float16", "float64", "int32", "int64"])
    array = (rng.normal(size=rng.integers(0, 5, rng.integers(4))) * 9).astype(dtype)
    offset = int(rng.integers(7))
    (tmp_path / "deep").mkdir(exist_ok=True)
    data = array.tobytes(order="F" if fortran else "C")
    (tmp_path / "deep/x.bin").write_bytes(bytes(offset) + data)
    entry = {"file": "deep/x.bin", "dtype": str(dtype), "shape": list(array.shape)}
    entry |= {"offset": offset, "order": "F"} if fortran else {"offset": offset}
    (tmp_path / "side.json").write_text(json.dumps({"made by": "me", "tensors": {"x": entry}}))
    for path in (tmp_path, tmp_path / "side.json"):
        dump = open_dump(path)
        assert same(dump["x"], array) and dump.notes == {"made by": "me"}


ONNX_TYPES = [np.float32, np.float16, np.float64, np.int32, np.int64, np.uint8, np.int8]
ONNX_TYPES += [np.uint16, np.int16, np.uint32, np.uint64, np.bool_]


@given(st.sampled_from(ONNX_TYPES).flatmap(
    lambda t: hnp.arrays(t, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
), st.booleans())  # fmt: skip
def test_onnx_tensors_in_either_of_their_fields(tmp_path, array, raw):
    path = tmp_path / "x.pb"
    if raw:
        proto = onnx.numpy_helper.from_array(array, "/down.0/Conv_output_0")
    else:
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        values = array.ravel().tolist()
        proto = onnx.helper.make_tensor("/down.0/Conv_output_0", kind, array.shape, values)
    path.write_bytes(proto.SerializeToString())
    dump = open_dump(path)
    assert list(dump) == ["/down.0/Conv_output_0"]
    theirs = onnx.numpy_helper.to_array(onnx.load_tensor(path))
    assert same(dump["/down.0/Conv_output_0"], theirs)


def test_a_folder_of_onnx_tensors_in_the_order_of_their_numbers(tmp_path):
    for i in (10, 2, 1):
        proto = onnx.numpy_helper.from_array(np.full(3, i, np.float32))
        (tmp_path / f"output_{i}.pb").write_bytes(proto.SerializeToString())
    dump = open_dump(tmp_path)
    assert list(dump) == ["output_1", "output_2", "output_10"]
    assert dump["output_10"][0] == 10


KINDS = gguf.GGMLQuantizationType


@given(st.integers(0, 2**32), st.sampled_from([32, 64, 128]))
def test_gguf_plain_and_quantised(tmp_path, seed, alignment):
    rng = np.random.default_rng(seed)
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "refdiff")
    writer.add_custom_alignment(alignment)
    writer.add_array("tokens", ["a", "b"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_float32("scale", 0.5)
    expected = {}
    for name in ("F32", "F16", "F64", "I8", "I16", "I32", "I64", "BF16", *BLOCKS):
        shape = (*rng.integers(1, 4, rng.integers(3)), 32 * rng.integers(1, 3))
        values = (9 * rng.normal(size=shape)).astype(np.float32)
        kind = KINDS[name]
        if name in BLOCKS or name == "BF16":
            data = gguf.quantize(values, kind)
            writer.add_tensor(name, data, raw_dtype=kind)
            expected[name] = gguf.dequantize(data, kind)
        else:
            expected[name] = values.astype({"F": "f", "I": "i"}[name[0]] + str(int(name[1:]) // 8))
            writer.add_tensor(name, expected[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    dump = open_dump(path)
    assert list(dump) == list(expected)
    assert dump.notes["scale"] == "0.5" and dump.notes["general.architecture"] == "refdiff"
    for name, array in expected.items():
        assert dump.shapes[name] == array.shape
        np.testing.assert_array_equal(dump[name], array, name)


def steps(folder: Path, names: list[list[str]]) -> None:
    for i, inside in enumerate(names):
        arrays = {name: torch.full((2,), float(i)) for name in inside}
        safetensors.torch.save_file(arrays, folder / f"step{i}.safetensors")


def test_files_of_a_folder_that_share_names_go_by_their_own(tmp_path):
    steps(tmp_path, [["a", "b"], ["a", "b"]])
    dump = open_dump(tmp_path)
    assert set(dump) == {"step0.a", "step0.b", "step1.a", "step1.b"}
    assert dump["step1.b"][0] == 1


def test_shards_keep_their_names_and_a_table_gives_the_order(tmp_path):
    steps(tmp_path, [["a", "c"], ["b"]])
    table = {"order": ["b", "a", "c"], "engine": "fast"}
    (tmp_path / "trace.json").write_text(json.dumps(table))
    dump = open_dump(tmp_path)
    assert list(dump) == ["b", "a", "c"] and dump.notes == {"engine": "fast"}


def test_a_page_beside_a_trace_is_no_dump_of_its_own(tmp_path):
    steps(tmp_path, [["a", "b"]])
    (tmp_path / "step0.json").write_text('{"tensors": {"a": {"sha256": ""}}}')
    (tmp_path / "config.json").write_text("{}")
    assert set(open_dump(tmp_path)) == {"a", "b"}


def test_a_folder_of_more_files_than_may_be_open(tmp_path):
    for i in range(1500):
        np.save(tmp_path / f"{i}.npy", np.full(1, i))
    dump = open_dump(tmp_path)
    assert list(dump) == [str(i) for i in range(1500)]
    assert [int(array[0]) for array in dump.values()] == list(range(1500))
