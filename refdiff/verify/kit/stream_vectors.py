"""Vectors without floating-point inputs: prompts to ids, seeds to noise."""

from typing import Any

import numpy as np

from refdiff import noise
from refdiff.op import Array
from refdiff.params import Params
from refdiff.text import Tokenizer
from refdiff.verify.kit.vector import Named, Vector, Vectors, nothing, stored

PROMPTS = {
    "plain": ["", "a frog", "frogs on stilts", "A PHOTO of a Cat, 35mm film"],
    "unicode": ["naïve café", "日本の山", "🐸🐸 on stilts", "ﬁne ½ Ⅳ", "e\u0301te\u0301"],
    "spaces": [
        "  two   spaces ",
        "line\nbreak\tand tab",
        "it's they'll we're I'd",
        "1234 3.14 x86",
    ],
    "long": ["frog " * 80, "<|startoftext|> a frog <|endoftext|> more", "don't-stop_now!!! :-)"],
}
STREAMS = (
    "torch-cpu",
    "torch-cuda:82",
    "torch-cuda:2x512",
    "a1111",
    "jax",
    "jax-original",
    "numpy",
    "libstdc++",
)
DRAWS = ((0, (1, 4, 24, 24)), (42, (2, 4, 5, 7)), (2**32 - 1, (15,)))


def stream_vectors() -> Vectors:
    """Tokenizer, then every stream of noise."""
    for which, prompts in PROMPTS.items():
        yield tokenizing(which, prompts)
    for name in STREAMS:
        for seed, shape in DRAWS:
            yield drawing(name, seed, shape)


def asked(id: str, of: str, attributes: dict[str, Any], name: str, value: Array) -> Vector:
    """The vector whose answer is known before anything is computed."""

    def run(p: Params, given: Named) -> Named:
        if value.dtype.kind == "i" or p.dtype == np.float64:
            return {name: value.copy()}
        # another library's logarithm and cosine may be off in the last place
        return {name: stored(np.nextafter(value, np.float32(0)))}

    layout = {f"out.{name}": "NL" if value.dtype.kind == "i" else "*"}
    return Vector(id, of, run, {}, {}, attributes, (of,), layout, nothing, bounded=False)


def tokenizing(which: str, prompts: list[str]) -> Vector:
    """CLIP's tokenizer: rows of 77 ids."""
    ids = np.array(Tokenizer.clip()(prompts), np.int64)
    return asked(f"tokenizer/clip/{which}", "tokenizer", {"prompts": prompts}, "ids", ids)


def drawing(name: str, seed: int, shape: tuple[int, ...]) -> Vector:
    """Standard normal float32 numbers, the first that a fresh stream gives."""
    x = noise.from_name(name, seed).normal(shape, np.float32)
    attributes = {"stream": name, "seed": seed, "shape": list(shape), "dtype": "float32"}
    word = name.replace(":", "-").replace("+", "p")
    return asked(f"noise/{word}/{seed}-{len(shape)}d", "noise", attributes, "normal", x)
