"""How fast a sampler's error falls with the step, against the exact flow, in float64."""

from typing import Any

import numpy as np

from refdiff.diffusion.samplers import Entry, from_config
from refdiff.diffusion.trial import MIXTURE, walk

T = 4096
LINEAR = {
    "beta_schedule": "linear",
    "num_train_timesteps": T,
    "beta_start": 1e-4 * 1000 / T,
    "beta_end": 0.02 * 1000 / T,
}
STEPS = np.array([16, 32, 64, 128, 256])


def begins_a_step(plan, i):
    """Whether x is on the sampler's path at row i, rather than inside a step of several calls."""
    return getattr(plan.rows[i], "begins", True)


def error(sampler, steps, target=None):
    """Distance from the exact flow where the last step begins, or where sigma is `target`."""
    plan = sampler.plan(steps)
    done = walk(sampler, plan)
    rows = [i for i in range(len(plan)) if begins_a_step(plan, i)]
    if target is not None:
        rows = [i for i in rows if abs(done.sigmas[i] / target - 1) < 1e-9]
    i = rows[-1]
    exact = MIXTURE.flow(done.ys[0], done.sigmas[0], done.sigmas[i])
    return float(np.max(np.abs(done.ys[i] - exact)))


def config_for_order(entry: Entry, **more: Any) -> dict[str, Any]:
    """A config whose levels are smooth in the number of steps, with ends that do not move."""
    config = {k: v for k, v in LINEAR.items() if k in entry.read}
    if "use_karras_sigmas" in entry.read:
        config["use_karras_sigmas"] = True
    elif "timestep_spacing" in entry.read:
        config["timestep_spacing"] = "trailing"
    return {"_class_name": entry.class_name, **config, **more}


def order(entry: Entry, steps=STEPS, **more: Any) -> tuple[float, list[float]]:
    """Slope of the error over four halvings of the step, and the errors."""
    config = config_for_order(entry, **more)
    sampler = from_config(config, "paper")
    target = None
    if config.get("timestep_spacing") == "trailing":  # every such plan passes a quarter of the way
        target, steps = float(sampler.schedule.sigmas[T // 4 - 1]), 4 * steps
    errors = [error(sampler, int(n), target) for n in steps]
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0]), errors
