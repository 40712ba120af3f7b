"""One step of DPM-Solver-1, -2 or -3 in sigma, call by call (2206.00927, algorithms 1 and 2).

With lambda = -log(sigma), from lambda to lambda + h, the model is asked at a share r of the way,
r = 0 first, and what it said there leads to a share r' further on:

    x' = x - sigma' (e^(r' h) - 1) eps_0 - sigma' (r' / r) change(r' h) (eps_r - eps_0)
    sigma' = e^-(lambda + r' h)
    change(u) = (e^u - 1) / 2 in order 2,    (e^u - 1) / u - 1 in order 3

from the step's own x and eps_0 at every call. Order p asks at the shares 0, 1/p ... (p - 1)/p.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.samplers.renewal import down_and_up
from refdiff.diffusion.samplers.sigmas import DENOISED, scalings, to_t
from refdiff.diffusion.types import Array

Whole = NDArray[np.int64]


class StageRow(NamedTuple):
    """x_0 - of_eps * eps_0 - of_change * (eps - eps_0) + noise_std * z, _0: where it `begins`"""

    t: float
    sigma: float
    variance: float
    std: float
    begins: bool
    of_eps: float
    of_change: float
    noise_std: float


class Begun(NamedTuple):
    """A step under way: x and eps where it began."""

    x: Array
    eps: Array


class Share(NamedTuple):
    """Calls by their shares of the way: [rows] each. to: where the call leads, 1 at the end."""

    of: Array
    to: Array
    order: Whole


def shares(orders: Whole) -> tuple[Whole, Share]:
    """Which step each call belongs to, and its shares: orders [steps] -> step [calls], Share"""
    step = np.repeat(np.arange(len(orders)), orders)
    order = orders[step]
    stage = np.arange(len(step)) - (np.cumsum(orders) - orders)[step]
    return step, Share(stage / order, (stage + 1) / order, order)


def coefficients(lambda_: Array, h: Array, share: Share) -> tuple[Array, Array]:
    """of_eps and of_change: lambda_ [rows], h [rows] -> [rows] each"""
    r, r_to = share.of, share.to
    growth, sigma_to = np.expm1(r_to * h), np.exp(-(lambda_ + r_to * h))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(share.order == 2, growth / 2, growth / (r_to * h) - 1)
        of_change = np.where(r == 0, 0, sigma_to * (r_to / r) * change)
    return sigma_to * growth, of_change


def columns(table: Array, lambda_: Array, h: Array, share: Share) -> dict[str, Array]:
    """A plan's columns but for the noise, sigma asked at the share of the way: -> [rows] each"""
    sigma = np.exp(-(lambda_ + share.of * h))
    of_eps, of_change = coefficients(lambda_, h, share)
    return {
        "t": to_t(table, sigma),
        **scalings(sigma),
        "begins": share.of == 0,
        "of_eps": of_eps,
        "of_change": of_change,
    }


def descent(start: Array, to: Array, end: float, eta: float) -> tuple[Array, Array]:
    """lambda_down and noise_std of steps in lambda: start [steps], to [steps] -> [steps] each

    With eta no step goes below the end, where sigma is least, also not to come up again.
    """
    if eta == 0:
        return to, np.zeros_like(to)
    sigma_down, _ = down_and_up(np.exp(-start), np.exp(-to), eta)
    down = np.maximum(sigma_down, np.exp(-end))
    return -np.log(down), np.sqrt(np.maximum(np.exp(-to) ** 2 - down**2, 0))


def eps_of(prediction: str, row: StageRow, x: Array, out: Array) -> Array:
    """The noise that out implies. x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]"""
    return (x - DENOISED[prediction](x, out, row)) / row.sigma


def landed(row: StageRow, begun: Begun, eps: Array) -> Array:
    """Where the row's call leads, without noise. eps [N,C,H,W] -> [N,C,H,W]"""
    return begun.x - row.of_eps * begun.eps - row.of_change * (eps - begun.eps)
