"""diffusers and refdiff side by side: the same outputs and the same noise, row by row."""

import contextlib
import copy
import inspect
import json
import sys
from functools import lru_cache
from typing import NamedTuple
from unittest import mock

import diffusers
import numpy as np
import torch

from refdiff.diffusion import rounded
from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.catalogue import BY_CLASS
from refdiff.diffusion.trial import begins_a_step
from tests.diffusion.adapters import ADAPTERS


def scheduler_class(class_name):
    """diffusers' class, behind an adapter where it is used in another way."""
    if class_name == "RePaintScheduler":
        return RePaint
    return ADAPTERS.get(class_name) or getattr(diffusers, class_name)


def made(config):
    """diffusers' scheduler, a copy: to make one, some plan a thousand steps for half a second."""
    return copy.deepcopy(_made(json.dumps(config)))


@lru_cache(maxsize=2)
def _made(config):
    config = json.loads(config)
    return scheduler_class(config["_class_name"]).from_config(config)


@contextlib.contextmanager
def roots_rounded_once():
    """torch's x ** 0.5 without the step of the last place by which every fifth root is off.

    Else a time that diffusers truncates, just above or just below a whole number, may differ by 1.
    """
    power = torch.Tensor.__pow__

    def once(x, exponent):
        if not (isinstance(exponent, float) and exponent == 0.5):
            return power(x, exponent)
        with np.errstate(invalid="ignore"):  # torch gives NaN in silence
            return torch.as_tensor(np.sqrt(x.numpy()))

    with mock.patch.object(torch.Tensor, "__pow__", once):
        yield


def theirs(case):
    """diffusers' scheduler, its times set."""
    with roots_rounded_once():
        scheduler = made(case.config)
        steps = None if "timesteps" in case.options else case.steps
        scheduler.set_timesteps(steps, **arguments(scheduler.set_timesteps, case))
    begin(scheduler, 0)
    return scheduler


def begin(scheduler, row):
    """Let diffusers start there: by itself it takes a time that comes twice for the second."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(row)
    elif hasattr(scheduler, "_step_index"):
        scheduler._step_index = row


def arguments(function, case):
    """Those of the case's options that the function takes."""
    return {k: v for k, v in options(case).items() if k in inspect.signature(function).parameters}


def options(case):
    """The case's options, and a picture with its mask where the class inpaints."""
    if "mask" not in BY_CLASS[case.config["_class_name"]].options:
        return case.options
    rng = np.random.default_rng([case.seed, 3])
    mask = rng.choice([0, 1, 0.3], (case.shape[0], 1, *case.shape[2:])).astype(np.float32)
    picture = rng.standard_normal(case.shape).astype(np.float32)
    return {"original_image": picture, "mask": mask} | case.options


def ours(case, dialect="diffusers"):
    """refdiff's sampler and plan."""
    config = case.config
    if config.get("rescale_betas_zero_snr"):
        # torch's vectorised sqrt is not correctly rounded, and the rescaling magnifies that:
        # test_schedule.py bounds the difference of the tables, here both start from the same
        # of the class that refuses nothing else that the config may say
        whole = {k: spec.default for k, spec in BY_CLASS[config["_class_name"]].read.items()}
        betas = diffusers.DDPMScheduler.from_config(whole | config).betas.tolist()
        config = config | {"trained_betas": betas, "rescale_betas_zero_snr": False}
    if config["_class_name"] == "IPNDMScheduler" and dialect == "diffusers":
        # likewise torch's sin, which near 1 the complement alpha magnifies: see test_ipndm.py
        config = config | {"trained_betas": theirs(case).betas.tolist()}
    sampler = from_config(config, dialect, **options(case))
    return sampler, sampler.plan(case.steps)


class Run(NamedTuple):
    """What a run showed: times, starting level, what the model saw, what each row gave.

    by: the plan, or diffusers' scheduler.
    """

    timesteps: np.ndarray
    init_noise_sigma: float
    inputs: list
    xs: list
    by: object = None


class Draws:
    """Starting noise, model outputs and step noise, each by its row: float32 numbers in dtype."""

    def __init__(self, case, dtype):
        self.case, self.dtype = case, dtype

    def _normal(self, kind, i, shape):
        rng = np.random.default_rng([self.case.seed, kind, i])
        return rng.standard_normal(shape).astype(np.float32).astype(self.dtype)

    def start(self):
        return self._normal(0, 0, self.case.shape)

    def out(self, i, shape=None):
        return self._normal(1, i, shape or self.case.shape)

    def noise(self, i):
        return self._normal(2, i, self.case.shape)


class Remembered:
    """The noise of every row, drawn beforehand."""

    def __init__(self, draws, rows):
        self.case = draws.case
        self._noise = [draws.noise(i) for i in range(rows)]

    def noise(self, i):
        return self._noise[i]


@contextlib.contextmanager
def injected(scheduler, draws):
    """Whatever noise diffusers draws in row `row["i"]` is that row's of `draws`."""
    row = {"i": 0}
    inner = getattr(scheduler, "inner", scheduler)
    modules = {sys.modules[base.__module__] for base in type(inner).__mro__}

    def randn_tensor(shape, **_):
        assert tuple(shape) == tuple(draws.case.shape)
        return torch.from_numpy(draws.noise(row["i"]))

    def brownian(*_, **__):
        return lambda *_: torch.from_numpy(draws.noise(row["i"]))

    with contextlib.ExitStack() as stack:
        for module in modules:
            for name, fake in (
                ("randn_tensor", randn_tensor),
                ("BrownianTreeNoiseSampler", brownian),
            ):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, fake))
        yield row


class RePaint(diffusers.RePaintScheduler):
    """diffusers' as its pipeline walks: a call's step and the climb after it, of one noise.

    In a climb diffusers draws noise for each training step. Here all of these are the same w, such
    that step and climb together add z by what their variances add up to.
    """

    def set_timesteps(self, num_inference_steps, jump_length=10, jump_n_sample=10):
        super().set_timesteps(num_inference_steps, jump_length, jump_n_sample)
        walk = self.timesteps.tolist()
        calls = [i for i, t in enumerate(walk) if i == 0 or t < walk[i - 1]]
        ends = [*calls[1:], len(walk)]
        self.climbs = [walk[i : end - 1] for i, end in zip(calls, ends, strict=True)]
        self.timesteps = self.timesteps[calls]

    def set_begin_index(self, index):
        self.index = index

    def step(self, out, t, x, original_image, mask):
        picture, mask = (torch.from_numpy(a).to(x.dtype) for a in (original_image, mask))
        result = super().step(out, t, x, picture, mask)
        climb, self.index = self.climbs[self.index], self.index + 1
        if not climb:
            return result
        module = sys.modules[diffusers.RePaintScheduler.__module__]
        z, prev = module.randn_tensor(x.shape), result.prev_sample
        with mock.patch.object(module, "randn_tensor", lambda *_, **__: torch.zeros_like(x)):
            by_noise = (prev - super().step(out, t, x, picture, mask).prev_sample) / z
        n = self.config.num_train_timesteps // self.num_inference_steps
        # in float64: torch's root is a step of float32 high in a fifth of all these factors
        A, B, betas, prev = 1.0, 0.0, self.betas.double(), prev.double()
        for beta in betas[climb[0] : climb[-1] + n].tolist():
            A, B = (1 - beta) ** 0.5 * A, (1 - beta) ** 0.5 * B + beta**0.5
        by_noise = A * by_noise.double()
        w = ((by_noise**2 + 1 - A**2) ** 0.5 - by_noise) / B * z
        with (
            mock.patch.object(module, "randn_tensor", lambda *_, **__: w),
            mock.patch.object(self, "betas", betas),
        ):
            for start in climb:
                prev = self.undo_step(prev, start)
        return module.RePaintSchedulerOutput(prev.to(x.dtype), None)


def their_run(case, dtype=np.float32, scheduler=None, start=0, x=None):
    """diffusers' walk from row `start` to the end."""
    scheduler = scheduler or theirs(case)
    draws, extra = Draws(case, dtype), arguments(scheduler.step, case)
    level = getattr(scheduler, "init_noise_sigma", 1.0)  # flow matching has no name for its 1
    x = torch.from_numpy(draws.start()) * level if x is None else x
    shape = ours_shape(case)
    inputs, xs = [], []
    with injected(scheduler, draws) as row:
        for i, t in enumerate(scheduler.timesteps[start:], start):
            row["i"] = i
            if hasattr(scheduler, "scale_model_input"):
                inputs.append(scheduler.scale_model_input(x, t).numpy())
            else:
                inputs.append(x.numpy())
            if "prev_timestep" in inspect.signature(scheduler.step).parameters:
                later = scheduler.timesteps[i + 1 :]  # as UnCLIPPipeline hands it on
                extra["prev_timestep"] = later[0] if len(later) else None
            x = scheduler.step(torch.from_numpy(draws.out(i, shape)), t, x, **extra).prev_sample
            xs.append(x.numpy())
    return Run(scheduler.timesteps.numpy(), float(level), inputs, xs, scheduler)


def noised(scheduler, x0, eps, t):
    """x0 noised to time t by diffusers, whose flow matching has another name for it.

    None where a class noises nothing.
    """
    x0, eps = torch.from_numpy(x0), torch.from_numpy(eps)
    if hasattr(scheduler, "add_noise") and "RePaint" not in type(scheduler).__name__:
        return scheduler.add_noise(x0, eps, t)
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(x0, t, eps)
    return None


def ours_shape(case):
    """The shape of the model's output."""
    return from_config(case.config, **options(case)).out_shape(case.shape)


def our_run(
    case,
    dtype=np.float32,
    dialect="diffusers",
    sampler=None,
    edit=None,
    start=0,
    x=None,
    off=None,
):
    """refdiff's walk from row `start` to the end; off: draws which outputs to round up or down."""
    sampler = sampler or ours(case, dialect)[0]
    plan = sampler.plan(case.steps)
    plan = edit(plan) if edit else plan
    draws = Draws(case, dtype)
    x = draws.start() * sampler.init_noise_sigma(plan) if x is None else x
    inputs, xs, memory = [], [], None
    for i in range(start, len(plan)):
        inputs.append(sampler.scale_input(plan, i, x))
        out = draws.out(i, sampler.out_shape(case.shape))
        if off is not None:
            out = (out * (1 + off.choice([-1, 1], out.shape) * 2.0**-24)).astype(dtype)
        z = draws.noise(i) if sampler.needs_noise(plan, i) else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
        xs.append(x)
    return Run(plan.timesteps, sampler.init_noise_sigma(plan), inputs, xs, plan)


def first_stage(plan, i):
    """The row at or before i that begins a step: those after it need what it remembers."""
    while not begins_a_step(plan.rows[i]):
        i -= 1
    return i


def gap(a, b):
    """Largest difference, relative to the largest entry of b; inf where dtypes or shapes differ."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return np.inf
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), np.finfo(a.dtype).tiny))


def ulps(a, b):
    """Distance in float32 steps, the largest."""
    a, b = (np.asarray(v, np.float32).view(np.int32).astype(np.int64) for v in (a, b))
    return int(np.max(np.abs(a - b), initial=0))


def same_times(plan, other, most=1):
    """Whether times agree to so many float32 steps, those inside a step as respaced ones do."""
    mine = plan.timesteps
    begun = np.array([begins_a_step(row) for row in plan.rows])
    # log(sigma) / 4 near 0 moves by many of its own steps with one of sigma's near 1
    almost = np.max(np.abs(mine - other)[begun]) <= 2.0**-23
    close = np.allclose(mine, other, rtol=2.0**-20, atol=1e-6)  # see run_gap
    return close and (almost or ulps(mine[begun], other[begun]) <= most)


def run_gap(mine, other):
    """The largest gap in any row; inf where rows differ in number or times in their rounding.

    Respaced times are read from a table of log(sigma), 2^-21 fine where |log(sigma)| > 4, whose
    roots torch rounds by one step in its own way; log(sigma) changes by half per doubling of t.
    """
    if len(mine.xs) != len(other.xs) or not np.allclose(
        mine.timesteps, other.timesteps, rtol=2.0**-20, atol=1e-6
    ):
        return np.inf
    return max(map(gap, (*mine.xs, *mine.inputs), (*other.xs, *other.inputs)))


def honest_gap(mine, truth):
    """How far refdiff in float32 is from refdiff in float64, by the same plan: pure rounding."""
    exact = [x.astype(np.float32) for x in (*truth.xs, *truth.inputs)]
    return max(map(gap, (*mine.xs, *mine.inputs), exact))


def root_of_rounding(case):
    """What the rounding of DDIM's std does to of_eps = sqrt(1 - alpha_bar_s - std^2).

    With eta = 1 out of nearly pure noise the difference is almost nothing but rounding, and
    torch's square roots, which enter it, are not correctly rounded.
    """
    if not case.options.get("eta"):
        return 0.0
    plan = ours(case)[1]
    of_eps, std = plan.column("of_eps"), plan.column("noise_std")
    step = 2.0**-21 * std**2  # std^2 has gone through four quotients and roots: some four ulps
    return float(np.max(step / np.maximum(of_eps, step**0.5 + 1e-30)))


def last_places(case, mine, **walk):
    """How far refdiff's own run goes if each exp and log of its plan is off by one last place.

    torch's are in a few values of a hundred, and differences of logarithms magnify that.
    """

    def off(function):
        def nudged(x):
            exact = function(x)
            up = np.frexp(x)[0] * 2**20 % 2 < 1  # by x's own bits, so that equals stay equal
            there = np.nextafter(exact, np.where(up, np.inf, -np.inf), dtype=x.dtype)
            rounded_at_all = np.isfinite(exact) & (exact != 0) & (x != 0)
            return np.where(rounded_at_all, there, exact)

        return nudged

    with contextlib.ExitStack() as stack:
        for name in ("exp", "expm1", "log"):
            nudged = off(getattr(rounded, name))
            stack.enter_context(mock.patch.object(rounded, name, nudged))
        return run_gap(our_run(case, **walk), mine)


def magnified(case, mine, **walk):
    """What the formula itself makes of rounding: of the plan's roots, exps and logs, of outputs."""
    return max(
        root_of_rounding(case),
        last_places(case, mine, **walk),
        torchs_roots(case, **walk),
        outputs_rounded_once_more(case, mine, **walk),
    )


def outputs_rounded_once_more(case, mine, **walk):
    """How far the run moves when each output is off by one rounding, this way or that.

    Where a prediction is clipped, few elements are left to show how much it was magnified.
    """
    return max(run_gap(our_run(case, off=np.random.default_rng(n), **walk), mine) for n in range(4))


def torchs_roots(case, start=0, x=None):
    """How far diffusers' own run moves when torch's roots are rounded once, in its steps too."""

    def walk():
        scheduler = theirs(case)
        begin(scheduler, start)
        noised = None if x is None else torch.from_numpy(x)
        return their_run(case, scheduler=scheduler, start=start, x=noised)

    plain = walk()
    with roots_rounded_once():
        return run_gap(walk(), plain)


BOUND = 2e-6


def disagreement(mine, other, truth, magnified=0.0):
    """How far two runs are apart, in units of what is allowed: above 1 they disagree.

    Allowed is 2e-6 or, where the formula itself magnifies rounding (a cosine schedule's first step
    multiplies by 20000), eight times the gap between refdiff in float32 and in float64 (`truth`),
    or eight times what rounding does to the plan's own coefficients (`magnified`).
    """
    return run_gap(mine, other) / max(BOUND, 8 * honest_gap(mine, truth), 8 * magnified)
