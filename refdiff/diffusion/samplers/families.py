"""The scalings of x that samplers work in, and what follows from each.

Variance preserving: x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps, as the model sees it.
Variance exploding:  x = x0 + sigma eps, divided by sqrt(sigma^2 + 1) for the model; this is the
other x divided by sqrt(alpha_bar) (2206.00364, table 1).
Mixing: x = alpha x0 + std eps with any alpha and std, as the model sees it: variance preserving
where alpha^2 + std^2 = 1, a straight flow (2210.02747) where alpha + std = 1.
"""

from typing import Any, Protocol

from refdiff.diffusion.process import q_sample
from refdiff.diffusion.samplers.plan import Plan, Row
from refdiff.diffusion.samplers.sigmas import Denoising
from refdiff.diffusion.samplers.timesteps import Listed, Spacing
from refdiff.diffusion.types import Array


class AlphaBarRow(Row, Protocol):
    """A row that knows alpha_bar at its time t."""

    @property
    def alpha_bar(self) -> float:
        """Share of the data's variance in x."""


class MixedRow(Row, Protocol):
    """A row that knows what x = alpha x0 + std eps is made of at its time t."""

    @property
    def alpha(self) -> float:
        """How much of the data is in x."""

    @property
    def std(self) -> float:
        """How much noise is in x."""


class NoisyRow(Row, Protocol):
    """A row that says how much noise it adds."""

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise that the row adds."""


class Deterministic:
    """Samplers that never add noise."""

    def needs_noise(self, plan: Plan[Any], i: int) -> bool:
        """Never."""
        return False


class Stochastic:
    """Samplers whose rows say how much noise they add."""

    def needs_noise(self, plan: Plan[NoisyRow], i: int) -> bool:
        """Whether row i adds noise."""
        return plan.rows[i].noise_std > 0


class OneOutput:
    """Samplers whose model says one thing of x."""

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of x."""
        return shape


class VariancePreserving(OneOutput):
    """Start, noising and input of the samplers that keep x as the model sees it."""

    def init_noise_sigma(self, plan: Plan[AlphaBarRow]) -> float:
        """1: where the plan begins, hardly any data are left."""
        return 1.0

    def add_noise(self, plan: Plan[AlphaBarRow], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        return q_sample(x0, eps, plan.rows[i].alpha_bar)

    def level(self, plan: Plan[AlphaBarRow], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        alpha_bar = plan.rows[i].alpha_bar
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def scale_input(self, plan: Plan[AlphaBarRow], i: int, x: Array) -> Array:
        """x itself: the model knows this scaling. x [N,C,H,W] -> [N,C,H,W]"""
        return x


class Mixing(OneOutput):
    """Start, noising and input of the samplers whose rows say alpha and std."""

    def init_noise_sigma(self, plan: Plan[MixedRow]) -> float:
        """1: where the plan begins, hardly any data are left."""
        return 1.0

    def add_noise(self, plan: Plan[MixedRow], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        row = plan.rows[i]
        return row.alpha * x0 + row.std * eps

    def level(self, plan: Plan[MixedRow], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        return plan.rows[i].alpha, plan.rows[i].std

    def scale_input(self, plan: Plan[MixedRow], i: int, x: Array) -> Array:
        """x itself: the model knows this scaling. x [N,C,H,W] -> [N,C,H,W]"""
        return x


class VarianceExploding(OneOutput):
    """Start, noising and input of the Euler family."""

    spacing: Spacing

    def init_noise_sigma(self, plan: Plan[Denoising]) -> float:
        """The largest sigma; with leading spacing sqrt(sigma^2 + 1), which counts the data too."""
        noisiest = max(plan.rows, key=lambda row: row.sigma)
        spacing = self.spacing.instead_of if isinstance(self.spacing, Listed) else self.spacing
        return noisiest.std if spacing == "leading" else noisiest.sigma

    def add_noise(self, plan: Plan[Denoising], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins. x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]"""
        return x0 + plan.rows[i].sigma * eps

    def level(self, plan: Plan[Denoising], i: int) -> tuple[float, float]:
        """alpha and sigma of the model's input alpha x0 + sigma eps in row i."""
        row = plan.rows[i]
        return 1 / row.std, row.sigma / row.std

    def scale_input(self, plan: Plan[Denoising], i: int, x: Array) -> Array:
        """x at the scale of the model's training. x [N,C,H,W] -> [N,C,H,W]"""
        return x / plan.rows[i].std
