"""The format against its own library: what either writes the other reads; hostile files refused."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refdiff.errors import CheckpointError, RefdiffError
from refdiff.safetensors import DTYPES, read, write

NATIVE = {name: dtype for name, dtype in DTYPES.items() if name != "BF16"}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda name: name != "__metadata__"
)
ARRAYS = st.sampled_from(sorted(NATIVE)).flatmap(
    lambda name: hnp.arrays(NATIVE[name], hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
TENSORS = st.dictionaries(NAMES, ARRAYS, max_size=6)
# Not {}: for that, and no tensors, the library's 0.8.0 writes a header that is not JSON.
METADATA = st.none() | st.dictionaries(
    NAMES, st.text(st.characters(exclude_categories=["Cs"])), min_size=1
)
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def packed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: object = (2,), offsets: object = (0, 8), dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


# ---- Round trips ----------------------------------------------------------------------------


@RELAXED
@given(TENSORS, METADATA)
def test_the_library_reads_what_we_write_and_writes_the_same_bytes(tmp_path, tensors, metadata):
    path = tmp_path / "x.safetensors"
    write(path, tensors, metadata)
    theirs = safetensors.numpy.load_file(path)
    assert theirs.keys() == tensors.keys()
    assert all(same(theirs[name], tensors[name]) for name in tensors)
    if metadata is None or len(metadata) < 2:  # the library's order of metadata is random
        assert path.read_bytes() == safetensors.numpy.save(tensors, metadata)


@RELAXED
@given(TENSORS, METADATA)
def test_we_read_what_the_library_writes(tmp_path, tensors, metadata):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(tensors, path, metadata)
    ours = read(path)
    assert set(ours) == set(tensors) and len(ours) == len(tensors)
    assert all(name in ours for name in tensors) and "absent" * 9 not in ours
    assert repr(ours) == f"<SafeTensors {path}: {len(tensors)} tensors>"
    assert ours.metadata == (metadata or {})
    for name, array in tensors.items():
        assert same(ours[name], array)
        assert ours.shapes[name] == array.shape == ours.info(name).shape
        assert DTYPES[ours.info(name).dtype] == array.dtype
        assert not ours[name].flags.writeable


@RELAXED
@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=0, min_side=0)), st.integers(0, 3))
def test_bfloat16_is_widened_exactly_as_torch_does(tmp_path, bits, odd):
    path = tmp_path / "x.safetensors"
    tensor = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    safetensors.torch.save_file({"w": tensor, "odd": torch.zeros(odd, dtype=torch.int8)}, path)
    ours = read(path)
    assert same(ours["w"].view(np.uint32), tensor.float().numpy().view(np.uint32))
    assert same(ours.stored("w"), bits)
    assert ours.info("w").dtype == "BF16"


def test_every_bfloat16_number_has_its_value(tmp_path):
    tensor = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    safetensors.torch.save_file({"w": tensor}, tmp_path / "x")
    np.testing.assert_array_equal(read(tmp_path / "x")["w"], tensor.float().numpy())


def test_other_memory_orders_and_byte_orders_are_written_as_values(tmp_path):
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write(tmp_path / "x", {"t": a.T, "s": a[:, ::2], "b": a.astype(">f4")})
    file = read(tmp_path / "x")
    for name, expected in {"t": a.T, "s": a[:, ::2], "b": a}.items():
        np.testing.assert_array_equal(file[name], expected)


def test_reading_copies_nothing_but_what_lies_askew(tmp_path):
    raw = packed({"a": entry((3,), (0, 3), "U8"), "b": entry((2,), (3, 11))}, bytes(range(11)))
    (tmp_path / "x").write_bytes(raw)
    file = read(tmp_path / "x")
    assert file["a"].base is not None and np.shares_memory(file["a"], file["a"])
    assert np.shares_memory(file["a"], file.stored("a"))
    assert file["b"].tobytes() == bytes(range(3, 11))
    assert file["b"].flags.aligned and not file["b"].flags.writeable


def test_a_shipped_file_is_read_like_the_library_does():
    path = Path(__file__).parents[1] / "weights/emoji/vae/diffusion_pytorch_model.safetensors"
    ours, theirs = read(path), safetensors.numpy.load_file(path)
    assert set(ours) == set(theirs)
    assert all(same(ours[name], theirs[name]) for name in theirs)


def test_arrays_outlive_the_file_object_and_the_file(tmp_path):
    write(tmp_path / "x", {"a": np.arange(5)})
    a = read(tmp_path / "x")["a"]
    (tmp_path / "x").unlink()
    np.testing.assert_array_equal(a, np.arange(5))


# ---- Hostile files --------------------------------------------------------------------------

HUGE = 2**63
HOSTILE = {
    "empty file": (b"", "0 bytes"),
    "seven bytes": (b"\0" * 7, "7 bytes"),
    "header beyond the file": ((99).to_bytes(8, "little") + b"{}", "header has 99 bytes"),
    "header of 2^64 bytes": (b"\xff" * 8 + b"{}", "18446744073709551615"),
    "no JSON": (packed(b"{'a'}"), "not JSON at byte 1"),
    "no header at all": (packed(b""), "not JSON at byte 0"),
    "not UTF-8": (packed(b'{"\xff": 1}'), "not UTF-8 at byte 2"),
    "byte-order mark": (packed(b"\xef\xbb\xbf{}"), "not JSON"),
    "zero padding": (packed(b"{}\0\0"), "not JSON at byte 2"),
    "a list": (packed([]), "not a JSON object"),
    "a number": (packed(b"1"), "not a JSON object"),
    "name twice": (
        packed(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'),
        "'a' twice",
    ),
    "key twice": (packed(b'{"a":{"dtype":"U8","dtype":"U8"}}'), "'dtype' twice"),
    "half a surrogate": (packed(b'{"__metadata__":{"a":"\\ud800"}}'), "half a surrogate"),
    "half a surrogate as name": (packed(b'{"\\udfff":{}}'), "half a surrogate"),
    "NaN": (packed(b'{"a":NaN}'), "NaN"),
    "number beyond float64": (packed(b'{"a":1e999}'), "beyond float64"),
    "endless digits": (packed(b'{"a":' + b"9" * 10**6 + b"}"), "beyond float64"),
    "nested deep": (packed(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"), "deeper than 127"),
    "nested very deep": (packed(b'{"a":' + b"[" * 10**6), "deeper than 127"),
    "metadata a list": (packed({"__metadata__": []}), "__metadata__ []"),
    "metadata not text": (packed({"__metadata__": {"a": 1}}), "__metadata__ {'a': 1}"),
    "entry a list": (packed({"w": ["U8", [0], [0, 0]]}), "'w'"),
    "no dtype": (packed({"w": {"shape": [0], "data_offsets": [0, 0]}}), "'w' the dtype None"),
    "unknown dtype": (packed({"w": entry(dtype="F8_E4M3")}), "'w' the dtype 'F8_E4M3'"),
    "dtype a list": (packed({"w": entry(dtype=["F32"])}), "'w' the dtype ['F32']"),
    "shape a number": (packed({"w": entry(shape=2)}, bytes(8)), "'w' the shape 2"),
    "shape of floats": (packed({"w": entry(shape=[2.0])}, bytes(8)), "'w' the shape [2.0]"),
    "shape of truths": (packed({"w": entry([True], [0, 4])}, bytes(4)), "'w' the shape [True]"),
    "shape below zero": (packed({"w": entry(shape=[-2, -1])}, bytes(8)), "'w' the shape [-2, -1]"),
    "shape minus zero": (
        packed(b'{"w":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'),
        "'w' the shape [-0.0]",
    ),
    "shape too large": (packed({"w": entry([HUGE, 2], [0, 0])}), "too large"),
    "shape too large but empty": (packed({"w": entry([0, HUGE], [0, 0])}), "too large"),
    "product overflows to zero": (packed({"w": entry([2**32, 2**32], [0, 0])}), "too large"),
    "65 axes": (packed({"w": entry([1] * 65, [0, 4])}, bytes(4)), "too large"),
    "one offset": (packed({"w": entry(offsets=[0])}, bytes(8)), "'w' the data_offsets [0]"),
    "three offsets": (packed({"w": entry(offsets=[0, 8, 8])}, bytes(8)), "'w' the data_offsets"),
    "offsets of floats": (
        packed({"w": entry(offsets=[0, 8.0])}, bytes(8)),
        "data_offsets [0, 8.0]",
    ),
    "begin after end": (packed({"w": entry(offsets=[8, 0])}, bytes(8)), "data_offsets [8, 0]"),
    "begin below zero": (packed({"w": entry(offsets=[-8, 0])}, bytes(8)), "data_offsets [-8, 0]"),
    "too few bytes": (packed({"w": entry(offsets=[0, 7])}, bytes(7)), "takes 8 bytes"),
    "too many bytes": (packed({"w": entry(offsets=[0, 9])}, bytes(9)), "takes 8 bytes"),
    "hole at the start": (packed({"w": entry(offsets=[4, 12])}, bytes(12)), "leaves a hole"),
    "hole between": (
        packed({"v": entry(), "w": entry(offsets=[12, 20])}, bytes(20)),
        "'w' at byte 144, which leaves a hole before it: byte 140 is next",
    ),
    "overlap": (packed({"v": entry(), "w": entry(offsets=[4, 12])}, bytes(12)), "overlaps"),
    "past the end": (packed({"w": entry()}, bytes(7)), "describes a file of"),
    "bytes left over": (packed({"w": entry()}, bytes(9)), "describes a file of"),
    "nothing but bytes": (packed({}, bytes(1)), "describes a file of"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_its_reason(tmp_path, case):
    raw, words = HOSTILE[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert words in message and str(path) in message
    assert len(message) < 500 + len(str(path)) and "\n" not in message


def test_what_is_odd_but_allowed_is_read(tmp_path):
    def tensors(header: object, data: bytes = b"") -> dict[str, bytes]:
        (tmp_path / "x").write_bytes(packed(header, data))
        safetensors.numpy.load_file(tmp_path / "x")
        return {name: array.tobytes() for name, array in read(tmp_path / "x").items()}

    assert tensors({}) == {}
    write(tmp_path / "empty", {}, {})
    assert read(tmp_path / "empty") == {} == read(tmp_path / "empty").metadata
    assert tensors(b" {} \n") == {}
    assert tensors({"__metadata__": None}) == {}
    assert tensors({"w": {**entry([], [0, 4]), "more": [1, -2.5, None, {"a": "b"}]}}, b"abcd") == {
        "w": b"abcd"
    }
    two = {"w": entry([1], [4, 8]), "v": entry([1], [0, 4]), "none": entry([0], [4, 4])}
    assert tensors(two, b"abcdefgh") == {"v": b"abcd", "none": b"", "w": b"efgh"}


def test_a_lying_header_costs_no_memory(tmp_path):
    lies = [
        b"\xff" * 8 + bytes(100),
        (90_000_000).to_bytes(8, "little") + b"{}",
        packed({"w": entry([2**40], [0, 2**42])}),
    ]
    for lie in lies:
        (tmp_path / "x").write_bytes(lie)
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            read(tmp_path / "x")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200_000


def test_opening_reads_no_tensor(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        header = json.dumps({"w": entry([2**28], [0, 2**30])}).encode().ljust(128)
        file.write(packed(header))
        file.truncate(file.tell() + 2**30)  # a sparse gigabyte
    tracemalloc.start()
    w = read(tmp_path / "x")["w"]
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    assert w[-1] == 0


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        ".": "not a regular file",
        "pipe": "not a regular file",
        "missing": "No such file",
        "missing/x": "No such file",
        "x" * 300: "too long",
        "\0": "null byte",
    }.items():
        with pytest.raises(CheckpointError, match=words):
            read(tmp_path / name)


BASE = {
    "__metadata__": {"format": "pt"},
    "a": entry([2, 3], [0, 24]),
    "b": entry([3], [24, 30], "F16"),
    "c": entry([], [30, 31], "BOOL"),
    "d": entry([0, 2], [31, 31], "U8"),
}
SNIPPETS = st.sampled_from(
    [
        *rb'0 -0 1 -1 2 24 1.0 1e3 99999999999999999999 [ ] { } , : "a" "F32" "U64"'.split(),
        *rb'"dtype": null true NaN / \ \u0061 \ud800'.split(),
        *(b'"', b" ", b"\n", b"\0", b"\x7f", b"\xff", b"\xef\xbb\xbf"),
    ]
)
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 6), SNIPPETS | st.binary(max_size=4)),
    min_size=1,
    max_size=4,
)


@settings(RELAXED, max_examples=400)
@given(MUTATIONS, st.booleans(), st.just(b"") | st.binary(max_size=2))
def test_a_mutated_file_is_refused_wherever_the_library_refuses(tmp_path, mutations, whole, tail):
    header, data = json.dumps(BASE).encode(), bytes(range(31))
    raw = packed(header, data) if whole else header
    for at, length, new in mutations:
        raw = raw[:at] + new + raw[at + length :]
    raw = raw if whole else packed(raw, data + tail)
    (tmp_path / "x").write_bytes(raw)
    try:
        ours = {name: array.tobytes() for name, array in read(tmp_path / "x").items()}
    except CheckpointError:
        return
    theirs = safetensors.numpy.load(raw)  # raises, and fails the test, where it refuses
    assert ours == {name: array.tobytes() for name, array in theirs.items()}


# ---- Writing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "metadata", "words"),
    [
        ({"__metadata__": np.zeros(1)}, None, "'__metadata__'"),
        ({"w": np.zeros(1, object)}, None, "'w' of type object"),
        ({"w": np.zeros(1, "U3")}, None, "'w' of type <U3"),
        ({"w": np.zeros(1, "f4,i4")}, None, "'w' of type"),
        ({"w": np.zeros(1, np.complex128)}, None, "complex128"),
        ({"\ud800": np.zeros(1)}, None, "the name of a tensor"),
        ({3: np.zeros(1)}, None, "3 as the name of a tensor"),
        ({}, {"a": 1}, "1 as metadata under 'a'"),
        ({}, {"a": "\udfff"}, "metadata under 'a'"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_a_file_appears(
    tmp_path, tensors, metadata, words
):
    with pytest.raises(CheckpointError) as caught:
        write(tmp_path / "x", tensors, metadata)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_nobody_could_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("refdiff.safetensors.LONGEST_HEADER", 64)
    write(tmp_path / "x", {"w": np.zeros(1)})
    with pytest.raises(CheckpointError, match="header of 112 bytes"):
        write(tmp_path / "y", {"v": np.zeros(1), "w": np.zeros(1)})
    assert not (tmp_path / "y").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write(path, {"w": np.zeros(3)})
    before = path.read_bytes()

    class Broken(dict):
        def __getitem__(self, name):
            self.reads = getattr(self, "reads", 0) + 1
            if self.reads == 3:  # shape and size for the header come first
                raise KeyboardInterrupt
            return super().__getitem__(name)

    with pytest.raises(KeyboardInterrupt):
        write(path, Broken(w=np.ones(3)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writing_over_the_file_being_read_is_safe(tmp_path):
    path = tmp_path / "x"
    write(path, {"w": np.arange(100_000)})
    file = read(path)
    write(path, {"w": file["w"] + 1})
    np.testing.assert_array_equal(file["w"], np.arange(100_000))
    np.testing.assert_array_equal(read(path)["w"], np.arange(100_000) + 1)


def test_targets_that_cannot_be_written(tmp_path):
    for target, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "x", "create it first"),
        (Path(os.devnull), "device"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        with pytest.raises(RefdiffError, match=words):
            write(target, {})
    assert list(tmp_path.iterdir()) == []
