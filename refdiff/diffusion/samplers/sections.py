"""guided-diffusion's ways of keeping some of the T times: whole strides, and counts by section.

"ddim25"      every k-th time from 0, with the least k that keeps 25
"10,15,20"    three sections as equal as can be, with 10, 15 and 20 times, from the data up

Its samplers then run over the kept times with betas 1 - alpha_bar_t / alpha_bar_s, which is what
DDPM and DDIM do here between any two times (2102.09672, section 4, eq. 19).
"""

import re

import numpy as np
from numpy.typing import NDArray

from refdiff.errors import ConfigError

STRIDE = re.compile(r"ddim[1-9][0-9]{0,6}")
COUNTS = re.compile(r"[1-9][0-9]{0,6}(,[1-9][0-9]{0,6}){0,999}")


def is_section_spacing(word: str) -> bool:
    """Whether it is "ddimN", or counts joined by commas."""
    return bool(STRIDE.fullmatch(word) or COUNTS.fullmatch(word))


def kept(spacing: str, steps: int, T: int) -> NDArray[np.float64]:
    """The times that a section spacing keeps of T, which must be `steps`: -> [steps], falling

    Raises ConfigError where they are more or fewer, and where T cannot be divided so.
    """
    if spacing.startswith("ddim"):
        times = _strided(int(spacing.removeprefix("ddim")), T)
    else:
        times = _by_section([int(count) for count in spacing.split(",")], T)
    if len(times) != steps:
        raise ConfigError(
            f"spacing {spacing!r} keeps {len(times)} times and {steps} steps were asked for, "
            f"expected as many: ask for {len(times)} steps"
        )
    return times[::-1]


def _strided(count: int, T: int) -> NDArray[np.float64]:
    times = np.arange(0, T, -(-T // count), dtype=np.float64)
    if len(times) != count or count == 1:
        raise ConfigError(
            f"spacing 'ddim{count}' is to keep {count} of {T} times by a whole stride, expected a "
            f"number that one gives: try {max(len(times), 2)}"
        )
    return times


def _by_section(counts: list[int], T: int) -> NDArray[np.float64]:
    sizes = [T // len(counts) + (i < T % len(counts)) for i in range(len(counts))]
    for size, count in zip(sizes, counts, strict=True):
        if count > size:
            raise ConfigError(
                f"a section of {size} times is to give {count} of them, expected at most {size}: "
                "lower its count or take fewer sections"
            )
    starts = np.cumsum([0, *sizes[:-1]])
    sections = zip(starts, sizes, counts, strict=True)
    return np.concatenate([start + _even(size, count) for start, size, count in sections])


def _even(size: int, count: int) -> NDArray[np.float64]:
    """`count` of 0 ... size - 1, both ends among them, rounded after adding up as the original."""
    stride = (size - 1) / (count - 1) if count > 1 else 1.0
    return np.round(np.cumsum([0.0, *[stride] * (count - 1)]))
