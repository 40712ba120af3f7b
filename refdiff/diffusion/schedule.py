"""Noise schedules: how much of the data is left after t steps of noising.

A schedule is the table of beta_t (DDPM, 2006.11239, eq. 2) and what follows from it:

    alpha_bar_t = prod_{i<=t} (1 - beta_i)          what is left of the data's variance
    sigma_t     = sqrt((1 - alpha_bar_t) / alpha_bar_t)
    snr_t       = alpha_bar_t / (1 - alpha_bar_t)

Index t = 0 is the least noisy level, T-1 the noisiest; before index 0 lie the clean data.

The dialect decides only in which precision the tables are computed: "diffusers" in float32, bit
for bit as diffusers does, "paper" in float64. Either way they are held as float64 values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.types import Array, Dialect
from refdiff.errors import ConfigError

PRECISION: dict[Dialect, type[np.floating[Any]]] = {"diffusers": np.float32, "paper": np.float64}
MAX_STEPS = 1_000_000
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A table of noise levels. betas [T], alphas_cumprod [T], float64, read-only.

    Make one with `linear`, `scaled_linear`, `cosine`, `sigmoid` or `from_betas`.
    """

    betas: Float64
    alphas_cumprod: Float64
    dialect: Dialect = "diffusers"

    def __len__(self) -> int:
        return len(self.betas)

    @property
    def alpha_bar(self) -> Array:
        """alphas_cumprod in the dialect's precision, for plans to compute with: -> [T]"""
        return self.alphas_cumprod.astype(PRECISION[self.dialect])

    @property
    def sigmas(self) -> Float64:
        """sqrt((1 - alpha_bar) / alpha_bar): -> [T], inf where alpha_bar is 0"""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alpha_bar) / self.alpha_bar).astype(np.float64)

    @property
    def snr(self) -> Float64:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar): -> [T]"""
        return self.alphas_cumprod / (1 - self.alphas_cumprod)

    @classmethod
    def from_betas(
        cls, betas: Sequence[float] | Array, *, dialect: Dialect = "diffusers"
    ) -> "NoiseSchedule":
        """The schedule of given betas. betas [T], each in (0, 1].

        Raises ConfigError for anything else, and for betas so small that nothing is noised.
        """
        table = np.asarray(betas, dtype=_precision(dialect))
        if table.ndim != 1 or not 1 <= len(table) <= MAX_STEPS:
            raise ConfigError(
                f"betas have shape {list(table.shape)}, expected one row of 1 to {MAX_STEPS} "
                "numbers: give one beta for each training step"
            )
        if not np.all((table > 0) & (table <= 1)):  # NaN compares false, and is refused too
            raise ConfigError(
                "betas hold a number outside (0, 1], a variance that no noising step can have: "
                "mend beta_start, beta_end or the list of betas"
            )
        # torch accumulates a float32 product in float64 and rounds every entry once
        alpha_bar = np.cumprod(1 - table, dtype=np.float64).astype(table.dtype)
        if alpha_bar[0] == 1:
            raise ConfigError(
                f"the first beta is {table[0]}, which vanishes beside 1 in {table.dtype}: "
                'choose larger betas or dialect="paper"'
            )
        return cls(_frozen(table), _frozen(alpha_bar), dialect)

    @classmethod
    def linear(
        cls,
        T: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        *,
        dialect: Dialect = "diffusers",
    ) -> "NoiseSchedule":
        """beta from beta_start to beta_end in equal steps (DDPM, 2006.11239, section 4)."""
        _in_unit_interval(beta_start=beta_start, beta_end=beta_end)
        return cls.from_betas(ramp(beta_start, beta_end, _steps(T), dialect), dialect=dialect)

    @classmethod
    def guided_linear(cls, T: int = 1000, *, dialect: Dialect = "paper") -> "NoiseSchedule":
        """`linear` with ends of 0.1 / T and 20 / T: about as much noise for any T of 20 or more.

        guided-diffusion's, in float64 tables; DDPM's own for T = 1000.
        """
        scale = 1000 / _steps(T)
        return cls.linear(T, scale * 1e-4, scale * 0.02, dialect=dialect)

    @classmethod
    def scaled_linear(
        cls,
        T: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        *,
        dialect: Dialect = "diffusers",
    ) -> "NoiseSchedule":
        """sqrt(beta) in equal steps: Stable Diffusion's schedule (latent diffusion, 2112.10752)."""
        _in_unit_interval(beta_start=beta_start, beta_end=beta_end)
        roots = ramp(beta_start**0.5, beta_end**0.5, _steps(T), dialect)
        return cls.from_betas(roots**2, dialect=dialect)

    @classmethod
    def cosine(
        cls, T: int = 1000, max_beta: float = 0.999, *, dialect: Dialect = "diffusers"
    ) -> "NoiseSchedule":
        """alpha_bar(u) = cos^2((u + 0.008) / 1.008 * pi/2), beta capped (2102.09672, eq. 17).

        diffusers calls it squaredcos_cap_v2.
        """
        return cls.from_alpha_bar(
            lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2, T, max_beta, dialect=dialect
        )

    @classmethod
    def laplace(
        cls, T: int = 1000, max_beta: float = 0.999, *, dialect: Dialect = "diffusers"
    ) -> "NoiseSchedule":
        """log(snr) follows a Laplace distribution of mean 0 and scale 1/2 (2407.03297, table 1).

        As diffusers has it, whose alpha_bar(u) is the square root of that of the paper.
        """

        def alpha_bar(u: Array) -> Array:
            snr = np.exp(-0.5 * np.sign(0.5 - u) * np.log(1 - 2 * np.abs(0.5 - u) + 1e-6))
            return np.sqrt(snr / (1 + snr))

        return cls.from_alpha_bar(alpha_bar, T, max_beta, dialect=dialect)

    @classmethod
    def exponential(
        cls, T: int = 1000, max_beta: float = 0.999, *, dialect: Dialect = "diffusers"
    ) -> "NoiseSchedule":
        """alpha_bar(u) = exp(-12 u), of unCLIP's decoders; diffusers calls it exp."""
        return cls.from_alpha_bar(lambda u: np.exp(-12.0 * u), T, max_beta, dialect=dialect)

    @classmethod
    def from_alpha_bar(
        cls,
        alpha_bar: Callable[[Array], Array],
        T: int = 1000,
        max_beta: float = 0.999,
        *,
        dialect: Dialect = "diffusers",
    ) -> "NoiseSchedule":
        """The steps of a curve: beta_t = 1 - alpha_bar((t+1)/T) / alpha_bar(t/T), capped.

        alpha_bar: u [T+1] in 0..1 -> [T+1], falling. The cap keeps the last step from being all
        noise (2102.09672, section 3.2).
        """
        levels = alpha_bar(np.arange(_steps(T) + 1) / T)
        return cls.from_betas(np.minimum(1 - levels[1:] / levels[:-1], max_beta), dialect=dialect)

    @classmethod
    def sigmoid(
        cls,
        T: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        *,
        dialect: Dialect = "diffusers",
    ) -> "NoiseSchedule":
        """beta along a logistic curve over [-6, 6] (GeoDiff, 2203.02923)."""
        _in_unit_interval(beta_start=beta_start, beta_end=beta_end)
        logistic = 1 / (1 + np.exp(-ramp(-6.0, 6.0, _steps(T), dialect)))
        return cls.from_betas(logistic * (beta_end - beta_start) + beta_start, dialect=dialect)

    def rescale_zero_terminal_snr(self) -> "NoiseSchedule":
        """The same schedule shifted and stretched to end in pure noise (2305.08891, Algorithm 1).

        sqrt(alpha_bar) keeps its first value and ends at 0 exactly.
        """
        if len(self) < 2:
            raise ConfigError(
                "the schedule has one step, which cannot both keep its noise level and become "
                "pure noise: rescale schedules of two steps or more"
            )
        root = np.sqrt(self.alpha_bar)
        first, last = root[0], root[-1]
        alpha_bar = ((root - last) * (first / (first - last))) ** 2
        alphas = np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
        return NoiseSchedule.from_betas(1 - alphas, dialect=self.dialect)


def ramp(start: float, end: float, count: int, dialect: Dialect) -> Array:
    """Equal steps from start to end, grown from both ends as torch.linspace does: -> [count]

    Each entry is one fused multiply-add, that is, rounded once: float64 arithmetic on float32
    numbers is exact enough to have the same bits.
    """
    precision = _precision(dialect)
    first, last = precision(start), precision(end)
    if count == 1:
        return np.array([first])
    step = float((last - first) / precision(count - 1))
    i = np.arange(count)
    rising, falling = float(first) + step * i, float(last) - step * (count - 1 - i)
    return np.where(i < count // 2, rising, falling).astype(precision)


def _steps(T: int) -> int:
    if isinstance(T, bool) or not isinstance(T, int) or not 1 <= T <= MAX_STEPS:
        raise ConfigError(
            f"a schedule of {T!r} steps was asked for, expected an integer from 1 to {MAX_STEPS}: "
            "mend num_train_timesteps"
        )
    return T


def _in_unit_interval(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value <= 1:
            raise ConfigError(f"{name} is {value!r}, expected a number in (0, 1]: mend {name}")


def _precision(dialect: Dialect) -> type[np.floating[Any]]:
    if dialect not in PRECISION:
        raise ConfigError(
            f"dialect {dialect!r} is unknown, expected one of {sorted(PRECISION)}: choose one"
        )
    return PRECISION[dialect]


def _frozen(table: Array) -> Float64:
    held = table.astype(np.float64)
    held.setflags(write=False)
    return held
