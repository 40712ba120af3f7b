"""How sigma itself may be spaced between two ends: (first, last, count) -> [count], falling."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion import rounded

Respacing = Callable[[float, float, int], NDArray[np.float64]]


def karras(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of sigma^(1/7) (2206.00364, eq. 5 with rho = 7): -> [count]"""
    return polynomial(first, last, np.linspace(0, 1, count), rho=7)


def polynomial(first: float, last: float, share: NDArray[Any], rho: float) -> NDArray[Any]:
    """Sigma where sigma^(1/rho) is at these shares of its way (2206.00364, eq. 5): -> [count]"""
    a, b = first ** (1 / rho), last ** (1 / rho)
    return rounded.power(a + share * (b - a), rho)


def exponential(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of log(sigma): -> [count]"""
    return np.exp(np.linspace(np.log(first), np.log(last), count))


def beta(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Quantiles of the Beta(0.6, 0.6) distribution, dense at both ends (2407.12173): -> [count]"""
    from scipy.special import betaincinv  # slow to import, and rarely wanted

    return last + betaincinv(0.6, 0.6, 1 - np.linspace(0, 1, count)) * (first - last)


# the keys of a scheduler_config.json that ask for one
FLAGS: dict[str, Respacing] = {
    "use_karras_sigmas": karras,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}
