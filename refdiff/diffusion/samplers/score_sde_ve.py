"""Predictor and corrector on the variance exploding SDE (2011.13456, algorithms 2 and 4).

The network says the score, grad log p. At each of the noise levels sigma_k, a geometric series:

    correct, correct_steps times, by Langevin dynamics:
        x <- x + e score + sqrt(2 e) z,    e = 2 (snr |z| / |score|)^2
    predict, by reverse diffusion (eq. 46):
        x <- x + (sigma_k^2 - sigma_(k-1)^2) score + sqrt(sigma_k^2 - sigma_(k-1)^2) z

with norms averaged over the batch, and sigma_(-1) = 0. A row is one of these, in the order of
diffusers' pipeline, which like the paper (appendix G) drops the very last noise. The network is
asked at t = sigma_min (sigma_max / sigma_min)^u for times u from 1 to sampling_eps.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers.denoisers import check_range
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import OneOutput
from refdiff.diffusion.samplers.keys import Values, flag, integer, number
from refdiff.diffusion.samplers.levels import given_noise, with_noise
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.schedule import MAX_STEPS, ramp
from refdiff.diffusion.types import Array, Dialect


class VeRow(NamedTuple):
    """predict: x + of_score * score + noise_std * z; what correct does depends on score and z."""

    t: float
    sigma: float
    role: str
    of_score: float
    noise_std: float


@dataclass(frozen=True)
class ScoreSdeVe(OneOutput):
    """denoised: the last row adds no noise, as in ScoreSdeVePipeline; step_pred adds some."""

    T: int = 2000
    snr: float = 0.15
    sigma_min: float = 0.01
    sigma_max: float = 1348.0
    sampling_eps: float = 1e-5
    correct_steps: int = 1
    dialect: Dialect = "diffusers"
    denoised: bool = True

    def __post_init__(self) -> None:
        check_range(self.sigma_min, self.sigma_max)

    def plan(self, steps: int) -> Plan[VeRow]:
        """correct_steps + 1 rows at each of so many levels, from sigma_max down."""
        check_steps(steps, self.T)
        u = ramp(1.0, self.sampling_eps, steps, self.dialect)
        low, high = np.log(self.sigma_min), np.log(self.sigma_max)
        levels = rounded.exp(ramp(low, high, steps, self.dialect))
        k = np.arange(steps)[::-1]
        if self.dialect == "diffusers":  # a late end leads to some levels twice, others never
            k = (u * (steps - 1)).astype(np.int64)
        sigma, below = levels[k], np.where(k == 0, 0, levels[k - 1])
        std = np.sqrt(sigma**2 - below**2)
        one = u.dtype.type
        growth = float(one(self.sigma_max / self.sigma_min)) ** u.astype(np.float64)
        each = self.correct_steps + 1
        predicts = np.arange(steps * each) % each == each - 1
        quiet = (np.arange(steps * each) == steps * each - 1) & self.denoised
        return tabulate(
            VeRow,
            t=np.repeat(one(self.sigma_min) * growth.astype(u.dtype), each),
            sigma=np.repeat(sigma, each),
            role=["predict" if p else "correct" for p in predicts],
            of_score=np.where(predicts, np.repeat(std**2, each), 0),
            noise_std=np.where(predicts & ~quiet, np.repeat(std, each), 0),
        )

    def init_noise_sigma(self, plan: Plan[VeRow]) -> float:
        """sigma_max."""
        return self.sigma_max

    def add_noise(self, plan: Plan[VeRow], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        return x0 + plan.rows[i].sigma * eps

    def scale_input(self, plan: Plan[VeRow], i: int, x: Array) -> Array:
        """x itself. x [N,C,H,W] -> [N,C,H,W]"""
        return x

    def level(self, plan: Plan[VeRow], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        return 1.0, plan.rows[i].sigma

    def needs_noise(self, plan: Plan[VeRow], i: int) -> bool:
        """All rows do, but a last one that leaves x denoised."""
        return i < len(plan) - 1 or plan.rows[i].noise_std > 0

    def step(
        self,
        plan: Plan[VeRow],
        i: int,
        x: Array,
        out: Array,
        memory: None = None,
        noise: Array | None = None,
    ) -> tuple[Array, None]:
        """A step of Langevin's towards the level's own distribution, or one to the level below.

        x [N,C,H,W], out [N,C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        if row.role == "predict":
            return with_noise(x + row.of_score * out, row.noise_std, noise), None
        z = given_noise(noise, x.shape)
        e = 2 * (self.snr * mean_norm(z) / mean_norm(out)) ** 2
        return x + e * out + (2 * e) ** 0.5 * z, None


def mean_norm(x: Array) -> float:
    """The mean over the batch of each sample's Euclidean norm: x [N,C,H,W] -> []"""
    return float(np.linalg.norm(x.reshape(len(x), -1), axis=1).mean())


def _build(c: Values, dialect: Dialect) -> ScoreSdeVe:
    parts = {key: value for key, value in c.items() if key != "num_train_timesteps"}
    return ScoreSdeVe(c["num_train_timesteps"], **parts, dialect=dialect)


ENTRY = Entry(
    "score_sde_ve",
    "ScoreSdeVeScheduler",
    _build,
    order=1,
    good_for="score networks of the variance exploding SDE, corrected by Langevin dynamics",
    read={
        "num_train_timesteps": integer(2000, 1, MAX_STEPS),
        "snr": number(0.15, 0, 1e3),
        "sigma_min": number(0.01, 0, 1e6),
        "sigma_max": number(1348.0, 0, 1e6),
        "sampling_eps": number(1e-5, 0, 1, least=True),
        "correct_steps": integer(1, 0, 100),
    },
    options={"denoised": flag(True)},
)
