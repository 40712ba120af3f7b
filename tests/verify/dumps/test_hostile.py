"""Damaged and malicious files of every format: one sentence, no traceback, no large allocation."""

import contextlib
import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff import safetensors
from refdiff.errors import CheckpointError
from refdiff.verify.dumps import open_dump
from refdiff.verify.dumps.blocks import BLOCKS, VALUES
from refdiff.verify.dumps.dump import Buffer
from refdiff.verify.dumps.gguf import QUANTISED, _read
from refdiff.verify.dumps.protobuf import fields, varints


def sample_npz(path, save=np.savez):
    save(path, a=np.arange(6.0).reshape(2, 3), b=np.float32([1, np.nan]))


def sample_gguf(path):
    writer = gguf.GGUFWriter(path, "x")
    writer.add_array("tokens", ["a", "b"])
    writer.add_tensor("plain", np.ones((2, 3), np.float32))
    block = gguf.quantize(np.ones((1, 32), np.float32), gguf.GGMLQuantizationType.Q5_1)
    writer.add_tensor("blocks", block, raw_dtype=gguf.GGMLQuantizationType.Q5_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sample_pb(path, raw=True):
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    kind = onnx.TensorProto.FLOAT16
    proto = onnx.helper.make_tensor("x", kind, (2, 3), array.tobytes() if raw else array, raw)
    path.write_bytes(proto.SerializeToString())


def sample_raw(path):
    (path.parent / "x.bin").write_bytes(bytes(24))
    entry = {"file": "x.bin", "dtype": "float32", "shape": [2, 3]}
    path.write_text(json.dumps({"tensors": {"x": entry}}))


SAMPLES = {
    "stored.npz": sample_npz,
    "packed.npz": lambda path: sample_npz(path, np.savez_compressed),
    "x.npy": lambda path: np.save(path, np.ones((2, 3))),
    "x.gguf": sample_gguf,
    "raw.pb": sample_pb,
    "fields.pb": lambda path: sample_pb(path, raw=False),
    "x.json": sample_raw,
    "x.safetensors": lambda path: safetensors.write(path, {"x": np.ones(3)}, {"order": '["x"]'}),
}


def read_all(path):
    """Whether the file was refused; whatever else it raises is a fault."""
    try:
        dump = open_dump(path)
        for name, shape in dump.shapes.items():
            assert dump[name].shape == shape
    except CheckpointError as error:
        assert str(path.parent) in str(error) and str(error).endswith("."), error
        assert len(str(error)) < 600
        return True
    return False


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_off_anywhere_is_refused(tmp_path, name):
    SAMPLES[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert not read_all(tmp_path / name)
    complete = 0
    for length in range(len(data)):
        (tmp_path / name).write_bytes(data[:length])
        complete += not read_all(tmp_path / name)
    assert complete <= {".pb": 1, ".gguf": 32}.get("." + name.split(".")[1], 0)  # padding, a name


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=300)
@given(data=st.data())
def test_damage_gives_values_or_one_sentence(tmp_path, name, data):
    path = tmp_path / name
    SAMPLES[name](path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        width = data.draw(st.sampled_from([1, 4, 8]))
        new = data.draw(st.sampled_from([b"\xff", b"\0", b"\x7f"]) | st.binary(min_size=1))
        content[at : at + width] = (new * width)[:width]
    path.write_bytes(content)
    read_all(path)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_scale_that_is_no_number_makes_values_that_are_none(kind):
    """A signalling nan, or infinity times nothing, without a word of NumPy's."""
    size, _ = BLOCKS[kind]
    for scale in b"\x7c\x7c", b"\0\x7c":
        data = scale + bytes(size - 2)
        number = next(n for n, name in QUANTISED.items() if name == kind)
        values = _read(Buffer(Path("x"), data), number, (1, VALUES), 0)
        assert not np.isfinite(values).any()


def refused(path, *words):
    with pytest.raises(CheckpointError) as info:
        dict(open_dump(path))
    for word in words:
        assert word in str(info.value), info.value


def npy(header):
    text = header.encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(64)


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "|O"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "header"),
        ("{'descr': '<f4,<f4', 'fortran_order': False, 'shape': (1,), }", "<f4,<f4"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2**70,), }", "header"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", "large"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999999999999,), }", "large"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 65 + "), }", "large"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (17,), }", "takes 68"),
        ("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", "<f3"),
        ("(" * 9000, "header"),
    ],
)
def test_npy_headers(tmp_path, header, word):
    (tmp_path / "x.npy").write_bytes(npy(header))
    refused(tmp_path / "x.npy", word)


def test_pickles_stay_closed(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    refused(tmp_path / "x.npy", "numbers are expected")
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "no .npy file")
    (tmp_path / "x.bin").write_bytes(pickle.dumps({}))
    refused(tmp_path / "x.bin", ".safetensors, .npz, .npy, .pb, .gguf, .json")


@contextlib.contextmanager
def little_memory(limit=5_000_000):
    tracemalloc.start()
    yield
    assert tracemalloc.get_traced_memory()[1] < limit
    tracemalloc.stop()


def test_no_allocation_beyond_the_file(tmp_path):
    huge = struct.pack("<Q", 2**40)
    gguf_head = b"GGUF" + struct.pack("<I", 3)
    floats = struct.pack("<IIQ", 9, 6, 2**61)
    (tmp_path / "a.gguf").write_bytes(gguf_head + huge + huge)
    (tmp_path / "b.gguf").write_bytes(gguf_head + bytes(8) + struct.pack("<QQ", 1, 2**40))
    key = struct.pack("<QQ", 1, 1) + b"k"
    (tmp_path / "c.gguf").write_bytes(gguf_head + bytes(8) + key + floats + bytes(100))
    (tmp_path / "d.pb").write_bytes(b"\x08\x80\x80\x80\x80\x80\x01\x10\x01")
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }"
    with zipfile.ZipFile(tmp_path / "e.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(header))
    with little_memory():
        for path in sorted(tmp_path.iterdir()):
            refused(path, path.name)


def test_a_bomb_of_another_method_stays_packed(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", bytes(10_000_000))
    refused(tmp_path / "x.npz", "deflate")


def test_a_member_that_claims_more_than_it_holds(tmp_path):
    sample_npz(tmp_path / "x.npz", np.savez_compressed)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 2**31)
    (tmp_path / "x.npz").write_bytes(data)
    with little_memory():
        refused(tmp_path / "x.npz", "claims 2147483648 bytes")


def test_arrays_in_arrays_end_somewhere(tmp_path):
    deep = struct.pack("<IQ", 9, 1) * 10_000
    head = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 9)
    (tmp_path / "x.gguf").write_bytes(head + deep)
    refused(tmp_path / "x.gguf", "type 9")


@pytest.mark.parametrize(
    "file",
    ["../x.bin", "/etc/hostname", "a/../../x.bin", "C:x.bin", "..\\x.bin", "link", "", 5, "."],
)
def test_raw_files_stay_in_their_folder(tmp_path, file):
    folder = tmp_path / "dump"
    folder.mkdir()
    (tmp_path / "x.bin").write_bytes(bytes(24))
    (folder / "link").symlink_to(tmp_path / "x.bin")
    entry = {"file": file, "dtype": "float32", "shape": [2, 3]}
    (folder / "x.json").write_text(json.dumps({"tensors": {"x": entry}}))
    refused(folder, str(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float8"},
        {"dtype": ["float32"]},
        {"shape": [-1, 3]},
        {"shape": [2.0, 3]},
        {"shape": [True, 3]},
        {"shape": [0, 2**62, 2**62]},
        {"shape": [7]},
        {"shape": None},
        {"offset": -1},
        {"offset": 10**18},
        {"order": "K"},
        {"order": []},
        {"layout": "NHWC"},
        {"file": "absent.bin"},
    ],
)
def test_raw_entries(tmp_path, change):
    sample_raw(tmp_path / "x.json")
    header = json.loads((tmp_path / "x.json").read_text())
    header["tensors"]["x"] |= change
    (tmp_path / "x.json").write_text(json.dumps(header))
    refused(tmp_path / "x.json")


def test_onnx_tensors_that_keep_their_values_elsewhere(tmp_path):
    proto = onnx.numpy_helper.from_array(np.ones(3, np.float32), "x")
    onnx.external_data_helper.set_external_data(proto, "../../secret")
    (tmp_path / "x.pb").write_bytes(proto.SerializeToString())
    refused(tmp_path / "x.pb", "another file")


def test_whole_models_are_no_tensors(tmp_path):
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.pb")
    refused(tmp_path / "x.pb", "TensorProto")


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_varints(numbers):
    proto = onnx.TensorProto(int64_data=numbers)
    packed = b"".join(fields(proto.SerializeToString())[7, 2])
    assert varints(packed).tolist() == numbers


def test_folders(tmp_path):
    refused(tmp_path, "no file")
    refused(tmp_path / "absent", "is its name right")
    np.save(tmp_path / "a.npy", np.ones(2))
    np.savez(tmp_path / "b.npz", a=np.ones(2))
    refused(tmp_path, "several kinds, .npy, .npz")


def test_a_file_that_vanishes_after_opening(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(2))
    dump = open_dump(tmp_path)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        dump["a"]


def test_archives_with_strangers_or_twins(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(2))
    for names in (["a.npy", "readme.txt"], ["a.npy", "a.npy"]):
        warned = pytest.warns() if names[0] == names[1] else contextlib.nullcontext()
        with warned, zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            for name in names:
                archive.writestr(name, buffer.getvalue())
        refused(tmp_path / "x.npz", names[1])
