"""The loops that diffusers' own tests assert figures of, with refdiff in the scheduler's place.

loops.json holds the facts, an entry a loop, from diffusers' tests for the CPU at commit 58eb52c080;
diffusers 0.42.1 still gives every figure. A class that enters the catalogue is covered at once.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from refdiff import noise
from refdiff.diffusion.samplers import READ, from_config


class Loop(NamedTuple):
    """A loop over the dummy model, and what diffusers asserts of the magnitudes at its end.

    tests: file, class and function in tests/schedulers of diffusers; several may walk one loop.
    options: further arguments of set_timesteps and step. shape: of the sample that it starts from.
    times_sigma: the start is multiplied by init_noise_sigma. noised: noise is added for `row`.
    row: the call that the walk starts at. rounds: how often it is walked, memory kept between.
    scaled: what scale_model_input gives is "shown" to the model, "kept" as x too, or not asked for.
    seed: of the generator, if any. sum, mean: the figure, and what it may be off by.
    """

    tests: list
    config: dict
    steps: int
    mean: tuple
    sum: tuple | None = None
    options: dict = {}  # noqa: RUF012 - never written to
    shape: tuple = (4, 3, 8, 8)
    times_sigma: bool = False
    noised: bool = False
    row: int = 0
    rounds: int = 1
    scaled: str = "no"
    seed: int | None = None
    note: str = ""

    @property
    def class_name(self):
        return self.config["_class_name"]

    @property
    def name(self):
        return self.tests[0].removeprefix("test_scheduler_")


TABLE = [Loop(**e) for e in json.loads(Path(__file__).with_name("loops.json").read_text())]
# loops that refdiff has no words for, and why
RUN = [loop for loop in TABLE if loop.class_name in READ]
# draw noise in every row, used or not: from one generator, that decides what the next row gets
DRAWS_ALWAYS = ("SASolverScheduler",)


def ramp(shape, *, down=False):
    """0, 1/n, 2/n, ... along the axes C, H, W, N, or the same from its end."""
    n = np.prod(shape)
    numbers = np.arange(n, dtype=np.float32)[:: -1 if down else 1] / np.float32(n)
    return np.moveaxis(numbers.reshape(*shape[1:], shape[0]), -1, 0)


def model(x, t):
    """The dummy model: x t / (t + 1), in float32 as x."""
    t = np.float32(t)
    return x * t / (t + np.float32(1))


def draws(loop, plan):
    """Row to noise: a generator's next draw, or a Brownian path's over the row's interval."""
    if "noise_from" in plan.names:
        sigma, seed = plan.column("sigma"), loop.config["noise_sampler_seed"]
        path = noise.brownian_noise(seed, loop.shape, sigma[sigma > 0].min(), sigma.max())
        return lambda row: path(row.noise_from, row.noise_to)
    stream = noise.torch_cpu(loop.seed or 0)
    return lambda row: stream.normal(loop.shape)


def told(loop, plan, i):
    """The time that the model is told in row i.

    The loop of ScoreSdeVe sets sigmas before times, and so tells the first levels of 2000 steps.
    """
    if loop.class_name != "ScoreSdeVeScheduler":
        return plan.rows[i].t
    whole = from_config(loop.config).plan(loop.config["num_train_timesteps"])
    each = len(plan) // loop.steps
    return whole.rows[i // each * each].t


def walk(loop, edit=lambda plan: plan):
    """The sample at the loop's end."""
    sampler = from_config(loop.config, **loop.options)
    plan = edit(sampler.plan(loop.steps))
    x, memory, draw = ramp(loop.shape), None, draws(loop, plan)
    if loop.times_sigma:
        x = x * sampler.init_noise_sigma(plan)
    if loop.noised:
        x = sampler.add_noise(plan, loop.row, x, ramp(loop.shape, down=True))
    for i in [*range(loop.row, len(plan))] * loop.rounds:
        shown = x if loop.scaled == "no" else sampler.scale_input(plan, i, x)
        x = shown if loop.scaled == "kept" else x
        drawn = sampler.needs_noise(plan, i) or loop.class_name in DRAWS_ALWAYS
        z = draw(plan.rows[i]) if drawn else None
        x, memory = sampler.step(plan, i, x, model(shown, told(loop, plan, i)), memory, z)
    return x


def misses(loop, x):
    """The figures that x is too far from, as text.

    Summed in float64: a float32 sum of 75000 is as coarse as what it may be off by.
    """
    found = {"sum": np.abs(x).sum(dtype=np.float64), "mean": np.abs(x).mean(dtype=np.float64)}
    asserted = {"sum": loop.sum, "mean": loop.mean}
    return [
        f"{what} of |x| is {found[what]:.9g}, expected {figure[0]:.9g} to {figure[1]:g}"
        for what, figure in asserted.items()
        if figure and not abs(found[what] - figure[0]) < figure[1]
    ]


@pytest.mark.parametrize("loop", RUN, ids=lambda loop: loop.name)
def test_the_loop_ends_where_diffusers_does(loop):
    x = walk(loop)
    assert x.dtype == np.float32 and x.shape == tuple(loop.shape)
    assert not misses(loop, x)


def test_every_class_runs_its_loops():
    """Of the catalogue's classes none has loops in the table of which none ran."""
    assert {loop.class_name for loop in TABLE} & READ.keys() == {loop.class_name for loop in RUN}
    assert len({loop.name for loop in TABLE}) == len(TABLE) == 92


def changed(column, change):
    """An edit of a plan: every entry of one column changed."""

    def edit(plan):
        rows = (row._replace(**{column: change(getattr(row, column))}) for row in plan.rows)
        return dataclasses.replace(plan, rows=tuple(rows))

    return edit


def caught(loop, edit=lambda plan: plan):
    """Whether the figures tell the edited walk from the true one."""
    with np.errstate(all="ignore"):
        return bool(misses(loop, walk(loop, edit)))


def numbers(loop):
    """The columns of a loop's plan that hold fractions other than 0, but for the time."""
    plan = from_config(loop.config, **loop.options).plan(loop.steps)
    columns = {name: plan.column(name) for name in plan.names if name != "t"}
    return [name for name, column in columns.items() if column.dtype.kind == "f" and column.any()]


CLASSES = sorted({loop.class_name for loop in RUN})


@pytest.mark.parametrize("class_name", CLASSES)
def test_a_column_one_percent_off_is_caught(class_name):
    """By some loop of each class: a wrong sigma, say."""
    loops = [loop for loop in RUN if loop.class_name == class_name]
    wrong = [(loop, changed(name, lambda v: 0.99 * v)) for loop in loops for name in numbers(loop)]
    assert any(caught(loop, edit) for loop, edit in wrong)


def test_a_shifted_time_is_caught():
    """Where the times go down to 0 or 1: t / (t + 1) hardly tells great ones apart."""
    late = {loop.class_name for loop in RUN if caught(loop, changed("t", lambda t: t + 1))}
    assert late >= {
        *("DDPMScheduler", "DDIMScheduler", "PNDMScheduler"),
        *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
    }


def reseeded(loop):
    """The same loop with other noise, from whichever seed it takes it."""
    seeds = {key: 1 for key in loop.config if key == "noise_sampler_seed"}
    return loop._replace(seed=1, config=loop.config | seeds)


def test_another_seed_is_caught():
    """By some loop of each class that adds noise in any row."""
    noisy, heard = set(), set()
    for loop in RUN:
        sampler = from_config(loop.config, **loop.options)
        plan = sampler.plan(loop.steps)
        if any(sampler.needs_noise(plan, i) for i in range(loop.row, len(plan))):
            noisy.add(loop.class_name)
            heard |= {loop.class_name} if caught(reseeded(loop)) else set()
    assert noisy == heard >= {"DDPMScheduler", "EulerAncestralDiscreteScheduler"}
