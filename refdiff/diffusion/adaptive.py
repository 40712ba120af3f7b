"""DPM-Solver-12 and -23: steps as long as the error allows (2206.00927, appendix C).

Every step is taken twice from the same calls, in order 2 or 3 and in one order less, and the two
are compared, as Katherine Crowson's k-diffusion does in sample_dpm_adaptive:

    error = rms((x_low - x_high) / max(atol, rtol max(|x_low|, |x_low of the step before|)))

Below about 1 the step is accepted. How long the next one is follows from this error and the two
before by a PID controller. Which rows there will be is not known beforehand, so that this is no
sampler with a plan; what it gives out are the same records, one for each call of the model.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from refdiff.diffusion.loop import Step, ask
from refdiff.diffusion.samplers import dpm_stages as stages
from refdiff.diffusion.samplers.dpm_stages import Begun, StageRow, eps_of, landed
from refdiff.diffusion.samplers.levels import with_noise
from refdiff.diffusion.samplers.plan import tabulate
from refdiff.diffusion.samplers.sigmas import DENOISED, sigma_table
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.diffusion.types import Array, Model
from refdiff.errors import ConfigError

SHORTEST = 1e-5  # in lambda: what is left at the end, and no step may be


@dataclass(frozen=True)
class Controller:
    """A step's length h in lambda, from 1/error now and at the two accepted steps before.

    h <- h limited((1/e)^((P+I+D)/p) (1/e_1)^(-(P+2D)/p) (1/e_2)^(D/p)), p the order of the error,
    limited(f) = 1 + atan(f - 1). The step is accepted where that factor is accept or more.
    """

    h: float = 0.05
    proportional: float = 0.0
    integral: float = 1.0
    derivative: float = 0.0
    accept: float = 0.81
    before: tuple[float, ...] = ()

    def judged(self, error: float, order: float) -> tuple[bool, "Controller"]:
        """Whether a step with this error is accepted, and the controller of the next."""
        inverse = 1 / (error + 1e-8)
        p, i, d = self.proportional, self.integral, self.derivative
        e_1, e_2 = self.before or (inverse, inverse)
        wanted = inverse ** (p + i + d) * e_1 ** -(p + 2 * d) * e_2**d
        factor = 1 + math.atan(wanted ** (1 / order) - 1)
        accepted = factor >= self.accept
        before = (inverse, e_1) if accepted else (e_1, e_2)
        return accepted, replace(self, h=self.h * factor, before=before)


def sample_adaptive(
    model: Model,
    schedule: NoiseSchedule,
    x: Array,
    noise: Callable[[int], Array] | None = None,
    *,
    prediction: str = "epsilon",
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    controller: Controller | None = None,
    eta: float = 0.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
) -> Iterator[Step]:
    """From sigma_max down to sigma_min, the schedule's ends unless given: a record of every call.

    x [N,C,H,W]: noise times sigma_max, or a picture's latents with as much noise. x_prev is where
    the call leads within its step, after the step's last call the new x, or the old one again
    where the step is rejected. noise(i) -> [N,C,H,W] is called for accepted steps if eta is not 0.
    Raises ConfigError for settings that no step can follow, and where steps become too short.
    """
    _check(order, prediction, rtol, atol, eta)
    table = sigma_table(schedule).astype(np.float64)
    at, end = -math.log(sigma_max or table[-1]), -math.log(sigma_min or table[0])
    pace, low_before, calls = controller or Controller(), x, 0
    while at < end - SHORTEST:
        if not pace.h > SHORTEST:
            raise ConfigError(
                f"steps have become {pace.h:.3g} long in log(sigma), expected above {SHORTEST}: "
                "loosen rtol or atol"
            )
        to = min(end, at + pace.h)
        rows = attempt(table, at, to, end, order, eta)
        begun, u, low = Begun(x, x), x, x
        for stage, row in enumerate(rows[:-1]):
            x_in = u / row.std
            out = ask(model, x_in, row.t, x.shape)
            eps = eps_of(prediction, row, u, out)
            begun = begun if stage else Begun(x, eps)
            u = landed(row, begun, eps)
            if stage == order - 2:
                low = landed(rows[-1], begun, eps)
            if stage < order - 1:
                yield Step(calls + stage, row.t, x_in, out, u)
        error = _error(low, u, low_before, rtol, atol)
        accepted, pace = pace.judged(error, 1.5 if eta else order)
        calls += order
        if accepted:
            z = noise(calls - 1) if noise is not None and row.noise_std else None
            x, low_before, at = with_noise(u, row.noise_std, z), low, to
        yield Step(calls - 1, row.t, x_in, out, x)


def attempt(
    table: Array, at: float, to: float, end: float, order: int, eta: float
) -> tuple[StageRow, ...]:
    """The calls of one step, and last the row of one order less, which uses call order - 2."""
    down, up = stages.descent(np.array([at]), np.array([to]), end, eta)
    share = stages.Share(
        of=np.array([*range(order), order - 2]) / order,
        to=np.array([*range(1, order + 1), order]) / order,
        order=np.array([order] * order + [2]),
    )
    start, h = np.full(order + 1, at), np.full(order + 1, down[0] - at)
    noise_std = np.where(share.to == 1, up[0], 0)
    return tabulate(StageRow, **stages.columns(table, start, h, share), noise_std=noise_std).rows


def _error(low: Array, high: Array, low_before: Array, rtol: float, atol: float) -> float:
    """rms of the two steps' difference in units of what is allowed: [N,C,H,W] each -> []"""
    allowed = np.maximum(atol, rtol * np.maximum(np.abs(low), np.abs(low_before)))
    error = float(np.mean(((low - high) / allowed) ** 2) ** 0.5)
    if not math.isfinite(error):
        raise ConfigError(
            f"the error of a step is {error}, expected a finite number: mend the model, whose "
            "outputs are not finite or too large"
        )
    return error


def _check(order: int, prediction: str, rtol: float, atol: float, eta: float) -> None:
    if order not in (2, 3):
        raise ConfigError(f"order is {order!r}, expected 2 or 3: choose one")
    if prediction not in DENOISED:
        raise ConfigError(f"prediction is {prediction!r}, expected one of {sorted(DENOISED)}")
    if not (rtol >= 0 and 0 < atol < math.inf):
        raise ConfigError(f"rtol and atol are {rtol} and {atol}, expected rtol >= 0 and atol > 0")
    if not 0 <= eta <= 1:
        raise ConfigError(f"eta is {eta!r}, expected a number in [0, 1]: choose one")
