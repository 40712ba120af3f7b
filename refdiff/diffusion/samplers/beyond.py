"""Options that take the place of the times or sigmas that the config says.

They are options of a sampler, no keys of a file: `from_config(config, spacing="simple")`. Given
times are an argument of diffusers' `set_timesteps`; the spacings are those of other programs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from refdiff.diffusion.samplers.keys import Key, number, optional_choice
from refdiff.diffusion.samplers.respacing import RESPACINGS
from refdiff.diffusion.samplers.sections import is_section_spacing
from refdiff.diffusion.samplers.timesteps import SPACINGS
from refdiff.diffusion.schedule import MAX_STEPS


def _falls(times: Sequence[Any]) -> bool:
    whole = all(isinstance(t, int) and not isinstance(t, bool) for t in times)
    return (
        whole
        and 1 <= len(times) <= MAX_STEPS
        and times[-1] >= 0
        and all(s < t for t, s in pairwise(times))
    )


TIMESTEPS = {
    "timesteps": Key(
        None,
        f"null or a list of 1 to {MAX_STEPS} falling integers of at least 0",
        lambda v: v is None or (isinstance(v, list | tuple) and _falls(v)),
    )
}
SPACING = {
    "spacing": Key(
        None,
        f'null, one of {list(SPACINGS)}, "ddimN", or counts of sections such as "10,15,20"',
        lambda v: v is None or (isinstance(v, str) and (v in SPACINGS or is_section_spacing(v))),
    )
}
# rho: the power in karras and polyexponential, 7 and 1 where it is null
SIGMAS = {"sigmas": optional_choice(*RESPACINGS), "rho": number(None, 0.1, 100, least=True)}
