"""diffusers' score SDE classes, which have no `step`, behind one: as their pipelines use them.

Each holds the class itself as `inner`, and knows which row it is in.
"""

from types import SimpleNamespace

import diffusers
import torch
from diffusers.schedulers.deprecated import ScoreSdeVpScheduler


class Adapted:
    """The parts that both have in common; `rows` calls of the model at each time."""

    inner_class = None

    def __init__(self, **config):
        self.inner, self.row = self.inner_class(**config), 0
        self.config = self.inner.config

    @classmethod
    def from_config(cls, config):
        adapted = cls()
        adapted.inner = cls.inner_class.from_config(config)
        adapted.config = adapted.inner.config
        return adapted

    def set_begin_index(self, row):
        self.row = row

    def last(self):
        return self.row == len(self.timesteps) - 1


class Ve(Adapted):
    """The loop of ScoreSdeVePipeline: correct_steps times step_correct, then step_pred."""

    inner_class = diffusers.ScoreSdeVeScheduler

    def set_timesteps(self, steps):
        self.inner.set_timesteps(steps)
        self.inner.set_sigmas(steps)
        self.rows = self.config.correct_steps + 1
        self.times = self.inner.timesteps.repeat_interleave(self.rows)
        self.timesteps = self.inner.sigmas.repeat_interleave(self.rows)
        self.init_noise_sigma = self.inner.init_noise_sigma

    def step(self, out, t, x):
        if self.row % self.rows < self.rows - 1:
            x = self.inner.step_correct(out, x).prev_sample
        else:
            done = self.inner.step_pred(out, self.times[self.row], x)
            x = done.prev_sample_mean if self.last() else done.prev_sample
        self.row += 1
        return SimpleNamespace(prev_sample=x)

    def add_noise(self, x0, eps, _):
        k = (self.times[self.row] * (len(self.inner.timesteps) - 1)).long()
        return self.inner.add_noise(x0, eps, k.repeat(len(x0)))


class Vp(Adapted):
    """step_pred, whose second value, the mean, ends the run."""

    inner_class = ScoreSdeVpScheduler
    init_noise_sigma = 1.0

    def set_timesteps(self, steps):
        self.inner.set_timesteps(steps)
        self.timesteps = self.inner.timesteps

    def step(self, out, t, x):
        x, mean = self.inner.step_pred(out, x, t)
        x, self.row = mean if self.last() else x, self.row + 1
        return SimpleNamespace(prev_sample=x)

    def add_noise(self, x0, eps, t):
        """The class has none: 2011.13456, eq. 29."""
        t, low, rise = t[0], self.config.beta_min, self.config.beta_max - self.config.beta_min
        log_mean = -0.25 * t**2 * rise - 0.5 * t * low
        return torch.exp(log_mean) * x0 + torch.sqrt(1 - torch.exp(2 * log_mean)) * eps


ADAPTERS = {"ScoreSdeVeScheduler": Ve, "ScoreSdeVpScheduler": Vp}
