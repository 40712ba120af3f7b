"""Noise levels that were found by optimisation and published as tables.

Align Your Steps (2404.14507): sigmas for ten steps with three models, each ending in the model's
least sigma, which a sampler replaces by 0. Other numbers of steps are read off the same curve.
"""

import numpy as np
from numpy.typing import NDArray

SD = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
SVD = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)


def read_off(levels: tuple[float, ...], count: int) -> NDArray[np.float64]:
    """The first `count` of count + 1 sigmas, log(sigma) linear between the levels: -> [count]"""
    where, at = np.linspace(0, 1, count + 1)[:-1], np.linspace(0, 1, len(levels))
    return np.exp(np.interp(where, at, np.log(levels)))


def align_your_steps_sd(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Stable Diffusion 1's levels, between ends of their own: -> [count]"""
    return read_off(SD, count)


def align_your_steps_sdxl(first: float, last: float, count: int) -> NDArray[np.float64]:
    """SDXL's levels, between ends of their own: -> [count]"""
    return read_off(SDXL, count)


def align_your_steps_svd(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Stable Video Diffusion's levels, between ends of their own: -> [count]"""
    return read_off(SVD, count)
