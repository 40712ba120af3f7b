"""Improved pseudo linear multistep: PNDM's blends (2202.09778, eq. 12) from the first call on.

Katherine Crowson's v-diffusion. The model says v, at times from 1 to 0 of a schedule of its own,

    sigma = sin^2(pi/2 u),  alpha = sqrt(1 - sigma^2),  t = 2/pi atan2(sigma, alpha)

with u from 1 to 0 in equal steps, alpha^2 being alpha_bar. Each v becomes eps = sigma x + alpha v,
the last four eps are blended, and DDIM's step is taken along the blend.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.blends import Memory, adams_bashforth
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VariancePreserving
from refdiff.diffusion.samplers.keys import Key, Values, integer, is_number
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS, PRECISION, ramp
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class IpndmRow(NamedTuple):
    """x_s = alpha_s * x0 + sigma_s * eps"""

    t: float
    alpha: float
    sigma: float
    alpha_s: float
    sigma_s: float

    @property
    def alpha_bar(self) -> float:
        """alpha^2."""
        return self.alpha**2


@dataclass(frozen=True)
class Ipndm(Deterministic, VariancePreserving):
    """IPNDM. sigmas, one more than the steps, take the place of sin^2; T bounds the steps."""

    T: int = 1000
    sigmas: tuple[float, ...] | None = None
    dialect: Dialect = "diffusers"

    def plan(self, steps: int) -> Plan[IpndmRow]:
        """One row a step, from pure noise to the data."""
        check_steps(steps, self.T)
        if self.sigmas is not None and len(self.sigmas) != steps + 1:
            raise ConfigError(
                f"{steps} steps were asked of {len(self.sigmas)} given sigmas (trained_betas), "
                f"expected {len(self.sigmas) - 1}: take so many steps, or give other sigmas"
            )
        precision = PRECISION[self.dialect]
        quarter_turn = precision(np.pi) / 2
        if self.sigmas is None:
            sigma = rounded.sin(ramp(1.0, 0.0, steps + 1, self.dialect) * quarter_turn) ** 2
        else:
            sigma = np.array(self.sigmas, precision)
        alpha = np.sqrt(1 - sigma**2)
        return tabulate(
            IpndmRow,
            t=rounded.arctan2(sigma, alpha)[:-1] / precision(np.pi) * 2,
            alpha=alpha[:-1],
            sigma=sigma[:-1],
            alpha_s=alpha[1:],
            sigma_s=sigma[1:],
        )

    def step(
        self,
        plan: Plan[IpndmRow],
        i: int,
        x: Array,
        out: Array,
        memory: Memory | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Memory]:
        """alpha_s x0 + sigma_s eps, with x0 = (x - sigma eps) / alpha and eps the blend.

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        Of pure noise, alpha = 0, v says x0 = -v. diffusers divides x - eps by 1e-8 there.
        """
        row = plan.rows[i]
        eps, memory = adams_bashforth(x, row.sigma * x + row.alpha * out, memory)
        if row.alpha == 0 and self.dialect == "paper":
            x0 = -out
        else:
            x0 = (x - row.sigma * eps) / max(row.alpha, 1e-8)
        return row.alpha_s * x0 + row.sigma_s * eps, memory


def _falls(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and 2 <= len(values) <= MAX_STEPS
        and all(map(is_number, values))
        and all(a > b for a, b in pairwise(values))
        and values[0] <= 1
        and values[-1] >= 0
    )


_FALLING = Key(
    None,
    f"null or a list of 2 to {MAX_STEPS} numbers, falling from 1 or less to 0 or more",
    lambda v: v is None or _falls(v),
)


def _build(c: Values, dialect: Dialect) -> Ipndm:
    sigmas = c["trained_betas"]
    return Ipndm(c["num_train_timesteps"], None if sigmas is None else tuple(sigmas), dialect)


ENTRY = Entry(
    "ipndm",
    "IPNDMScheduler",
    _build,
    order=2,
    good_for="models of v in continuous time, such as Dance Diffusion",
    read={"num_train_timesteps": integer(1000, 1, MAX_STEPS), "trained_betas": _FALLING},
)
