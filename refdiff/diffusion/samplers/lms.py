"""Linear multistep in sigma: LMS, Katherine Crowson's k-diffusion, sample_lms.

The slopes d = dx/dsigma of the last k rows are interpolated by a polynomial, which is integrated
from sigma_i to sigma_{i+1} (Adams and Bashforth, on steps of unequal length):

    x_{i+1} = x_i + sum_{j<k} w_j d_{i-j},   w_j = integral of prod_{m != j}
              (tau - sigma_{i-m}) / (sigma_{i-j} - sigma_{i-m})  over tau
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from refdiff.diffusion.samplers.build import common, respacing_of
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.families import Deterministic, VarianceExploding
from refdiff.diffusion.samplers.keys import (
    EPS_X0_V,
    LINSPACE,
    RESPACED,
    Values,
    integer,
    schedule_keys,
)
from refdiff.diffusion.samplers.plan import Plan, tabulate
from refdiff.diffusion.samplers.respacing import Respacing
from refdiff.diffusion.samplers.sigmas import DENOISED, grid, scalings, slope
from refdiff.diffusion.samplers.timesteps import Spacing
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError

MAX_ORDER = 4


class LmsRow(NamedTuple):
    """x + w_0 d_i + w_1 d_{i-1} + w_2 d_{i-2} + w_3 d_{i-3}, the slopes latest first."""

    t: float
    sigma: float
    variance: float
    std: float
    sigma_next: float
    w_0: float
    w_1: float
    w_2: float
    w_3: float


def weights(nodes: Array, end: Array) -> NDArray[np.float64]:
    """Integrals, from nodes[0] to end, of the polynomials that are 1 at one node, 0 at the others.

    nodes [k,rows], latest first, end [rows] -> [k,rows]. Gauss and Legendre's two points integrate
    polynomials of up to the third degree exactly, those of k = 4 nodes.
    """
    nodes, one = nodes.astype(np.float64), np.eye(len(nodes), dtype=bool)[..., None]
    middle, half = (nodes[0] + end) / 2, (end - nodes[0]) / 2
    apart = np.where(one, 1, nodes[:, None] - nodes)

    def basis(tau: Array) -> Array:
        return np.prod(np.where(one, 1, (tau - nodes) / apart), axis=1)

    return half * (basis(middle - half / 3**0.5) + basis(middle + half / 3**0.5))


@dataclass(frozen=True)
class Lms(Deterministic, VarianceExploding):
    """LMS of order 1 to 4, one call of the model a step; the first rows have what past there is."""

    schedule: NoiseSchedule
    prediction: str = "epsilon"
    spacing: Spacing = "linspace"
    offset: int = 0
    respacing: Respacing | None = None
    order: int = MAX_ORDER

    def plan(self, steps: int) -> Plan[LmsRow]:
        """One row a step; the last leads to sigma 0. Raises ConfigError if sigma stands still."""
        t, path = grid(self.schedule, steps, self.spacing, self.offset, self.respacing)
        if np.any(path[1:] == path[:-1]):
            raise ConfigError(
                "two sigmas of the plan are the same, between which no polynomial can be laid: "
                "take fewer steps, or set timestep_spacing to leading or linspace"
            )
        rows = len(path) - 1
        w, most = np.zeros((MAX_ORDER, rows)), min(self.order, rows)
        for k in range(1, most + 1):  # only row k - 1 has k slopes, until there are enough
            at = slice(k - 1, k if k < most else rows)
            nodes = sliding_window_view(path[: at.stop], k)[:, ::-1].T
            w[:k, at] = weights(nodes, path[1:][at])
        return tabulate(
            LmsRow,
            t=t,
            **scalings(path[:-1]),
            sigma_next=path[1:],
            **{f"w_{j}": w[j] for j in range(MAX_ORDER)},
        )

    def step(
        self,
        plan: Plan[LmsRow],
        i: int,
        x: Array,
        out: Array,
        memory: tuple[Array, ...] | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """x + sum_j w_j d_{i-j}; memory holds the slopes kept, latest first.

        x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
        In a run from the middle the first rows miss slopes that their weights count on. diffusers
        leaves them out of the sum, on paper the polynomial goes through those that are there.
        """
        row = plan.rows[i]
        x0 = DENOISED[self.prediction](x, out, row)
        past = (slope(x, x0, row.sigma), *(memory or ()))[: self.order]
        w: Sequence[float] = (row.w_0, row.w_1, row.w_2, row.w_3)
        if self.schedule.dialect == "paper" and len(past) < min(i + 1, self.order):
            nodes = np.array([[plan.rows[i - j].sigma] for j in range(len(past))])
            w = weights(nodes, np.array([row.sigma_next]))[:, 0].tolist()
        return x + sum(w_j * d for w_j, d in zip(w, past, strict=False)), past


def _build(c: Values, dialect: Dialect) -> Lms:
    return Lms(**common(c, dialect), respacing=respacing_of(c), order=c["order"])


ENTRY = Entry(
    "lms",
    "LMSDiscreteScheduler",
    _build,
    order=MAX_ORDER,
    good_for="few calls on smooth models, without noise",
    read={**schedule_keys(), **LINSPACE, **EPS_X0_V, **RESPACED},
    options={"order": integer(MAX_ORDER, 1, MAX_ORDER)},
)
