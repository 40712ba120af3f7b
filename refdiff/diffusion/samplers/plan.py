"""The plan: what a sampler is going to do, as a table, one row for each call of the model."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.types import Array
from refdiff.errors import ConfigError


class Row(Protocol):
    """One model call: a NamedTuple of Python numbers, so that they never change x's dtype."""

    @property
    def t(self) -> float:
        """The time given to the model."""

    def _asdict(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Row)
R_co = TypeVar("R_co", bound=Row, covariant=True)


@dataclass(frozen=True)
class Plan(Generic[R_co]):
    """A table of rows. `plan.rows[i].t` is one entry, `plan.column("t")` a whole column."""

    rows: tuple[R_co, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0]._asdict())

    @property
    def timesteps(self) -> NDArray[Any]:
        """The times given to the model: -> [rows], int64, or float64 in the Euler family"""
        return self.column("t")

    def column(self, name: str) -> NDArray[Any]:
        """One column by its name: -> [rows]"""
        return np.array([getattr(row, name) for row in self.rows])

    def __str__(self) -> str:
        lines = [self.names, *(map(_text, row._asdict().values()) for row in self.rows)]
        cells = [["i" if i == 0 else str(i - 1), *line] for i, line in enumerate(lines)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in cells
        )


def tabulate(row: type[R], /, **columns: NDArray[Any] | list[str]) -> Plan[R]:
    """The plan with the given columns, one entry a row.

    Raises ConfigError where a number is not finite: no step could recover from it.
    """
    for name, column in columns.items():
        if isinstance(column, np.ndarray) and not np.all(np.isfinite(column)):
            i = int(np.argmin(np.isfinite(column)))
            raise ConfigError(
                f"column {name} of the plan is {column[i]} in row {i}, expected a finite number: "
                "the noise schedule is too steep for this sampler"
            )
    lists = {n: c.tolist() if isinstance(c, np.ndarray) else c for n, c in columns.items()}
    fields = vars(row)["_fields"]  # the columns may be named in any order
    return Plan(tuple(map(row, *(lists[name] for name in fields))))


class Sampler(Protocol[R]):
    """What every sampler offers. x, out, noise [N,C,H,W]; memory is None before the first row."""

    def plan(self, steps: int) -> Plan[R]:
        """The table for so many steps."""

    def init_noise_sigma(self, plan: Plan[R]) -> float:
        """Standard deviation of the noise to start from."""

    def add_noise(self, plan: Plan[R], i: int, x0: Array, eps: Array) -> Array:
        """x0 noised to the level at which row i begins, to start there."""

    def scale_input(self, plan: Plan[R], i: int, x: Array) -> Array:
        """What the model is shown of x in row i."""

    def level(self, plan: Plan[R], i: int) -> tuple[float, float]:
        """alpha and sigma of what the model is shown in row i, alpha x0 + sigma eps."""

    def needs_noise(self, plan: Plan[R], i: int) -> bool:
        """Whether row i adds noise."""

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What the model's output must have for an x of that shape: the same, in most."""

    def step(
        self, plan: Plan[R], i: int, x: Array, out: Array, memory: Any, noise: Array | None
    ) -> tuple[Array, Any]:
        """Row i's step from t to s: the next x and the next memory."""


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
