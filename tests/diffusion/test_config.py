"""What from_config accepts and what it refuses, and plans of its samplers."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.samplers import (
    DIALECTS,
    ENTRIES,
    IGNORED,
    NEUTRAL,
    READ,
    from_config,
    from_config_as,
    names,
)
from refdiff.diffusion.samplers.catalogue import BY_NAME
from refdiff.diffusion.samplers.correction import Clip, DynamicThreshold, keep
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.euler import Euler
from refdiff.diffusion.schedule import MAX_STEPS
from refdiff.errors import ConfigError
from tests.diffusion.draws import fitting

CLASSES = sorted(READ)
SDXL = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}


# what the model says is left to each class
FITS_ALL = {key: value for key, value in SDXL.items() if key != "prediction_type"}
# samplers whose times follow a spacing of the training times
SPACED = [e.name for e in ENTRIES if {"timestep_spacing", "prediction_type"} <= e.read.keys()]


def test_sdxls_config_loads_and_becomes_any_other():
    assert isinstance(from_config(SDXL), Euler)
    for name in names():
        fits = SDXL if "prediction_type" not in BY_NAME[name].neutral else FITS_ALL
        sampler = from_config_as(fitting(fits, BY_NAME[name].class_name), name)
        assert getattr(sampler, "prediction", "epsilon") == "epsilon"
        if "timestep_spacing" in BY_NAME[name].read and hasattr(sampler, "spacing"):
            assert (sampler.spacing, sampler.offset) == ("leading", 1)
        assert len(sampler.plan(20)) >= 20
    assert from_config_as(SDXL, "ddim").final < 1  # set_alpha_to_one travels with the config


def test_defaulted_keys_do_not_travel():
    config = SDXL | {"_use_default_values": ["timestep_spacing", "steps_offset"]}
    assert from_config(config).spacing == "linspace"
    assert from_config_as(config, "ddim").spacing == "leading"


def test_corrections():
    ddim = {"_class_name": "DDIMScheduler"}
    assert from_config(ddim).correction == Clip(1.0)
    assert from_config(ddim | {"clip_sample": False}).correction is keep
    assert from_config(ddim | {"thresholding": True}).correction == DynamicThreshold(0.995, 1.0)


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_tables_do_not_overlap(class_name):
    read, neutral, ignored = READ[class_name], NEUTRAL[class_name], IGNORED[class_name]
    assert not read.keys() & neutral.keys()
    assert not (read.keys() | neutral.keys()) & ignored
    for key, spec in read.items():
        assert spec.accepts(spec.default), key


# what is hostile to every other key
FITTING = {"lambda_min_clipped": (-1, -0.5), "disable_corrector": ([],)}
HOSTILE = [
    float("nan"),
    float("inf"),
    -1,
    -0.5,
    10**400,
    -(10**5000),
    "linear; rm -rf /",
    "1000",
    {},
    [[0.1]],
    [float("nan")],
    ["0.1"],
    [],
    b"x",
    object(),
]


@pytest.mark.parametrize("class_name", CLASSES)
def test_hostile_values_are_refused_by_name(class_name):
    for key in READ[class_name]:
        for value in HOSTILE:
            if any(value is fit or value == fit for fit in FITTING.get(key, ())):
                continue
            with pytest.raises(ConfigError, match=key) as refusal:
                from_config({"_class_name": class_name, key: value})
            assert class_name in str(refusal.value)
            assert len(str(refusal.value)) < 400
    for key, value in NEUTRAL[class_name].items():
        with pytest.raises(ConfigError, match=key):
            from_config({"_class_name": class_name, key: not value})


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("key", ["beta_stat", "s_churn", "timestep_spacings", "solver_odrer", 7])
def test_unknown_keys_are_refused(class_name, key):
    with pytest.raises(ConfigError, match="unknown"):
        from_config({"_class_name": class_name, key: 1})


def test_other_classes_keys_are_ignored():
    plain = from_config({"_class_name": "EulerAncestralDiscreteScheduler"})
    with_keys = from_config(
        {
            "_class_name": "EulerAncestralDiscreteScheduler",
            "solver_order": 2,
            "clip_sample": True,
            "use_karras_sigmas": True,
        }
    )
    assert plain.plan(5) == with_keys.plan(5)


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        "DDIMScheduler",
        {},
        {"_class_name": None},
        {"_class_name": ["DDIMScheduler"]},
        {"_class_name": "AmusedScheduler"},
        {"_class_name": "DDIMScheduler", "_use_default_values": 3},
        {"_class_name": "DDIMScheduler", "trained_betas": [0.1, 0.2]},
        {"_class_name": "DDIMScheduler", "num_train_timesteps": 3, "trained_betas": [0.1] * 4},
        {"_class_name": "DDPMScheduler", "variance_type": "learned_log"},
        {"_class_name": "PNDMScheduler", "prediction_type": "sample"},
        {"_class_name": "EulerAncestralDiscreteScheduler", "prediction_type": "sample"},
        {
            "_class_name": "EulerDiscreteScheduler",
            "use_karras_sigmas": True,
            "use_exponential_sigmas": True,
        },
        {
            "_class_name": "DDIMScheduler",
            "num_train_timesteps": 1,
            "rescale_betas_zero_snr": True,
        },
    ],
)
def test_refused_configs(config):
    with pytest.raises(ConfigError):
        from_config(config)


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="dpm"):
        from_config_as(SDXL, "dpm")
    with pytest.raises(ConfigError, match="dialect"):
        from_config(SDXL, dialect="french")


def test_absurd_sizes_cost_nothing():
    begin = time.perf_counter()
    for size in (MAX_STEPS + 1, 10**15, 10**400):
        with pytest.raises(ConfigError):
            from_config({"_class_name": "DDIMScheduler", "num_train_timesteps": size})
        with pytest.raises(ConfigError):
            from_config({"_class_name": "DDIMScheduler"}).plan(size)
    assert time.perf_counter() - begin < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(CLASSES),
    st.dictionaries(st.sampled_from(sorted({k for t in READ.values() for k in t})), JSON),
    JSON,
)
def test_any_json_gives_a_plan_or_a_config_error(class_name, config, steps):
    # sizes that are allowed but long to tabulate would only take time
    if isinstance(T := config.get("num_train_timesteps"), int) and T > 2000:
        config["num_train_timesteps"] = 2000
    try:
        plan = from_config(config | {"_class_name": class_name}).plan(steps)
    except ConfigError:
        return
    assert len(plan) >= 1


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("steps", [0, -1, 1001, 2.0, True, "20", None])
def test_impossible_numbers_of_steps(name, steps):
    with pytest.raises(ConfigError, match="steps"):
        from_config_as(fitting(FITS_ALL, BY_NAME[name].class_name), name).plan(steps)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "ddim_inverse", "pndm"])
def test_times_beyond_the_schedule_are_refused(name):
    """diffusers fails on its own default of 1000 steps with Stable Diffusion's offset."""
    with pytest.raises(ConfigError, match="offset"):
        from_config_as(SDXL, name).plan(1000)


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_epsilon_at_zero_terminal_snr_is_refused(name):
    config = SDXL | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(ConfigError, match="v_prediction"):
        from_config_as(config, name).plan(10)
    assert len(from_config_as(config | {"prediction_type": "v_prediction"}, name).plan(10)) == 10


def test_other_refused_plans():
    prk = {"_class_name": "PNDMScheduler"}
    with pytest.raises(ConfigError, match="skip_prk_steps"):
        from_config(prk).plan(3)
    black = {"num_train_timesteps": 3, "trained_betas": [0.5, 1.0, 1.0]}
    for name in ("pndm", "euler", "euler_a"):
        with pytest.raises(ConfigError, match="alpha_bar = 0"):
            config = black | {"timestep_spacing": "trailing", "skip_prk_steps": True}
            from_config_as(config, name).plan(3)
    with pytest.raises(ConfigError, match="eta"):
        Ddim(from_config(SDXL).schedule, eta=1.5)
    with pytest.raises(ConfigError, match="spacing"):
        Ddim(from_config(SDXL).schedule, spacing="cubic").plan(5)


def test_the_dialects_differ_where_the_table_says():
    assert all(d.where and d.diffusers and d.paper for d in DIALECTS)
    config = {"_class_name": "DDIMScheduler", "timestep_spacing": "linspace"}
    theirs, paper = (from_config(config, dialect).plan(7) for dialect in ("diffusers", "paper"))
    np.testing.assert_array_equal(theirs.timesteps, paper.timesteps)
    np.testing.assert_array_equal(paper.column("s")[:-1], paper.timesteps[1:])
    assert not np.array_equal(theirs.column("s"), paper.column("s"))
    trailing = config | {"timestep_spacing": "trailing"}
    lengths = [len(from_config(trailing, d).plan(61)) for d in ("diffusers", "paper")]
    assert lengths == [62, 61]
    ddpm = {"_class_name": "DDPMScheduler", "timestep_spacing": "trailing"}
    last = [from_config(ddpm, d).plan(10).rows[-1].noise_std for d in ("diffusers", "paper")]
    assert last[0] == pytest.approx(1e-10) and last[1] == 0
