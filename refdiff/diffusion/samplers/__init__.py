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
from refdiff.diffusion.samplers.config import from_config, from_config_as, names
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddpm import Ddpm
from refdiff.diffusion.samplers.dialects import DIALECTS, MENDED, Difference, Mended
from refdiff.diffusion.samplers.dpm_multistep import DpmMultistep
from refdiff.diffusion.samplers.entry import AnySampler, Entry
from refdiff.diffusion.samplers.euler import Euler
from refdiff.diffusion.samplers.euler_ancestral import EulerAncestral
from refdiff.diffusion.samplers.plan import Plan, Sampler
from refdiff.diffusion.samplers.pndm import Pndm

__all__ = [
    "DIALECTS",
    "ENTRIES",
    "IGNORED",
    "MENDED",
    "NEUTRAL",
    "READ",
    "AnySampler",
    "Ddim",
    "Ddpm",
    "Difference",
    "DpmMultistep",
    "Entry",
    "Euler",
    "EulerAncestral",
    "Mended",
    "Plan",
    "Pndm",
    "Sampler",
    "from_config",
    "from_config_as",
    "names",
]
