"""Every sampler against the diffusers class whose config it reads, over drawn configs."""

import dataclasses

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

from refdiff.diffusion.samplers import READ, from_config, from_config_as, names
from refdiff.diffusion.samplers.config import NAMES
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.oracle import CLASSES, Case, cases, disagreement, our_run, their_run

# diffusers reads tensors by np.array, which NumPy 2 would like done differently
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
drawn = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SD15 = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}


def runs(case):
    """Both sides' runs, if refdiff accepts the plan and diffusers' run stays finite."""
    try:
        mine, truth = our_run(case), our_run(case, np.float64)
    except ConfigError:
        assume(False)
    other = their_run(case)
    assume(all(np.isfinite(x).all() for x in other.xs))
    return mine, other, truth


@pytest.mark.parametrize("class_name", CLASSES)
def test_whole_runs_agree(class_name):
    @drawn
    @given(cases(class_name))
    def check(case):
        mine, other, truth = runs(case)
        assert disagreement(mine, other, truth, oracle.root_of_rounding(case)) < 1
        assert mine.init_noise_sigma == pytest.approx(other.init_noise_sigma, rel=3e-7)

    check()


@pytest.mark.parametrize("class_name", [c for c in CLASSES if "Euler" in c])
def test_sigmas_agree_to_the_rounding_of_a_square_root(class_name):
    @drawn
    @given(cases(class_name))
    def check(case):
        try:
            plan = oracle.ours(case)[1]
        except ConfigError:
            assume(False)
        mine = np.append(plan.column("sigma"), plan.column("sigma_next")[-1])
        other = oracle.theirs(case).sigmas.numpy()[: len(mine)]
        np.testing.assert_allclose(mine, other, rtol=5e-7)

    check()


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_times_agree_for_every_number_of_steps(class_name, spacing):
    """Also those for which diffusers' trailing spacing has one time too many."""
    config = {"_class_name": class_name, "timestep_spacing": spacing, "num_train_timesteps": 100}
    for steps in range(4, 101):
        case = Case(config, steps, (1,), 0)
        np.testing.assert_array_equal(
            oracle.ours(case)[1].timesteps, oracle.theirs(case).timesteps.numpy()
        )


@pytest.mark.parametrize("class_name", CLASSES)
def test_runs_with_one_time_too_many_agree(class_name):
    case = Case(SD15 | {"_class_name": class_name, "timestep_spacing": "trailing"}, 61, (2, 3), 4)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert mine.timesteps[-1] == -1
    assert disagreement(mine, other, truth) < 1


EULER = {"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("options", "steps", "rows"),
    [
        ({"interpolation_type": "log_linear"}, 7, 7),
        ({"interpolation_type": "log_linear", "timestep_type": "continuous"}, 7, 8),
        ({"use_karras_sigmas": True, "timestep_spacing": "trailing"}, 61, 61),
        ({"use_exponential_sigmas": True, "timestep_type": "continuous"}, 7, 7),
        ({"use_karras_sigmas": True, "interpolation_type": "log_linear"}, 7, 7),
    ],
)
@pytest.mark.parametrize("end", ["zero", "sigma_min"])
def test_eulers_rarer_combinations_agree(options, steps, rows, end):
    case = Case(EULER | options | {"final_sigmas_type": end}, steps, (2, 3), 4)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert len(mine.xs) == rows
    assert disagreement(mine, other, truth) < 1


def test_where_diffusers_gives_nan_refdiff_does_not():
    """MENDED: both roots of what rounding made negative."""
    ddim = {
        "_class_name": "DDIMScheduler",
        "prediction_type": "v_prediction",
        "num_train_timesteps": 50,
        "beta_end": 0.005,
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    }
    steep = {"_class_name": "EulerAncestralDiscreteScheduler", "beta_schedule": "squaredcos_cap_v2"}
    for case in (Case(ddim, 4, (2, 3), 0, 1.0), Case(steep, 4, (2, 3), 0)):
        assert np.isnan(their_run(case).xs[-1]).any()
        assert np.isfinite(our_run(case).xs).all()


@pytest.mark.parametrize(
    ("class_name", "prediction"),
    [
        ("DDPMScheduler", "epsilon"),
        ("DDPMScheduler", "v_prediction"),
        ("DDIMScheduler", "epsilon"),
        ("DDIMScheduler", "sample"),
        ("DDIMScheduler", "v_prediction"),
        ("PNDMScheduler", "epsilon"),
    ],
)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_float64_runs_agree_on_paper(class_name, prediction, eta):
    """Given the same double tables, diffusers in float64 computes what the paper dialect does."""
    offset = {"steps_offset": 0, "prediction_type": prediction}
    case = Case(SD15 | {"_class_name": class_name} | offset, 10, (2, 3, 5, 7), 11, eta)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    scheduler = oracle.theirs(case)
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    other = their_run(case, np.float64, scheduler)
    mine = our_run(case, np.float64, "paper", noise=np.float64)
    assert len(mine.xs) == len(other.xs) >= 10
    assert max(map(oracle.gap, mine.xs, other.xs)) < 1e-12


@pytest.mark.parametrize("target", names())
@pytest.mark.parametrize("origin", CLASSES)
def test_another_sampler_from_the_same_config(origin, target):
    """As OtherScheduler.from_config(scheduler.config): set keys travel, defaults do not."""
    config = SD15 | {"_class_name": origin, "timestep_spacing": "trailing"}
    first = getattr(diffusers, origin).from_config(config)
    second = getattr(diffusers, NAMES[target]).from_config(first.config)
    second.set_timesteps(12)
    case = Case(config, 12, (2, 3, 4, 5), 3)
    other = their_run(case, scheduler=second)
    for given_config in (config, dict(first.config)):
        sampler = from_config_as(given_config, target)
        mine, truth = (our_run(case, dtype, sampler=sampler) for dtype in (np.float32, np.float64))
        assert disagreement(mine, other, truth) < 1


def test_defaults_are_those_of_each_class():
    for class_name in CLASSES:
        case = Case({"_class_name": class_name}, 9, (1, 2, 3, 4), 5)
        scheduler = getattr(diffusers, class_name)()
        assert {k for k in scheduler.config if not k.startswith("_")} <= {
            *READ[class_name],
            "use_beta_sigmas",
        }
        mine, truth = our_run(case), our_run(case, np.float64)
        assert disagreement(mine, their_run(case), truth) < 1


@pytest.mark.parametrize("class_name", [c for c in CLASSES if c != "PNDMScheduler"])
def test_a_run_from_the_middle_agrees(class_name):
    """Image to image: noise a picture to row 6, walk on from there."""
    case = Case(SD15 | {"_class_name": class_name}, 10, (2, 3, 4, 5), 9)
    scheduler, (sampler, plan) = oracle.theirs(case), oracle.ours(case)
    rng = np.random.default_rng(1)
    x0, eps = (rng.standard_normal(case.shape).astype(np.float32) for _ in range(2))
    if "Euler" in class_name:
        scheduler.set_begin_index(6)
    times = scheduler.timesteps[6:]
    theirs = scheduler.add_noise(torch.from_numpy(x0), torch.from_numpy(eps), times[:1])
    mine = sampler.add_noise(plan, 6, x0, eps)
    assert oracle.gap(mine, theirs.numpy()) < 2e-6
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    extra = {"generator": generators[0]} if class_name in oracle.STOCHASTIC else {}
    memory = None
    for i, t in enumerate(times, start=6):
        scheduler.scale_model_input(theirs, t)
        out = rng.standard_normal(case.shape).astype(np.float32)
        theirs = scheduler.step(torch.from_numpy(out), t, theirs, **extra).prev_sample
        z = torch.randn(case.shape, generator=generators[1]).numpy()
        mine, memory = sampler.step(plan, i, mine, out, memory, z)
        assert oracle.gap(mine, theirs.numpy()) < 2e-6


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_comparison_can_say_no(class_name):
    case = Case(SD15 | {"_class_name": class_name}, 10, (2, 3, 4, 5), 9)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert disagreement(mine, other, truth) < 1

    def changed(**change):
        def edit(plan):
            rows = list(plan.rows)
            row = rows[4]
            rows[4] = row._replace(**{k: f(getattr(row, k)) for k, f in change.items()})
            return dataclasses.replace(plan, rows=tuple(rows))

        edited, edited_truth = (our_run(case, d, edit=edit) for d in (np.float32, np.float64))
        return disagreement(edited, other, edited_truth)

    level = {"P": "alpha_bar_start", "D": "alpha_bar", "E": "sigma"}[class_name[0]]
    assert changed(t=lambda t: t + 1) > 1
    assert changed(**{level: lambda value: value * 1.0001}) > 1


def test_the_sd15_config_is_its_own_sampler():
    plan = from_config(SD15).plan(4)
    assert plan.timesteps.tolist() == [751, 501, 501, 251, 1]
    assert plan.column("role").tolist()[:3] == ["adams-bashforth", "improve", "adams-bashforth"]
