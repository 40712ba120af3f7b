"""Every sampler against the diffusers class whose config it reads, over drawn configs."""

import dataclasses

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from refdiff.diffusion.samplers import NEUTRAL, READ, from_config, from_config_as
from refdiff.diffusion.samplers.keys import flag
from refdiff.diffusion.trial import begins_a_step
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.draws import CLASSES, Case, cases, fitting
from tests.diffusion.oracle import disagreement, our_run, their_run

pytestmark = [
    # diffusers reads tensors by np.array, which NumPy 2 would like done differently
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:The `set_alpha_to_zero` argument is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:__array_wrap__ must accept context and return_scalar:DeprecationWarning"
    ),
    # nor does it advise noise prediction any more
    pytest.mark.filterwarnings("ignore:.*algorithm_type.* deprecated:FutureWarning"),
]
drawn = settings(
    max_examples=100,
    phases=[Phase.generate],  # a failing config is short enough as it is drawn
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
# rows that a run may start at: RePaint's and the like walk up and down, and start at the top
STARTS_ANYWHERE = tuple(c for c in CLASSES if c not in ("PNDMScheduler",))
# classes that take nearly every config: sixty are compared of fewer draws
SELDOM_REFUSED = {
    *("PNDMScheduler", "IPNDMScheduler", "EulerDiscreteScheduler"),
    *("EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"),
    *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"),
    *("FlowMatchHeunDiscreteScheduler", "EDMEulerScheduler", "ScoreSdeVeScheduler"),
    *("CosineDPMSolverMultistepScheduler", "ScoreSdeVpScheduler", "RePaintScheduler"),
}
# columns that a reader of the plan wants and no step reads, with these classes' defaults
TOLD_ONLY = {
    "LMSDiscreteScheduler": {"sigma_next"},
    "DPMSolverSDEScheduler": {"noise_from", "noise_to"},
    "EDMEulerScheduler": {"sigma"},
    "PNDMScheduler": {"alpha_bar"},
    "EulerAncestralDiscreteScheduler": {"sigma_next"},
    "CMStochasticIterativeScheduler": {"sigma"},
    "ScoreSdeVeScheduler": {"sigma"},
    "ScoreSdeVpScheduler": {"alpha_bar"},
    "CosineDPMSolverMultistepScheduler": {"sigma", "noise_from", "noise_to"},
    "DPMSolverMultistepScheduler": {"sigma"},
    "DPMSolverSinglestepScheduler": {"sigma"},
    "DPMSolverMultistepInverseScheduler": {"sigma"},
    "EDMDPMSolverMultistepScheduler": {"sigma"},
    "DEISMultistepScheduler": {"sigma", "sigma_next"},
    "UniPCMultistepScheduler": {"sigma", "sigma_next"},
    "SASolverScheduler": {"sigma", "sigma_next"},
    "DDPMScheduler": {"log_small", "log_large"},
    "UnCLIPScheduler": {"log_small", "log_large"},
}
# keys without which a column hardly matters
TELLING = {
    "LCMScheduler": {"timestep_scaling": 0.01},
    "UnCLIPScheduler": {"clip_sample": True},
    # outputs of variance 1 are no likely scores where sigma is large: they outweigh the noise there
    "ScoreSdeVeScheduler": {"sigma_max": 3.0},
}
# float32 steps that times may be off, if not one: torch's atan is one off in 4 % of cases, and two
# when scaled into a lower binade
TIME_STEPS = {"CosineDPMSolverMultistepScheduler": 2, "IPNDMScheduler": 2}
# and that sigmas may be off: torch's power in float32 is two off in 1 % of cases, and its exp one
# off at times, of a linspace that is rounded itself
SIGMA_STEPS = {
    "EDMDPMSolverMultistepScheduler": 2,
    "EDMEulerScheduler": 2,
    "CosineDPMSolverMultistepScheduler": 3,  # a power of a sum of powers
    "EulerDiscreteScheduler": 2,
}
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


def both(case):
    """Both sides' runs, each a Run or the error that it stopped with."""
    try:
        other = their_run(case)
    except Exception as error:  # whatever diffusers raises, it refuses
        other = error
    try:
        mine = our_run(case)
    except ConfigError as error:
        mine = error
    return mine, other


@pytest.mark.parametrize("class_name", CLASSES)
def test_whole_runs_agree(class_name):
    """Over drawn configs: the plan to 1 ulp, every row to 2e-6, and what they refuse is refused."""
    compared = []

    @settings(drawn, max_examples=68 if class_name in SELDOM_REFUSED else 100)
    @given(cases(class_name))
    def check(case):
        mine, other = both(case)
        if isinstance(other, Exception):
            assert isinstance(mine, ConfigError), other
            return
        if isinstance(mine, ConfigError) or not all(np.isfinite(x).all() for x in other.xs):
            return  # MENDED says where diffusers breaks
        if oracle.run_gap(mine, other) > oracle.BOUND:  # is that the formula's own rounding?
            truth = our_run(case, np.float64)
            assert disagreement(mine, other, truth, oracle.magnified(case, mine)) < 1
        # sqrt(sigma^2 + 1) of a sigma that is itself a root: two roots, each a step off in torch
        assert oracle.ulps(mine.init_noise_sigma, other.init_noise_sigma) <= 2
        assert_plans_agree(case, other.by, mine.by)
        compared.append(case)

    check()
    assert len(compared) >= 60


def assert_plans_agree(case, scheduler, plan):
    """Sigmas at the rows' beginnings, and times but for respaced ones, to one float32 step."""
    if hasattr(scheduler, "sigmas") and "sigma" in plan.names:
        begun = [i for i, row in enumerate(plan.rows) if begins_a_step(row)]
        most = SIGMA_STEPS.get(case.config["_class_name"], 1)
        assert oracle.ulps(plan.column("sigma")[begun], scheduler.sigmas.numpy()[begun]) <= most
    if not any(value is True for key, value in case.config.items() if key.startswith("use_")):
        most = TIME_STEPS.get(case.config["_class_name"], 1)
        assert oracle.same_times(plan, scheduler.timesteps.numpy(), most)


# what diffusers has in float64: integrals by quadrature, times read back from a table
IN_FLOAT64 = {
    "LMSDiscreteScheduler": {"w_0", "w_1", "w_2", "w_3"},
    "DPMSolverSDEScheduler": {"t"},
    "CMStochasticIterativeScheduler": {"t"},
}


@pytest.mark.parametrize("class_name", CLASSES)
def test_plans_hold_float32_numbers(class_name):
    """A column that went through float64 by the way is rounded at other places than diffusers'."""
    plan = from_config({"_class_name": class_name}).plan(7)
    for name in set(plan.names) - IN_FLOAT64.get(class_name, set()):
        column = plan.column(name)
        if column.dtype == np.float64:
            assert np.array_equal(column, column.astype(np.float32)), name


# classes whose times follow a spacing of the training times: some take the key and never look
SPACED = [
    c
    for c in CLASSES
    if "timestep_spacing" in READ[c] and hasattr(from_config({"_class_name": c}), "spacing")
]


@pytest.mark.parametrize("class_name", SPACED)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_times_agree_for_every_number_of_steps(class_name, spacing):
    """Also those for which diffusers' trailing spacing has one time too many."""
    config = {"_class_name": class_name, "timestep_spacing": spacing, "num_train_timesteps": 100}
    if spacing not in READ[class_name]["timestep_spacing"].words:
        with pytest.raises(ConfigError, match="timestep_spacing"):
            from_config(config)
        return
    for steps in range(4, 101):
        case = Case(config, steps, (1,), 0)
        scheduler = oracle.theirs(case)
        other = scheduler.timesteps.numpy()
        try:
            plan = oracle.ours(case)[1]
        except ConfigError:  # a multistep method divides by the distance of levels
            levels = scheduler.sigmas.tolist()
            assert len(set(levels)) < len(levels)
            continue
        assert len(plan) == len(other) and oracle.same_times(plan, other)


@pytest.mark.parametrize("class_name", SPACED)
def test_runs_with_one_time_too_many_agree(class_name):
    case = Case(SD15 | {"_class_name": class_name, "timestep_spacing": "trailing"}, 61, (2, 3), 4)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert disagreement(mine, other, truth, oracle.magnified(case, mine)) < 1


# what "another sampler from the same config" is tried with, one of each family
ORIGINS = ("PNDMScheduler", "EulerDiscreteScheduler", "DDIMScheduler")


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("origin", ORIGINS)
def test_another_sampler_from_the_same_config(origin, target):
    """As OtherScheduler.from_config(scheduler.config): set keys travel, defaults do not."""
    config = SD15 | {"_class_name": origin, "timestep_spacing": "trailing"}
    first = getattr(diffusers, origin).from_config(config)
    case = Case(dict(first.config) | {"_class_name": target}, 12, (2, 3, 4, 5), 3)
    try:
        other = their_run(case)
    except (ValueError, NotImplementedError):
        with pytest.raises(ConfigError):
            from_config_as(config, target).plan(12)
        return
    for given_config in (config, dict(first.config)):
        sampler = from_config_as(given_config, target, **oracle.options(case))
        mine, truth = (our_run(case, dtype, sampler=sampler) for dtype in (np.float32, np.float64))
        assert disagreement(mine, other, truth) < 1


@pytest.mark.parametrize("class_name", CLASSES)
def test_defaults_are_those_of_each_class(class_name):
    case = Case({"_class_name": class_name}, 9, (1, 2, 3, 4), 5)
    scheduler = oracle.scheduler_class(class_name)()
    read = {*READ[class_name], *NEUTRAL[class_name]}
    assert {k for k in scheduler.config if not k.startswith("_")} <= read
    for key, spec in READ[class_name].items():
        theirs = scheduler.config.get(key, spec.default)
        assert (list(theirs) if isinstance(theirs, tuple) else theirs) == spec.default, key
    mine, truth = our_run(case), our_run(case, np.float64)
    assert disagreement(mine, their_run(case), truth) < 1


@pytest.mark.parametrize("class_name", STARTS_ANYWHERE)
def test_runs_from_the_middle_agree(class_name):
    """Image to image: noise a picture to some row, walk on from there; over drawn configs."""

    @settings(drawn, max_examples=40)
    @given(cases(class_name), st.floats(0, 0.99))
    def check(case, where):
        mine, other = both(case)
        if isinstance(mine, ConfigError) or isinstance(other, Exception):
            return
        scheduler, (sampler, plan) = oracle.theirs(case), oracle.ours(case)
        start = oracle.first_stage(plan, int(where * len(plan)))
        oracle.begin(scheduler, start)
        x0, eps = (oracle.Draws(case, np.float32).out(1000 + k) for k in range(2))
        t = scheduler.timesteps[start : start + 1].repeat(len(x0))
        if not hasattr(scheduler, "set_begin_index") and sum(scheduler.timesteps == t[0]) > 1:
            return  # it noises to the second of them
        try:
            theirs = oracle.noised(scheduler, x0, eps, t)
        except IndexError:  # an offset that leads beyond the schedule
            with pytest.raises(ConfigError):
                sampler.add_noise(plan, start, x0, eps)
            return
        mine = sampler.add_noise(plan, start, x0, eps)
        theirs = torch.from_numpy(mine) if theirs is None else theirs
        assert oracle.gap(mine, theirs.numpy()) < 2e-6
        other = their_run(case, scheduler=scheduler, start=start, x=theirs)
        if not all(np.isfinite(x).all() for x in other.xs):
            return
        noised, mine = mine, our_run(case, start=start, x=mine)
        if oracle.run_gap(mine, other) <= oracle.BOUND:
            return
        truth = our_run(
            case,
            np.float64,
            start=start,
            x=sampler.add_noise(plan, start, x0.astype(np.float64), eps.astype(np.float64)),
        )
        magnified = oracle.magnified(case, mine, start=start, x=noised)
        assert disagreement(mine, other, truth, magnified) < 1

    check()


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_comparison_can_say_no(class_name):
    """A plan whose times are one off, or any of whose columns is a thousandth off, disagrees."""
    config = fitting(SD15, class_name) | {"_class_name": class_name}
    if "v_prediction" in READ[class_name].get("prediction_type", flag(False)).words:
        config["prediction_type"] = "v_prediction"  # which needs more of the row than epsilon
    config |= TELLING.get(class_name, {})
    case = Case(config, 10, (2, 3, 4, 5), 9)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert disagreement(mine, other, truth) < 1

    def changed(name, change):
        def edit(plan):
            rows = [row._replace(**{name: change(getattr(row, name))}) for row in plan.rows]
            return dataclasses.replace(plan, rows=tuple(rows))

        edited, edited_truth = (our_run(case, d, edit=edit) for d in (np.float32, np.float64))
        return disagreement(edited, other, edited_truth)

    assert changed("t", lambda t: t + 1) > 1
    _, plan = oracle.ours(case)
    for name in set(plan.names) - {"t", *TOLD_ONLY.get(class_name, ())}:
        values = plan.column(name)
        if values.dtype == np.float64 and np.any(values != 0):
            assert changed(name, lambda v: v * 0.999) > 1, name
