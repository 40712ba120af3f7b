"""Euler's method with EDM's own preconditioning and noise levels (2206.00364, table 1).

The network F is shown c_in x at c_noise = log(sigma) / 4, and the denoiser is made of it:

    D(x; sigma) = c_skip x + c_out F,        c_in  = 1 / sqrt(sigma^2 + sigma_data^2)
    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2)
    c_out  = sigma sigma_data / sqrt(sigma^2 + sigma_data^2), with the other sign for v
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.churn import CHURN, NO_CHURN, Churn, Churned, churn_of
from refdiff.diffusion.samplers.denoisers import Normalised, check_range
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import EPS_V, Key, Values, choice, integer, number
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import karras
from refdiff.diffusion.samplers.sigmas import slope
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS, PRECISION, ramp
from refdiff.diffusion.types import Array, Dialect

# what EDM's samplers read of their sigmas
EDM_KEYS: dict[str, Key] = {
    "num_train_timesteps": integer(1000, 1, MAX_STEPS),
    "sigma_min": number(0.002, 0, 1e6),
    "sigma_max": number(80.0, 0, 1e6),
    "sigma_data": number(0.5, 0, 1e6),
    "sigma_schedule": choice("karras", "exponential"),
    "rho": number(7.0, 0, 1e3),
    "final_sigmas_type": choice("zero", "sigma_min"),
    **EPS_V,
}


class EdmEulerRow(NamedTuple):
    """D = c_skip x + c_out F; x_hat + (x_hat - D) / sigma_hat (sigma_next - sigma_hat)"""

    t: float
    sigma: float
    std: float
    c_skip: float
    c_out: float
    sigma_hat: float
    sigma_next: float
    noise_before: float
    noise_after: float


@dataclass(frozen=True)
class EdmEuler(Churned, Normalised):
    """Euler as EDM has it. The last sigma is 0, or sigma_min again."""

    T: int = 1000
    prediction: str = "epsilon"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    rho: float = 7.0
    spacing: Literal["karras", "exponential"] = "karras"
    final: Literal["zero", "sigma_min"] = "zero"
    churn: Churn = NO_CHURN
    dialect: Dialect = "diffusers"

    def __post_init__(self) -> None:
        check_range(self.sigma_min, self.sigma_max)

    def init_noise_sigma(self, plan: Plan[EdmEulerRow]) -> float:
        """sqrt(sigma_max^2 + 1): as if the data had variance 1."""
        return (self.sigma_max**2 + 1) ** 0.5

    def plan(self, steps: int) -> Plan[EdmEulerRow]:
        """One row a step."""
        check_steps(steps, self.T)
        sigma = edm_sigmas(
            steps, self.sigma_min, self.sigma_max, self.rho, self.spacing, self.dialect
        )
        path = np.append(sigma, 0 if self.final == "zero" else sigma[-1]).astype(sigma.dtype)
        columns = self.churn.columns(path, len(sigma), self.dialect)
        asked, data = columns["sigma"], self.sigma_data
        variance = columns["sigma_hat"] ** 2 + data**2
        c_out = columns["sigma_hat"] * data / np.sqrt(variance)
        return tabulate(
            EdmEulerRow,
            **columns,
            t=0.25 * rounded.log(asked),
            std=np.sqrt(asked**2 + data**2),
            c_skip=data**2 / variance,
            c_out=c_out if self.prediction == "epsilon" else -c_out,
        )

    def step(
        self,
        plan: Plan[EdmEulerRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """Euler's step from sigma_hat (2206.00364, Algorithm 2, without its second order).

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        x_hat = with_noise(x, row.noise_before, noise)
        x0 = row.c_skip * x_hat + row.c_out * out
        x = x_hat + slope(x_hat, x0, row.sigma_hat) * (row.sigma_next - row.sigma_hat)
        return with_noise(x, row.noise_after, noise), None


def edm_sigmas(
    steps: int, least: float, most: float, rho: float, spacing: str, dialect: Dialect
) -> Array:
    """From most to least, by sigma^(1/rho) or by log(sigma): -> [steps], in dialect's precision"""
    if spacing == "karras":
        return karras(most, least, steps, rho).astype(PRECISION[dialect])
    return rounded.exp(ramp(np.log(least), np.log(most), steps, dialect))[::-1]


def _build(c: Values, dialect: Dialect) -> EdmEuler:
    return EdmEuler(
        **{key: c[key] for key in ("sigma_min", "sigma_max", "sigma_data", "rho")},
        T=c["num_train_timesteps"],
        prediction=c["prediction_type"],
        spacing=c["sigma_schedule"],
        final=c["final_sigmas_type"],
        churn=churn_of(c),
        dialect=dialect,
    )


ENTRY = Entry(
    "edm_euler",
    "EDMEulerScheduler",
    _build,
    order=1,
    good_for="networks with EDM's preconditioning",
    read=EDM_KEYS,
    options=CHURN,
)
