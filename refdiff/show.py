"""The commands that tell before anything is made: `refdiff samplers` and `refdiff schedule`."""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refdiff.atomic import atomic_write, check_writable
from refdiff.diffusion import samplers
from refdiff.diffusion.types import Dialect
from refdiff.loading import scheduler_config, shipped
from refdiff.plots import Line, Panel, plot
from refdiff.tables import table

STEPS = 20  # that a sampler's calls are counted over
COLUMNS = ("t", "beta", "alpha_bar", "snr", "sigma")


def list_samplers(args: Namespace) -> Iterator[str]:
    """Every sampler: order, noise or none, calls of the model a step, and what it is good for."""
    told = [describe(entry) for entry in samplers.ENTRIES]
    if args.json:
        yield json.dumps(told, indent=1)
        return
    head = ("name", "order", "noise", "calls", "class", "good for")
    cells = [head, *(tuple(str(told_of[key]) for key in head) for told_of in told)]
    yield from table(cells, left={0, 4, 5})


def describe(entry: samplers.Entry) -> dict[str, Any]:
    """One sampler as the list has it; calls of the model are counted in a plan of 20 steps."""
    sampler = entry.build(entry.defaults, "diffusers")
    plan = sampler.plan(STEPS)
    noisy = any(sampler.needs_noise(plan, i) for i in range(len(plan)))
    return {
        "name": entry.name,
        "order": entry.order,
        "noise": "yes" if noisy else "no",
        "calls": f"{len(plan) / STEPS:.4g}",
        "class": entry.class_name,
        "good for": entry.good_for,
        "options": {key: spec.expected for key, spec in {**entry.read, **entry.options}.items()},
    }


class Told(NamedTuple):
    """A config's sampler, its plan's levels, and its schedule's if it has one."""

    label: str
    rows: Mapping[str, NDArray[np.float64]]
    training: Mapping[str, NDArray[np.float64]]


def show_schedule(args: Namespace) -> Iterator[str]:
    """Betas, alpha_bar, SNR, sigma and the times chosen, as a table and, if wanted, a picture."""
    if args.plot:
        check_writable(args.plot)
    paths = [args.config or str(shipped()), *([args.compare] if args.compare else [])]
    told = [tell(Path(path), args) for path in paths]
    if args.json:
        yield json.dumps([as_json(t) for t in told], indent=1)
    else:
        for t in told:
            yield f"{t.label}: {len(t.rows['t'])} calls of the model"
            yield from table(cells(t.rows))
            yield ""
        if len(told) == 2:
            yield difference(*told)
    if args.plot:
        with atomic_write(args.plot) as file:
            picture(told).save(file, "PNG")
        yield str(args.plot)


def tell(path: Path, args: Namespace) -> Told:
    """What the config in `path`, or in that checkpoint's folder, plans. Raises ConfigError."""
    config = scheduler_config(path)
    dialect: Dialect = args.dialect or "diffusers"
    if args.sampler:
        config = samplers.config_as(config, args.sampler)
    sampler = samplers.with_options(config, args.sampler_options or {}, dialect)
    plan = sampler.plan(args.steps)
    schedule = getattr(sampler, "schedule", None)
    with np.errstate(divide="ignore"):
        levels = np.array([sampler.level(plan, i) for i in range(len(plan))])
        sigma = levels[:, 1] / levels[:, 0]
        t = plan.timesteps.astype(np.float64)
        beta = np.full(len(t), np.nan)
        training = {}
        if schedule is not None:
            T = np.arange(len(schedule), dtype=np.float64)
            beta = np.interp(t, T, schedule.betas, left=np.nan, right=np.nan)
            training = {"t": T, "beta": schedule.betas, **ratios(schedule.sigmas)}
    label = f"{path.name} as {type(sampler).__name__}, {dialect} dialect"
    return Told(label, {"t": t, "beta": beta, **ratios(sigma)}, training)


def ratios(sigma: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """alpha_bar, snr and sigma itself, of sigma counted as noise over data: [rows] each"""
    with np.errstate(divide="ignore"):
        return {"alpha_bar": 1 / (1 + sigma**2), "snr": 1 / sigma**2, "sigma": sigma}


def cells(rows: Mapping[str, NDArray[np.float64]]) -> list[Sequence[str]]:
    """The rows as text, with their numbers in front."""
    columns = [[_text(v) for v in rows[name]] for name in COLUMNS]
    numbered = zip(map(str, range(len(columns[0]))), *columns, strict=True)
    return [("i", *COLUMNS), *numbered]


def difference(a: Told, b: Told) -> str:
    """One sentence: where two plans part."""
    if len(a.rows["t"]) != len(b.rows["t"]):
        return f"the plans have {len(a.rows['t'])} and {len(b.rows['t'])} rows"
    for i in range(len(a.rows["t"])):
        for name in ("t", "sigma"):
            one, other = float(a.rows[name][i]), float(b.rows[name][i])
            if one != other:
                return f"the plans part in row {i}: {name} is {_text(one)} and {_text(other)}"
    return "the plans are equal in every time and sigma"


def picture(told: Sequence[Told]) -> Any:
    """Four panels over t: the schedule as a line, the times chosen as dots."""

    def lines(name: str) -> list[Line]:
        found = []
        for t in told:
            if t.training:
                found.append(Line("", t.training["t"], t.training[name]))
            label = t.label.partition(",")[0]
            found.append(Line(label, t.rows["t"], t.rows[name], joined=False, dots=True))
        return found

    return plot(
        [
            Panel("beta, the variance that a training step adds", "t", "", lines("beta")),
            Panel("alpha_bar, the data's share of the variance", "t", "", lines("alpha_bar")),
            Panel("snr, signal to noise", "t", "", lines("snr"), y_log=True),
            Panel("sigma, noise over data", "t", "", lines("sigma"), y_log=True),
        ]
    )


def as_json(told: Told) -> dict[str, Any]:
    """All numbers, for a machine; null where there is none."""
    return {
        "config": told.label,
        "plan": {name: _numbers(column) for name, column in told.rows.items()},
        "schedule": {name: _numbers(column) for name, column in told.training.items()},
    }


def _numbers(column: NDArray[np.float64]) -> list[float | None]:
    return [v if np.isfinite(v) else None for v in column.tolist()]


def _text(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.6g}"
