"""How fast a sampler's error falls with the step, against the exact flow, in float64.

A claim names a sampler, its config, the order that it should have, and where that is measured:

    last     where the last step begins: sigmas spaced by Karras have an end that does not move
    quarter  at a quarter of the training time, which every trailing plan passes
    end      at the end of the plan
"""

from typing import Any, NamedTuple

import numpy as np

from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.catalogue import BY_NAME
from refdiff.diffusion.samplers.denoisers import Normalised
from refdiff.diffusion.samplers.flow import StraightFlow
from refdiff.diffusion.samplers.ipndm import Ipndm
from refdiff.diffusion.samplers.score_sde_ve import ScoreSdeVe
from refdiff.diffusion.trial import MIXTURE, STARTS, begins_a_step, walk

T = 4096
LINEAR = {
    "beta_schedule": "linear",
    "num_train_timesteps": T,
    "beta_start": 1e-4 * 1000 / T,
    "beta_end": 0.02 * 1000 / T,
}
KARRAS = {"use_karras_sigmas": True}
TRAILING = {"timestep_spacing": "trailing"}
STEPS = (32, 64, 128, 256, 512)


class Claim(NamedTuple):
    """That a sampler is of this order, and how that is to be seen."""

    label: str
    name: str
    order: int
    config: dict[str, Any] = {}  # noqa: RUF012 - never written to
    options: dict[str, Any] = {}  # noqa: RUF012
    where: str = "last"
    finer: int = 1  # times as many steps, where the order only shows then
    begun: float = 0.0  # the share of the plan that is left out at its start

    def sampler(self, dialect="paper"):
        """The sampler with this config, over a schedule of many times."""
        entry = BY_NAME[self.name]
        read = entry.read
        linear = {k: v for k, v in LINEAR.items() if k in read and read[k].accepts(v)}
        config = {"_class_name": entry.class_name, **linear, **self.config}
        return from_config(config, dialect, **self.options)


CLAIMS = (
    Claim("DDIM", "ddim", 1, TRAILING, where="quarter"),
    Claim("PNDM, improved opening", "pndm", 2, {**TRAILING, "skip_prk_steps": True}, {}, "quarter"),
    Claim("PNDM, Runge-Kutta opening", "pndm", 2, TRAILING, {}, "quarter"),
    Claim("Euler", "euler", 1, KARRAS),
    Claim("Heun", "heun", 2, KARRAS),
    Claim("DPM-Solver-2 (k-diffusion)", "kdpm2", 2, KARRAS),
    Claim("RES, multistep", "res_multistep", 2, KARRAS),
    Claim("DPM-Solver-fast", "dpm_fast", 3, where="end"),
    *(
        Claim(
            f"DPM-Solver++({k}M)",
            "dpm++",
            k,
            {**KARRAS, "solver_order": k, "lower_order_final": False},
        )
        for k in (1, 2, 3)
    ),
    *(
        Claim(
            f"DPM-Solver-{k}, multistep",
            "dpm++",
            k,
            {
                **KARRAS,
                "solver_order": k,
                "lower_order_final": False,
                "algorithm_type": "dpmsolver",
                "final_sigmas_type": "sigma_min",
            },
        )
        for k in (2, 3)
    ),
    *(
        Claim(f"DPM-Solver++({k}S)", "dpm++_single", k, {**KARRAS, "solver_order": k})
        for k in (1, 2, 3)
    ),
    Claim("DPM-Solver++(2M), heun", "dpm++", 2, {**KARRAS, "solver_type": "heun"}),
    Claim("Euler, straight flow", "flow_euler", 1, where="end"),
    Claim("Heun, straight flow", "flow_heun", 2, where="end"),
    Claim("Euler, EDM", "edm_euler", 1),
    *(Claim(f"DPM-Solver++({k}M), EDM", "edm_dpm++", k, {"solver_order": k}) for k in (1, 2, 3)),
    *(
        Claim(f"Linear multistep, order {k}", "lms", k, KARRAS, {"order": k}, finer=1 + k // 4)
        for k in (1, 2, 3, 4)
    ),
    *(Claim(f"DEIS-{k}", "deis", k, {**KARRAS, "solver_order": k}) for k in (1, 2, 3)),
    *(
        Claim(f"UniPC-{k}, {b}", "unipc", k + 1, {**KARRAS, "solver_order": k, "solver_type": b})
        for k in (1, 2, 3)
        for b in ("bh1", "bh2")
    ),
    Claim(
        "UniPC-2 of eps",
        "unipc",
        3,
        {**KARRAS, "predict_x0": False, "final_sigmas_type": "sigma_min"},
    ),
    # out of pure noise, alpha = 0, its times are no smooth measure of the way
    Claim("IPNDM", "ipndm", 2, {"num_train_timesteps": 4096}, where="end", finer=4, begun=0.25),
)


def says(sampler):
    """What the sampler's model predicts."""
    if isinstance(sampler, Ipndm):
        return "v_prediction"
    if isinstance(sampler, StraightFlow):
        return "flow_prediction"
    if isinstance(sampler, ScoreSdeVe):
        return "score"
    if isinstance(sampler, Normalised):
        return "network"
    return getattr(sampler, "prediction", "epsilon")


def error(claim, steps):
    """Distance from the exact flow, in one run; and the calls of the model."""
    sampler = claim.sampler()
    plan = sampler.plan(steps)
    start = int(claim.begun * len(plan))
    done = walk(sampler, plan, prediction=says(sampler), start=start)
    if claim.where == "end" and isinstance(sampler, StraightFlow):
        exact, found = MIXTURE.straight_flow(STARTS, 1.0, 0.0), done.end
    elif claim.where == "end":
        end = 0.0 if isinstance(sampler, Ipndm) else float(sampler.schedule.sigmas[0])
        exact, found = MIXTURE.flow(done.ys[0], done.sigmas[0], end), done.end
    else:
        rows = [i for i in range(len(plan)) if begins_a_step(plan.rows[i])]
        if claim.where == "quarter":
            target = float(sampler.schedule.sigmas[T // 4 - 1])
            rows = [i for i in rows if abs(done.sigmas[i] / target - 1) < 1e-9]
        i = rows[-1]
        exact, found = MIXTURE.flow(done.ys[0], done.sigmas[0], done.sigmas[i]), done.ys[i]
    return float(np.max(np.abs(found - exact)))


def order(claim, steps=STEPS):
    """Slope of the error over four halvings of the step, and the errors."""
    factor = 4 if claim.where == "quarter" else claim.finer
    errors = [error(claim, factor * n) for n in steps]
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0]), errors
