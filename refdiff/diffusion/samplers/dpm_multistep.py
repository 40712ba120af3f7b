"""DPM-Solver++(2M) and its kin: multistep DPM-Solver over a schedule's times (2211.01095)."""

from dataclasses import dataclass
from typing import Literal

from refdiff.diffusion.samplers.beyond import TIMESTEPS
from refdiff.diffusion.samplers.dpm import Dpm, DpmRow
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import END, LINSPACE, ZERO_SNR, Values, flag
from refdiff.diffusion.samplers.plan import Plan
from refdiff.diffusion.samplers.solver_keys import DYNAMIC, MU, dpm_keys, dpm_parts
from refdiff.diffusion.types import Dialect


@dataclass(frozen=True)
class DpmMultistep(Dpm):
    """Multistep DPM-Solver of order 1, 2 or 3, down to final."""

    final: Literal["zero", "sigma_min"] = "zero"

    def plan(self, steps: int) -> Plan[DpmRow]:
        """One row a step, to sigma 0 or to the schedule's smallest.

        Raises ConfigError where times come twice, which a higher order divides by.
        """
        t, sigma = self.grid(steps)
        levels = self.levels(sigma, 0.0 if self.final == "zero" else self.schedule.sigmas[0])
        return self.rows(t, levels, euler=self.final == "zero")


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
        **dpm_keys("dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"),
        **ZERO_SNR,
        **LINSPACE,
        **END,
        **DYNAMIC,
        "euler_at_final": flag(False),
        "use_lu_lambdas": flag(False),
    },
    options={**MU, **TIMESTEPS},
)
