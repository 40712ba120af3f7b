"""DPM-Solver++(2M) and its kin: multistep DPM-Solver over a schedule's times (2211.01095)."""

from dataclasses import dataclass
from typing import Literal

from refdiff.diffusion.samplers.differences import orders
from refdiff.diffusion.samplers.dpm import DpmRow, dpm_plan, dpm_step
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Stochastic
from refdiff.diffusion.samplers.keys import END, LINSPACE, ZERO_SNR, Values, choice, flag
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.samplers.solver_keys import DYNAMIC, MU, dpm_keys, dpm_parts
from refdiff.diffusion.types import Array, Dialect


@dataclass(frozen=True)
class DpmMultistep(Stochastic, Solver):
    """Multistep DPM-Solver of order 1, 2 or 3.

    algorithm: dpmsolver++ and sde-dpmsolver++ think of x0, dpmsolver and sde-dpmsolver of eps.
    midpoint: the second order's D1 counts half of D0's coefficient, else ("heun") its own integral.
    lower_final: in fewer than 15 steps the last is of first, the one before of second order.
    """

    order: int = 2
    algorithm: str = "dpmsolver++"
    midpoint: bool = True
    lower_final: bool = True
    euler_final: bool = False
    final: Literal["zero", "sigma_min"] = "zero"

    def plan(self, steps: int) -> Plan[DpmRow]:
        """One row a step, to sigma 0 or to the schedule's smallest.

        Raises ConfigError where times come twice, which a higher order divides by.
        """
        t, sigma = self.grid(steps)
        levels = self.levels(sigma, 0.0 if self.final == "zero" else self.schedule.sigmas[0])
        short = self.lower_final and len(t) < 15
        euler = self.euler_final or short or self.final == "zero"
        order = orders(len(t), self.order, short=short, euler=euler)
        return dpm_plan(t, levels, order, self.algorithm, self.midpoint, self.schedule.dialect)

    def step(
        self,
        plan: Plan[DpmRow],
        i: int,
        x: Array,
        out: Array,
        memory: tuple[Array, ...] | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """A first-order step, and corrections by the derivatives that the past gives.

        x [N,C,H,W], out [N,C,H,W] or [N,2C,H,W], noise [N,C,H,W] -> [N,C,H,W]
        """
        row = plan.rows[i]
        new = self.x0(x, out, row) if self.algorithm.endswith("++") else self.eps(x, out, row)
        past = (new, *(memory or ()))[: self.order]
        return dpm_step(row, x, past[: row.order], noise), past


def _build(c: Values, dialect: Dialect) -> DpmMultistep:
    cosine = c["beta_schedule"] == "squaredcos_cap_v2"
    return DpmMultistep(
        **dpm_parts(c, dialect),
        nearest=(c["use_karras_sigmas"] or c["use_lu_lambdas"]) and not cosine,
        euler_final=c["euler_at_final"],
        final=c["final_sigmas_type"],
    )


ENTRY = Entry(
    "dpm++",
    "DPMSolverMultistepScheduler",
    _build,
    order=2,
    good_for="the best pictures in 15 to 25 steps",
    read={
        **dpm_keys(),
        **ZERO_SNR,
        **LINSPACE,
        **END,
        **DYNAMIC,
        "algorithm_type": choice(
            "dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"
        ),
        "euler_at_final": flag(False),
        "use_lu_lambdas": flag(False),
    },
    options=MU,
)
