"""Options beyond diffusers': the spacings of times and sigmas that other programs have.

They are options of a sampler, no keys of a file: `from_config(config, spacing="simple")`. Each
takes the place of what the config says.
"""

from refdiff.diffusion.samplers.keys import Key, number, optional_choice
from refdiff.diffusion.samplers.respacing import RESPACINGS
from refdiff.diffusion.samplers.sections import is_section_spacing
from refdiff.diffusion.samplers.timesteps import SPACINGS

SPACING = {
    "spacing": Key(
        None,
        f'null, one of {list(SPACINGS)}, "ddimN", or counts of sections such as "10,15,20"',
        lambda v: v is None or (isinstance(v, str) and (v in SPACINGS or is_section_spacing(v))),
    )
}
# rho: the power in karras and polyexponential, 7 and 1 where it is null
SIGMAS = {"sigmas": optional_choice(*RESPACINGS), "rho": number(None, 0.1, 100, least=True)}
