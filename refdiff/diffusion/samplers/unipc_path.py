"""Where UniPC's steps lie: as other solvers', or along a path that flow models ask for."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refdiff.diffusion.samplers.build import respacing_of
from refdiff.diffusion.samplers.flow import shifted, stretched
from refdiff.diffusion.samplers.keys import (
    END,
    LINSPACE,
    SIGMA_ENDS,
    ZERO_SNR,
    Key,
    Values,
    number,
)
from refdiff.diffusion.samplers.sigmas import sigma_table, to_t
from refdiff.diffusion.samplers.solver import Solver
from refdiff.diffusion.samplers.solver_keys import DYNAMIC, solver_keys, solver_parts
from refdiff.diffusion.samplers.timesteps import check_steps
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError


@dataclass(frozen=True)
class UniPcPath(Solver):
    """A solver's path with ends of its own.

    sigma_min and sigma_max bound a respacing in place of the schedule's own ends. A straight flow
    begins 10^-6 short of pure noise, where lambda is infinite; terminal: 1 - sigma is multiplied
    so that its last sigma is this one. A straight flow and a respacing together: the respaced
    sigma / (sigma + 1), which is the straight flow's level of the same lambda.
    """

    sigma_min: float | None = None
    sigma_max: float | None = None
    terminal: float | None = None
    final: Literal["zero", "sigma_min"] = "zero"

    def grid(self, steps: int) -> tuple[Array, Array]:
        """Times and sigmas in falling order: -> t [rows], [rows]"""
        if self.respacing is None and self.flow_shift is None:
            return super().grid(steps)
        T, table = len(self.schedule), sigma_table(self.schedule)
        check_steps(steps, T)
        if self.respacing is not None:
            first, last = self.sigma_max or float(table[-1]), self.sigma_min or float(table[0])
            sigma: Array = self.respacing(first, last, steps)
            if self.flow_shift is None:
                return self.asked(to_t(table, sigma)), sigma
            sigma = sigma / (sigma + 1)
        else:
            sigma = shifted(np.linspace(1, 1 / T, steps + 1)[:-1], self.flow_shift or 1.0)
            sigma = stretched(sigma, self.terminal) if self.terminal else sigma
            sigma[0] -= 1e-6 if abs(sigma[0] - 1) < 1e-6 else 0
        return self.asked(sigma * T), sigma


def path_keys() -> dict[str, Key]:
    """What is read of the path, beside the schedule, prediction and thresholding."""
    return {
        **solver_keys(),
        **ZERO_SNR,
        **LINSPACE,
        **END,
        **DYNAMIC,
        **SIGMA_ENDS,
        "shift_terminal": number(None, 0, 0.999, least=True),
    }


def path_parts(c: Values, dialect: Dialect) -> dict[str, Any]:
    """The parts of a `UniPcPath`. Raises ConfigError for parts that do not go together."""
    flow, karras, dynamic = (
        c[f"use_{name}"] for name in ("flow_sigmas", "karras_sigmas", "dynamic_shifting")
    )
    if dynamic and c["mu"] is None:
        raise ConfigError(
            "use_dynamic_shifting is true and no mu is known, expected that of this picture's "
            "size: give mu=... with the config, or set use_dynamic_shifting to false"
        )
    if c["shift_terminal"] is not None and not flow:
        raise ConfigError(
            f"shift_terminal is {c['shift_terminal']} without use_flow_sigmas, expected null: set "
            "use_flow_sigmas to true, or shift_terminal to null"
        )
    # karras and flow go together here, and mu without dynamic shifting is not heeded
    alone = {"use_karras_sigmas": karras and not flow, "mu": c["mu"] if dynamic else None}
    return {
        **solver_parts({**c, **alone}, dialect),
        "respacing": respacing_of(c),
        "nearest": karras and not flow,
        "sigma_min": c["sigma_min"],
        "sigma_max": c["sigma_max"],
        "terminal": c["shift_terminal"],
        "final": c["final_sigmas_type"],
    }
