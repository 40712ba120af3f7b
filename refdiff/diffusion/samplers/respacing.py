"""How sigma itself may be spaced between two ends: (first, last, count) -> [count], falling."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.published import (
    align_your_steps_sd,
    align_your_steps_sdxl,
    align_your_steps_svd,
)

Respacing = Callable[[float, float, int], NDArray[np.float64]]


def karras(first: float, last: float, count: int, rho: float = 7) -> NDArray[np.float64]:
    """Equal steps of sigma^(1/rho) (2206.00364, eq. 5): -> [count]"""
    return polynomial(first, last, np.linspace(0, 1, count), rho)


def polynomial(first: float, last: float, share: NDArray[Any], rho: float) -> NDArray[Any]:
    """Sigma where sigma^(1/rho) is at these shares of its way (2206.00364, eq. 5): -> [count]"""
    a, b = first ** (1 / rho), last ** (1 / rho)
    return rounded.power(a + share * (b - a), rho)


def exponential(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of log(sigma): -> [count]"""
    return np.exp(np.linspace(np.log(first), np.log(last), count))


def polyexponential(first: float, last: float, count: int, rho: float = 1) -> NDArray[np.float64]:
    """log(sigma) along u^rho, u from 1 to 0 (k-diffusion); rho 1 is `exponential`: -> [count]"""
    return last * (first / last) ** (np.linspace(1, 0, count) ** rho)


def kl_optimal(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of arctan(sigma), best for Gaussian data (2404.14507): -> [count]"""
    return np.tan(np.linspace(np.arctan(first), np.arctan(last), count))


def beta(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Quantiles of the Beta(0.6, 0.6) distribution, dense at both ends (2407.12173): -> [count]"""
    from scipy.special import betaincinv  # slow to import, and rarely wanted

    return last + betaincinv(0.6, 0.6, 1 - np.linspace(0, 1, count)) * (first - last)


def uniform_lambda(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Equal steps of lambda = -log(sigma) (2206.00927, section 3.4), `exponential`: -> [count]"""
    return exponential(first, last, count)


RESPACINGS: dict[str, Respacing] = {
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "beta": beta,
    "kl_optimal": kl_optimal,
    "align_your_steps": align_your_steps_sd,
    "align_your_steps_sdxl": align_your_steps_sdxl,
    "align_your_steps_svd": align_your_steps_svd,
}
# those that have a rho
POWERS = {"karras": karras, "polyexponential": polyexponential}
# the keys of a scheduler_config.json that ask for one
FLAGS: dict[str, Respacing] = {
    "use_karras_sigmas": karras,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
    "use_lu_lambdas": uniform_lambda,
}
