"""An entry of the catalogue: what a sampler's file says of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refdiff.diffusion.samplers.keys import Key, Values
from refdiff.diffusion.samplers.plan import Sampler
from refdiff.diffusion.types import Dialect

AnySampler = Sampler[Any]


@dataclass(frozen=True)
class Entry:
    """A sampler's names, the keys that it reads, how it is built of them, and what it is good for.

    name: as the command line takes it. class_name: diffusers' class, or the name again where
    diffusers has none. read: keys of its scheduler_config.json. options: what diffusers takes as
    arguments of `step` or `set_timesteps`, and what refdiff offers beyond; no file holds them.
    build: the sampler of checked values, of `read` and `options` together.
    order: at which the error falls with the step, of the flow or, with noise, of the mean; 0 where
    the error is the model's own, however many steps there are.
    """

    name: str
    class_name: str
    build: Callable[[Values, Dialect], AnySampler]
    order: int
    good_for: str
    read: Mapping[str, Key]
    options: Mapping[str, Key] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """What an empty config says."""
        return {key: spec.default for key, spec in {**self.read, **self.options}.items()}
