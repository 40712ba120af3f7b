"""JSON as RFC 8259 has it, for files from strangers: Python's reader forgives too much."""

import json
import math
from collections.abc import Sequence

DEEPEST = 127  # levels of nesting; the limit of serde_json, hence of the safetensors library


def parse_json(data: bytes, *, infinities: bool = False) -> object:
    """The value in `data`, which must be UTF-8 text holding one JSON value.

    Refused, beyond what is not JSON: NaN and Infinity, numbers beyond float64, names that occur
    twice in one object, lone surrogates, a byte-order mark, nesting deeper than 127.
    With `infinities`, Infinity and -Infinity pass, which Python's writers put into some files.

    Raises ValueError with a clause that fits behind "the file ..." and, where known, the byte.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_infinity if infinities else _constant,
        )
    except json.JSONDecodeError as error:
        byte = len(text[: error.pos].encode())
        raise ValueError(f"is not JSON at byte {byte} ({error.msg})") from error
    except RecursionError as error:
        raise ValueError(f"is nested deeper than {DEEPEST} levels") from error
    _check(value, 0)
    return value


def show(value: object, limit: int = 60) -> str:
    """`value` for a message: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"has the name {show(name)} twice in one object")
        result[name] = value
    return result


def _integer(text: str) -> int | float:
    # No 64-bit integer has more than 20 characters, and Python is slow at very long ones.
    # "-0" is a float here as in serde_json: a count may not be written so.
    return int(text) if len(text) <= 20 and text != "-0" else _real(text)


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"has the number {show(text)}, which is beyond float64")
    return value


def _constant(text: str) -> object:
    raise ValueError(f"has the number {text}, which JSON does not know")


def _infinity(text: str) -> object:
    return _constant(text) if text == "NaN" else float(text)


def _check(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list | dict):
        if depth == DEEPEST:
            raise ValueError(f"is nested deeper than {DEEPEST} levels")
        for name in value if isinstance(value, dict) else ():
            _check_text(name)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"has half a surrogate pair in the text {show(text)}") from error
