"""NumPy's own files: one array (.npy), or a zip archive of them (.npz) in the order written.

    \\x93NUMPY   major, minor version; length of the header (2 bytes; 4 from version 2 on)
    header      {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
    the rest    the values

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header is
Python in the format's words; here three patterns read it, and nothing is evaluated.
"""

import re
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refdiff.errors import CheckpointError
from refdiff.op import Array
from refdiff.strict_json import show
from refdiff.verify.dumps.dump import BFLOAT16, Buffer, Dump, Entry, check_shape, map_file

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000  # bytes; NumPy's own limit
DEFLATE = 1032  # the most that its format can compress
DESCR = re.compile(r"""["']descr["']\s*:\s*["']([^"']{1,20})["']""")
FORTRAN = re.compile(r"""["']fortran_order["']\s*:\s*(True|False)""")
SHAPE = re.compile(r"""["']shape["']\s*:\s*\(((?:\s*\d{1,19}L?\s*,?)*)\s*\)""")


class Header(NamedTuple):
    dtype: str | np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran: bool
    begin: int  # byte of the first value


def open_npy(path: Path) -> Dump:
    """One array, named as its file."""
    shape = _header(map_file(path)).shape
    return Dump(path, {path.stem: Entry(shape, lambda: _array(map_file(path)))})


def open_npz(path: Path) -> Dump:
    """An archive's arrays: views of the file where they are stored, unpacked where compressed.

    Raises CheckpointError for a member that is no .npy file, encrypted, or not what it claims.
    """
    file = map_file(path)
    entries: dict[str, Entry] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise file.error(f"is no readable zip archive ({error})") from error
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename or name in entries:
            kind = "twice" if name in entries else "that is no .npy file"
            raise CheckpointError(
                f"{path} holds {show(member.filename)} {kind}, and an archive of arrays by name is "
                "expected; write one with numpy.savez."
            )
        shape = _header(_unpack(file, member, LONGEST_HEADER)).shape
        entries[name] = Entry(shape, partial(_read_member, file, member))
    return Dump(path, entries)


def _read_member(file: Buffer, member: zipfile.ZipInfo) -> Array:
    return _array(_unpack(file, member, member.file_size))


def _unpack(file: Buffer, member: zipfile.ZipInfo, limit: int) -> Buffer:
    """The first `limit` bytes of a member, and no more than its compressed bytes can hold."""
    part = Buffer(file.path, file.data, f"member {show(member.filename)}")
    if member.flag_bits & 1 or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise part.error("is encrypted or compressed by another method than deflate")
    head = file.data[member.header_offset : member.header_offset + 30]
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise part.error(f"has no local header at byte {member.header_offset}")
    begin = member.header_offset + 30 + sum(struct.unpack("<HH", head[26:]))
    packed = memoryview(file.data)[begin : begin + member.compress_size]
    if len(packed) < member.compress_size:
        raise part.error(f"ends after {len(packed)} of {member.compress_size} bytes")
    if member.compress_type == zipfile.ZIP_STORED:
        return Buffer(file.path, packed, part.what)
    if member.file_size > DEFLATE * (len(packed) + 1):
        raise part.error(f"claims {member.file_size} bytes out of {len(packed)}")
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max(1, limit))
    except zlib.error as error:
        raise part.error(f"cannot be unpacked ({error})") from error
    return Buffer(file.path, data, part.what)


def _array(file: Buffer) -> Array:
    header = _header(file)
    return file.array(header.dtype, header.shape, header.begin, fortran=header.fortran)


def _header(file: Buffer) -> Header:
    start = bytes(file.data[:12])
    if len(start) < 12 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise file.error(f"starts with {show(start[:8])}, not as a .npy file")
    begin = 10 if start[6] == 1 else 12
    length = int.from_bytes(start[8:begin], "little")
    text = bytes(file.data[begin : begin + min(length, LONGEST_HEADER)]).decode("latin-1")
    found = [pattern.search(text) for pattern in (DESCR, FORTRAN, SHAPE)]
    if len(text) < length or not all(found):
        raise file.error(f"has no readable .npy header of {length} bytes at byte {begin}")
    descr, fortran, sizes = (match[1] for match in found if match)
    shape = tuple(int(size) for size in re.findall(r"\d+", sizes))
    dtype = _dtype(file, descr)
    check_shape(shape, 8, file.error)
    return Header(dtype, shape, fortran == "True", begin + length)


def _dtype(file: Buffer, descr: str) -> str | np.dtype[np.generic]:
    if descr.lstrip("<|=") == "V2":  # what bfloat16 arrays of ml_dtypes and JAX are saved as
        return BFLOAT16
    if re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", descr) is None:
        raise file.error(f"has the type {show(descr)}, and numbers are expected")
    try:
        return np.dtype(descr)
    except TypeError as error:
        raise file.error(f"has the type {show(descr)}, which NumPy does not know") from error
