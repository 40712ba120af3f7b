"""What a scheduler_config.json may say, drawn: every key of a class, from what the catalogue reads.

A key of few words is drawn from these. A number needs a range in RANGES: a new key without one
fails, so that no key is silently left out.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from refdiff.diffusion.samplers import ENTRIES
from refdiff.diffusion.samplers.catalogue import BY_CLASS


class Case(NamedTuple):
    """A config, the number of steps, the shape of x, a seed, and arguments of diffusers' calls."""

    config: dict
    steps: int
    shape: tuple
    seed: int
    options: dict = {}  # noqa: RUF012 - never written to


CLASSES = tuple(entry.class_name for entry in ENTRIES if entry.class_name.endswith("Scheduler"))
# where the range that is accepted is too wide to be likely
RANGES = {
    "clip_sample_range": st.floats(0.5, 3),
    "dynamic_thresholding_ratio": st.floats(0.5, 1),
    "sample_max_value": st.floats(0.5, 4),
    "steps_offset": st.integers(0, 2),
    "sigma_min": st.floats(0.01, 0.1),
    "sigma_max": st.floats(3, 20),
    "original_inference_steps": st.integers(24, 50),
    "timestep_scaling": st.floats(0.1, 20),
    "strength": st.floats(0.6, 1),
    "solver_order": st.integers(1, 3),
    "predictor_order": st.integers(1, 4),
    "corrector_order": st.integers(1, 4),
    "flow_shift": st.floats(0.5, 4),
    "lambda_min_clipped": st.one_of(st.just(-float("inf")), st.floats(-6, -1)),
    "mu": st.floats(-1, 2),
    "shift": st.floats(0.3, 6),
    "shift_terminal": st.sampled_from([0.0, 0.02, 0.1]),
    "base_shift": st.floats(0, 1),
    "max_shift": st.floats(1, 2),
    "base_image_seq_len": st.integers(16, 256),
    "max_image_seq_len": st.integers(1024, 4096),
    "jump_length": st.integers(1, 6),
    "jump_n_sample": st.integers(1, 3),
    "disable_corrector": st.lists(st.integers(0, 6), max_size=3),
    "eta": st.sampled_from([0.0, 0.3, 1.0]),
    "order": st.integers(1, 4),
    "s_churn": st.sampled_from([0.0, 0.7, 4.0, 30.0]),
    "s_tmin": st.floats(0, 0.5),
    "s_tmax": st.sampled_from([np.inf, 9.0]),
    "s_noise": st.floats(0.9, 1.1),
    "noise_sampler_seed": st.integers(0, 2**16),
    "sigma_data": st.floats(0.3, 1.5),
    "rho": st.floats(3, 9),
    "snr": st.floats(0.05, 0.4),
    "sampling_eps": st.sampled_from([1e-5, 1e-3, 0.05]),
    "correct_steps": st.integers(0, 2),
    "beta_min": st.floats(0.05, 0.5),
    "beta_max": st.floats(5, 25),
}
DRAWN_ELSEWHERE = {
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    # at most one of these may be true: RESPACED below
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    *("use_lu_lambdas", "use_flow_sigmas"),
}
# made by oracle.options, for they have x's shape
PICTURES = {"original_image", "mask"}
# drawn with the number of steps
TIMES = {"timesteps"}
# what may be true at once after all
TOGETHER = {
    "UniPCMultistepScheduler": [{"use_karras_sigmas": True, "use_flow_sigmas": True}],
}
# keys that diffusers refuses without another
ONLY_WITH = {"shift_terminal": "use_flow_sigmas"}
# only refdiff has these options: tests of their own
BEYOND_DIFFUSERS = {"spacing", "sigmas", "rho", "image_seq_len", "tau", "denoised"}
FEWEST_STEPS = {"PNDMScheduler": 4}


def value(key, spec):
    """What the key may hold."""
    if key in RANGES:
        drawn = RANGES[key].filter(spec.accepts)
        return st.one_of(st.none(), drawn) if spec.default is None else drawn
    return st.sampled_from(spec.words)


def schedules(kinds):
    """A noise schedule of one of these kinds, with or without ends of its own."""
    ends = {
        "scaled_linear": {"beta_start": st.just(0.00085), "beta_end": st.just(0.012)},
        "linear": {"beta_start": st.floats(1e-5, 2e-3), "beta_end": st.floats(5e-3, 5e-2)},
    }
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.fixed_dictionaries(
            {"beta_schedule": st.just(kind)}, optional=ends.get(kind, {})
        )
    )


def fitting(config, class_name):
    """The config without what the class refuses: unCLIP has one noise schedule, say."""
    read = BY_CLASS[class_name].read
    return {k: v for k, v in config.items() if k not in read or read[k].accepts(v)}


SHAPES = st.tuples(
    st.integers(1, 2), st.integers(1, 4), st.integers(3, 9), st.integers(3, 9)
).filter(lambda s: s[2] != s[3])


@st.composite
def cases(draw, class_name):
    """A case of the class: every key drawn or left to its default."""
    entry = BY_CLASS[class_name]
    config = {"_class_name": class_name}
    read = entry.read
    if "beta_schedule" in read:
        config |= draw(schedules(read["beta_schedule"].words))
    if "num_train_timesteps" in read:
        config["num_train_timesteps"] = draw(st.sampled_from([50, 1000]))
    keys = {k: value(k, spec) for k, spec in read.items() if k not in DRAWN_ELSEWHERE}
    config |= draw(st.fixed_dictionaries({}, optional=keys))
    if flags := [k for k in read if k in DRAWN_ELSEWHERE and k.startswith("use_")]:
        alone = [{flag: True} for flag in flags]
        config |= draw(st.sampled_from([{}, {}, *alone, *TOGETHER.get(class_name, ())]))
    config = {
        k: v
        for k, v in config.items()
        if ONLY_WITH.get(k) not in read or config.get(ONLY_WITH.get(k))
    }
    shape = draw(SHAPES)
    if "learned" in (config.get("variance_type") or ""):
        shape = (shape[0], 3, *shape[2:])  # diffusers' solvers take the first three channels
    beyond = BEYOND_DIFFUSERS | PICTURES | TIMES
    options = {k: value(k, s) for k, s in entry.options.items() if k not in beyond}
    steps = draw(st.integers(FEWEST_STEPS.get(class_name, 1), 24))
    chosen = draw(st.fixed_dictionaries({}, optional=options))
    respaced = any(v is True for k, v in config.items() if k.startswith("use_"))
    if (
        "timesteps" in entry.options
        and not respaced
        and draw(st.sampled_from([True, False, False]))
    ):
        T = config["num_train_timesteps"]
        times = st.lists(st.integers(0, T - 1), min_size=steps, max_size=steps, unique=True)
        chosen.pop("strength", None)  # refused with it
        chosen["timesteps"] = sorted(draw(times), reverse=True)
    return Case(config, steps, shape, draw(st.integers(0, 2**16)), chosen)
