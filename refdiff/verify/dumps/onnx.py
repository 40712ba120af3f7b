"""ONNX's TensorProto (.pb), as its test data sets hold them: one tensor a file.

The values lie in raw_data, or in the one repeated field that the type has: float_data, int32_data
(narrow integers, and the bits of 16-bit floats), int64_data, double_data, uint64_data.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refdiff.op import Array
from refdiff.verify.dumps.dump import BFLOAT16, Buffer, Dump, Entry, check_shape, map_file, widen
from refdiff.verify.dumps.protobuf import BYTES, EIGHT, FOUR, VARINT, fields, varints

# Fields of the message.
DIMS, DATA_TYPE, SEGMENT, NAME, RAW = 1, 2, 3, 8, 9
EXTERNAL, LOCATION = 13, 14
FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 4, 5, 7, 10, 11

DTYPES = {  # data_type: the values' type, the field that holds them where raw_data does not
    1: ("float32", FLOATS),
    2: ("uint8", INT32S),
    3: ("int8", INT32S),
    4: ("uint16", INT32S),
    5: ("int16", INT32S),
    6: ("int32", INT32S),
    7: ("int64", INT64S),
    9: ("bool", INT32S),
    10: ("float16", INT32S),
    11: ("float64", DOUBLES),
    12: ("uint32", UINT64S),
    13: ("uint64", UINT64S),
    16: (BFLOAT16, INT32S),
}
FIXED = {FLOATS: (FOUR, "<f4"), DOUBLES: (EIGHT, "<f8")}


class _Message(NamedTuple):
    file: Buffer
    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: bytes | None
    values: Array  # of the repeated field


def open_pb(path: Path) -> Dump:
    """One tensor by its own name, or where it has none by its file's.

    Raises CheckpointError where the file is no TensorProto, or its values lie elsewhere.
    """
    message = _parse(map_file(path))
    return Dump(path, {message.name or path.stem: Entry(message.shape, lambda: _read(path))})


def _parse(file: Buffer) -> _Message:
    try:
        found = fields(bytes(file.data))
        numbers = {
            number: varints(b"".join(found[number, VARINT] + found[number, BYTES]))
            for number in (DIMS, DATA_TYPE, LOCATION)
        }
        if len(numbers[DATA_TYPE]) != 1 or int(numbers[DATA_TYPE][0]) not in DTYPES:
            raise ValueError(
                f"has the data_type {numbers[DATA_TYPE].tolist()[:4]}, no known number"
            )
        if found[EXTERNAL, BYTES] or numbers[LOCATION].any() or found[SEGMENT, BYTES]:
            raise ValueError("keeps its values in another file or in pieces, and not in itself")
        shape = tuple(numbers[DIMS].tolist())
        if any(size < 0 for size in shape):
            raise ValueError(f"has the shape {list(shape)[:8]}, not whole numbers >= 0")
        dtype, field = DTYPES[int(numbers[DATA_TYPE][0])]
        kind, fixed = FIXED.get(field, (VARINT, ""))
        data = b"".join(found[field, kind] + found[field, BYTES])
        if fixed and len(data) % int(fixed[-1]):
            raise ValueError(f"ends inside a number of field {field}")
        values = np.frombuffer(data, fixed) if fixed else varints(data)
        name = b"".join(found[NAME, BYTES][-1:]).decode()
    except ValueError as error:
        raise file.error(f"is no usable TensorProto: it {error}") from error
    check_shape(shape, 8, file.error)
    raw = b"".join(found[RAW, BYTES]) if found[RAW, BYTES] else None
    size = len(values) if raw is None else len(raw) // (2 if dtype == BFLOAT16 else _width(dtype))
    if size != math.prod(shape):
        raise file.error(f"has {size} values, and the shape {list(shape)} takes {math.prod(shape)}")
    return _Message(file, name, dtype, shape, raw, values)


def _width(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def _read(path: Path) -> Array:
    file, _, dtype, shape, raw, values = _parse(map_file(path))
    if raw is not None:
        return Buffer(file.path, raw).array(dtype, shape)
    if dtype in ("float16", BFLOAT16):
        bits = values.astype(np.uint16)
        values = widen(bits) if dtype == BFLOAT16 else bits.view(np.float16)
    return values.astype(dtype if dtype != BFLOAT16 else np.float32).reshape(shape)
