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
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddim_inverse import DdimInverse
from refdiff.diffusion.samplers.ddpm import Ddpm
from refdiff.diffusion.samplers.deis import Deis
from refdiff.diffusion.samplers.dialects import DIALECTS, MENDED, Difference, Mended
from refdiff.diffusion.samplers.dpm_multistep import DpmMultistep
from refdiff.diffusion.samplers.entry import AnySampler, Entry
from refdiff.diffusion.samplers.euler import Euler
from refdiff.diffusion.samplers.euler_ancestral import EulerAncestral
from refdiff.diffusion.samplers.flow import FlowPath
from refdiff.diffusion.samplers.flow_euler import FlowEuler
from refdiff.diffusion.samplers.flow_heun import FlowHeun
from refdiff.diffusion.samplers.flow_lcm import FlowLcm
from refdiff.diffusion.samplers.ipndm import Ipndm
from refdiff.diffusion.samplers.lcm import Lcm
from refdiff.diffusion.samplers.lms import Lms
from refdiff.diffusion.samplers.plan import Plan, Sampler
from refdiff.diffusion.samplers.pndm import Pndm
from refdiff.diffusion.samplers.repaint import RePaint
from refdiff.diffusion.samplers.tcd import Tcd
from refdiff.diffusion.samplers.unclip import UnClip
from refdiff.diffusion.samplers.unipc import UniPc

__all__ = [
    "DIALECTS",
    "ENTRIES",
    "IGNORED",
    "MENDED",
    "NEUTRAL",
    "READ",
    "AnySampler",
    "Ddim",
    "DdimInverse",
    "Ddpm",
    "Deis",
    "Difference",
    "DpmMultistep",
    "Entry",
    "Euler",
    "EulerAncestral",
    "FlowEuler",
    "FlowHeun",
    "FlowLcm",
    "FlowPath",
    "Ipndm",
    "Lcm",
    "Lms",
    "Mended",
    "Plan",
    "Pndm",
    "RePaint",
    "Sampler",
    "Tcd",
    "UnClip",
    "UniPc",
    "config_as",
    "from_config",
    "from_config_as",
    "names",
    "with_options",
]
