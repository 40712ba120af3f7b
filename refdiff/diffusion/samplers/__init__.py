"""Samplers: a plan and a pure step each.

    sampler = from_config(config)           # a scheduler_config.json as a dict
    plan = sampler.plan(steps)              # a table, one row for each call of the model
    x = noise * sampler.init_noise_sigma(plan)
    for i in range(len(plan)):
        out = model(sampler.scale_input(plan, i, x), plan.rows[i].t)
        x, memory = sampler.step(plan, i, x, out, memory, noise)

DIALECTS lists every place where the two dialects differ, MENDED where neither follows diffusers.
"""

from refdiff.diffusion.samplers.catalogue import ENTRIES, IGNORED, NEUTRAL, READ
from refdiff.diffusion.samplers.config import (
    config_as,
    from_config,
    from_config_as,
    names,
    with_options,
)
from refdiff.diffusion.samplers.dialects import DIALECTS, Difference
from refdiff.diffusion.samplers.entry import AnySampler, Entry
from refdiff.diffusion.samplers.mended import MENDED, Mended
from refdiff.diffusion.samplers.plan import Plan, Sampler

__all__ = [
    "DIALECTS",
    "ENTRIES",
    "IGNORED",
    "MENDED",
    "NEUTRAL",
    "READ",
    "AnySampler",
    "Difference",
    "Entry",
    "Mended",
    "Plan",
    "Sampler",
    "config_as",
    "from_config",
    "from_config_as",
    "names",
    "with_options",
]
