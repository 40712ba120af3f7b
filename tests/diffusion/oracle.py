"""diffusers and refdiff side by side: the same outputs and the same noise, row by row."""

import dataclasses
from typing import NamedTuple

import diffusers
import numpy as np
import torch
from hypothesis import strategies as st

from refdiff.diffusion.samplers import Ddim, from_config

CLASSES = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
)
STOCHASTIC = ("DDPMScheduler", "DDIMScheduler", "EulerAncestralDiscreteScheduler")


class Case(NamedTuple):
    config: dict
    steps: int
    shape: tuple
    seed: int
    eta: float = 0.0


def theirs(case):
    scheduler = getattr(diffusers, case.config["_class_name"]).from_config(case.config)
    scheduler.set_timesteps(case.steps)
    if "Euler" in case.config["_class_name"]:
        scheduler.set_begin_index(0)  # else a first time that comes twice skips the first row
    return scheduler


def ours(case, dialect="diffusers"):
    config = case.config
    if config.get("rescale_betas_zero_snr"):
        # torch's vectorised sqrt is not correctly rounded, and the rescaling magnifies that:
        # test_schedule.py bounds the difference of the tables, here both start from the same
        betas = theirs(case).betas.tolist()
        config = config | {"trained_betas": betas, "rescale_betas_zero_snr": False}
    sampler = from_config(config, dialect)
    if isinstance(sampler, Ddim):
        sampler = dataclasses.replace(sampler, eta=case.eta)
    return sampler, sampler.plan(case.steps)


class Run(NamedTuple):
    timesteps: np.ndarray
    init_noise_sigma: float
    inputs: list
    xs: list


def draw(rng, case, dtype):
    """The same float32 numbers in either precision."""
    return rng.standard_normal(case.shape).astype(np.float32).astype(dtype)


def start(case, dtype):
    rng = np.random.default_rng(case.seed)
    return rng, draw(rng, case, dtype)


def their_run(case, dtype=np.float32, scheduler=None):
    scheduler = scheduler or theirs(case)
    generator = torch.Generator().manual_seed(case.seed)
    class_name, extra = type(scheduler).__name__, {}
    if class_name in STOCHASTIC:
        extra["generator"] = generator
    if class_name == "DDIMScheduler":
        extra["eta"] = case.eta
    rng, x = start(case, dtype)
    x = torch.from_numpy(x) * scheduler.init_noise_sigma
    inputs, xs = [], []
    for t in scheduler.timesteps:
        inputs.append(scheduler.scale_model_input(x, t).numpy())
        out = torch.from_numpy(draw(rng, case, dtype))
        x = scheduler.step(out, t, x, **extra).prev_sample
        xs.append(x.numpy())
    return Run(scheduler.timesteps.numpy(), float(scheduler.init_noise_sigma), inputs, xs)


def our_run(case, dtype=np.float32, dialect="diffusers", sampler=None, edit=None, noise=np.float32):
    """A run in `dtype`; the noise is drawn in its own, since torch draws others in float64."""
    sampler = sampler or ours(case, dialect)[0]
    plan = sampler.plan(case.steps)
    plan = edit(plan) if edit else plan
    generator = torch.Generator().manual_seed(case.seed)
    rng, x = start(case, dtype)
    x = x * sampler.init_noise_sigma(plan)
    inputs, xs, memory = [], [], None
    for i in range(len(plan)):
        inputs.append(sampler.scale_input(plan, i, x))
        out = draw(rng, case, dtype)
        z = None
        if sampler.needs_noise(plan, i):
            kind = torch.float32 if noise == np.float32 else torch.float64
            z = torch.randn(case.shape, generator=generator, dtype=kind).numpy().astype(dtype)
        x, memory = sampler.step(plan, i, x, out, memory, z)
        xs.append(x)
    return Run(plan.timesteps, sampler.init_noise_sigma(plan), inputs, xs)


def gap(a, b):
    """Largest difference, relative to the largest entry of b; inf where dtypes or shapes differ."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return np.inf
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def root_of_rounding(case):
    """What the rounding of DDIM's std does to of_eps = sqrt(1 - alpha_bar_s - std^2).

    With eta = 1 out of nearly pure noise the difference is almost nothing but rounding, and
    torch's square roots, which enter it, are not correctly rounded.
    """
    if case.eta == 0:
        return 0.0
    plan = ours(case)[1]
    of_eps, std = plan.column("of_eps"), plan.column("noise_std")
    step = 2.0**-21 * std**2  # std^2 has gone through four quotients and roots: some four ulps
    return float(np.max(step / np.maximum(of_eps, step**0.5 + 1e-30)))


def disagreement(mine, other, truth, magnified=0.0):
    """How far two runs are apart, in units of what rounding allows: above 1 they disagree.

    Allowed is 2e-6 or, where the formula itself magnifies rounding (a cosine schedule's first step
    multiplies by 20000), eight times the gap between refdiff in float32 and in float64 (`truth`),
    or eight times what rounding does to the plan's own coefficients (`magnified`).
    Times must agree to float32's rounding. inf where rows differ in number.
    """
    if len(mine.xs) != len(other.xs) or not np.allclose(
        mine.timesteps, other.timesteps, rtol=1e-6, atol=1e-6
    ):
        return np.inf
    exact = [x.astype(np.float32) for x in (*truth.xs, *truth.inputs)]
    ours_all = (*mine.xs, *mine.inputs)
    honest = max(map(gap, ours_all, exact))
    return max(map(gap, ours_all, (*other.xs, *other.inputs))) / max(
        2e-6, 8 * honest, 8 * magnified
    )


SCHEDULES = st.one_of(
    st.fixed_dictionaries(
        {"beta_schedule": st.just("scaled_linear")},
        optional={"beta_start": st.just(0.00085), "beta_end": st.just(0.012)},
    ),
    st.fixed_dictionaries(
        {"beta_schedule": st.just("linear")},
        optional={"beta_start": st.floats(1e-5, 2e-3), "beta_end": st.floats(5e-3, 5e-2)},
    ),
    st.just({"beta_schedule": "squaredcos_cap_v2"}),
)
SHAPES = st.tuples(
    st.integers(1, 2), st.integers(1, 4), st.integers(3, 9), st.integers(3, 9)
).filter(lambda s: s[2] != s[3])


def options(class_name):
    """Every option of the class, drawn or left to its default."""
    spacing = st.sampled_from(["leading", "trailing", "linspace"])
    predictions = ["epsilon", "v_prediction"]
    if class_name in ("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"):
        predictions.append("sample")
    drawn = {
        "prediction_type": st.sampled_from(predictions),
        "timestep_spacing": spacing,
        "steps_offset": st.integers(0, 2),
    }
    if class_name != "PNDMScheduler":
        drawn["rescale_betas_zero_snr"] = st.booleans()
    if class_name in ("DDPMScheduler", "DDIMScheduler"):
        drawn |= {
            "clip_sample": st.booleans(),
            "clip_sample_range": st.floats(0.5, 3),
            "thresholding": st.booleans(),
            "dynamic_thresholding_ratio": st.floats(0.5, 1),
            "sample_max_value": st.floats(0.5, 4),
        }
    if class_name == "DDPMScheduler":
        drawn["variance_type"] = st.sampled_from(["fixed_small", "fixed_small_log", "fixed_large"])
    if class_name in ("DDIMScheduler", "PNDMScheduler"):
        drawn["set_alpha_to_one"] = st.booleans()
    if class_name == "PNDMScheduler":
        drawn["skip_prk_steps"] = st.booleans()
    if class_name == "EulerDiscreteScheduler":
        drawn |= {
            "interpolation_type": st.sampled_from(["linear", "log_linear"]),
            "final_sigmas_type": st.sampled_from(["zero", "sigma_min"]),
            "timestep_type": st.sampled_from(["discrete", "continuous"]),
            "sigma_min": st.one_of(st.none(), st.floats(0.01, 0.1)),
            "sigma_max": st.one_of(st.none(), st.floats(3, 20)),
        }
    return st.fixed_dictionaries({}, optional=drawn)


RESPACED = st.sampled_from([{}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}])


@st.composite
def cases(draw, class_name):
    config = {"_class_name": class_name} | draw(SCHEDULES) | draw(options(class_name))
    if class_name == "EulerDiscreteScheduler":
        config |= draw(RESPACED)
    T = draw(st.sampled_from([50, 1000]))
    fewest = 4 if class_name == "PNDMScheduler" else 1
    steps = draw(st.integers(fewest, 24))
    return Case(
        config | {"num_train_timesteps": T},
        steps,
        draw(SHAPES),
        draw(st.integers(0, 2**16)),
        draw(st.sampled_from([0.0, 0.3, 1.0])) if class_name == "DDIMScheduler" else 0.0,
    )
