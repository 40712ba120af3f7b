"""Multistep DPM-Solver++ with EDM's own preconditioning and noise levels (2206.00364, table 1).

x = x0 + sigma eps, so that lambda = -log(sigma), and the network F is wrapped as `edm_euler` says:
x0 = c_skip x + c_out F(x / sqrt(sigma^2 + sigma_data^2), log(sigma) / 4).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.build import correction_of
from refdiff.diffusion.samplers.correction import Correction, keep
from refdiff.diffusion.samplers.denoisers import Normalised, check_range, spread
from refdiff.diffusion.samplers.edm_euler import EDM_KEYS
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.keys import THRESHOLD, Values, flag
from refdiff.diffusion.samplers.lambdas import exploding
from refdiff.diffusion.samplers.multistep import Multistep
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.solver_keys import multistep_keys, multistep_parts
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


class EdmDpmRow(NamedTuple):
    """x0 = c_skip x + c_out F, and a `MultistepRow`; std is that of x, sqrt(sigma^2 + data^2)."""

    t: float
    sigma: float
    std: float
    c_skip: float
    c_out: float
    order: int
    inv_r0: float
    inv_r1: float
    r0_share: float
    inv_r01: float
    of_x: float
    of_d0: float
    of_d1: float
    of_d1_third: float
    of_d2: float
    noise_std: float


@dataclass(frozen=True)
class EdmDpm(Multistep, Stochastic, Normalised):
    """Multistep DPM-Solver++ as EDM has it. The last sigma is 0, or sigma_min again."""

    T: int = 1000
    prediction: str = "epsilon"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    curve: Literal["karras", "exponential"] = "karras"
    rho: float = 7.0
    correction: Correction = keep
    final: Literal["zero", "sigma_min"] = "zero"
    dialect: Dialect = "diffusers"

    def __post_init__(self) -> None:
        check_range(self.sigma_min, self.sigma_max)
        sde = self.algorithm == "sde-dpmsolver++"
        if sde and self.order == 3 and self.dialect == "diffusers":
            raise ConfigError(
                "sde-dpmsolver++ is to be of third order with EDM's sigmas, where diffusers has no "
                "noise to add, expected first or second: set solver_order to 2"
            )

    def init_noise_sigma(self, plan: Plan[EdmDpmRow]) -> float:
        """sqrt(sigma_max^2 + 1): as if the data had variance 1."""
        return (self.sigma_max**2 + 1) ** 0.5

    def plan(self, steps: int) -> Plan[EdmDpmRow]:
        """One row a step."""
        check_steps(steps, self.T)
        sigma = spread(self.sigma_max, self.sigma_min, steps, self.curve, self.rho, self.dialect)
        # what rounding makes of sigma_min must not lie below it: the way is down
        end = 0.0 if self.final == "zero" else min(self.sigma_min, float(sigma[-1]))
        levels = exploding(np.append(sigma, sigma.dtype.type(end)))
        variance = sigma**2 + self.sigma_data**2
        c_out = sigma * self.sigma_data / np.sqrt(variance)
        return tabulate(
            EdmDpmRow,
            t=0.25 * rounded.log(sigma),
            sigma=sigma,
            std=np.sqrt(variance),
            c_skip=self.sigma_data**2 / variance,
            c_out=c_out if self.prediction == "epsilon" else -c_out,
            **self.columns(levels, self.dialect, euler=self.final == "zero"),
        )

    def step(
        self,
        plan: Plan[EdmDpmRow],
        i: int,
        x: Array,
        out: Array,
        memory: tuple[Array, ...] | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """A first-order step, and corrections by the derivatives that the past gives.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x0 = self.correction(row.c_skip * x + row.c_out * out)
        return self.advance(row, x, x0, memory, noise)


def _build(c: Values, dialect: Dialect) -> EdmDpm:
    return EdmDpm(
        T=c["num_train_timesteps"],
        **{key: c[key] for key in ("sigma_min", "sigma_max", "sigma_data", "rho")},
        **multistep_parts(c),
        prediction=c["prediction_type"],
        curve=c["sigma_schedule"],
        correction=correction_of(c),
        euler_final=c["euler_at_final"],
        final=c["final_sigmas_type"],
        dialect=dialect,
    )


ENTRY = Entry(
    "edm_dpm++",
    "EDMDPMSolverMultistepScheduler",
    _build,
    order=2,
    good_for="networks with EDM's preconditioning, in few steps",
    read={
        **EDM_KEYS,
        **THRESHOLD,
        **multistep_keys("sde-dpmsolver++"),
        "euler_at_final": flag(False),
    },
)
