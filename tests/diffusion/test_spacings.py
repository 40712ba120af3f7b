"""Spacings of times and sigmas beyond diffusers': against published numbers and plain loops."""

import itertools
import math

import numpy as np
import pytest
from diffusers.schedulers.scheduling_utils import AysSchedules
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.samplers import ENTRIES, from_config, from_config_as, with_options
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddpm import Ddpm
from refdiff.diffusion.samplers.pndm import Pndm
from refdiff.diffusion.samplers.respacing import RESPACINGS, karras, kl_optimal, polyexponential
from refdiff.diffusion.samplers.sections import kept
from refdiff.diffusion.samplers.timesteps import SPACINGS, spaced
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError
from tests.diffusion.test_config import SDXL

drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)
PAPER = NoiseSchedule.linear(1000, dialect="paper")


def normal(seed, shape=(2, 3, 4, 5)):
    return np.random.default_rng(seed).standard_normal(shape)


@drawn
@given(st.integers(1, 60), st.sampled_from([60, 100, 1000]))
def test_times_are_those_of_plain_loops(steps, T):
    """quad as the original DDIM counts, simple and sgm_uniform as ComfyUI does."""
    schedule = NoiseSchedule.linear(T, 1e-4, 0.02)
    times = {name: spaced(schedule, steps, name, 0).tolist() for name in SPACINGS[3:]}
    roots = [math.sqrt(T * 0.8) * i / max(steps - 1, 1) for i in range(steps)]
    near = np.array(times["quad"][::-1]) - np.square(roots)
    assert np.all((near > -1 - 1e-9) & (near <= 1e-9))  # rounded down
    assert times["simple"] == [T - 1 - int(i * (T / steps)) for i in range(steps)]
    uniform = [(T - 1) * (1 - i / steps) for i in range(steps)]
    np.testing.assert_allclose(times["sgm_uniform"], uniform, atol=1e-9)
    assert all(len(t) == steps and t == sorted(t, reverse=True) for t in times.values())


def test_quad_is_dense_near_the_data():
    assert spaced(PAPER, 10, "quad", 0).tolist() == [800, 632, 483, 355, 246, 158, 88, 39, 9, 0]


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
def test_ddim_over_quad_is_the_original(eta, dialect):
    """Along the list of times, not T // steps down; alpha_bar is 1 before the first of them."""
    schedule = NoiseSchedule.linear(1000, dialect=dialect)
    sampler = Ddim(schedule, eta=eta, spacing="quad")
    plan = sampler.plan(20)
    x = theirs = normal(0)
    seq = plan.timesteps.tolist()
    for i, (t, s) in enumerate(itertools.pairwise([*seq, -1])):
        out, z = normal(10 + i), normal(50 + i)
        a, a_s = (1.0 if k < 0 else float(schedule.alphas_cumprod[k]) for k in (t, s))
        c1 = eta * math.sqrt((1 - a / a_s) * (1 - a_s) / (1 - a))
        x0 = (theirs - out * math.sqrt(1 - a)) / math.sqrt(a)
        theirs = math.sqrt(a_s) * x0 + c1 * z + math.sqrt(max(1 - a_s - c1**2, 0)) * out
        x, _ = sampler.step(plan, i, x, out, None, z)
        tolerance = 1e-12 if dialect == "paper" else 2e-5  # the plan's columns are float32
        np.testing.assert_allclose(x, theirs, rtol=tolerance, atol=tolerance)


def test_sections_of_guided_diffusion():
    assert kept("ddim25", 25, 1000).tolist() == list(range(960, -1, -40))
    assert kept("4", 4, 10).tolist() == [9, 6, 3, 0]
    three = kept("10,15,20", 45, 300)[::-1]
    for k, count in enumerate((10, 15, 20)):
        part = three[(100 * k <= three) & (three < 100 * k + 100)]
        assert len(part) == count and part[0] == 100 * k and part[-1] == 100 * k + 99
        assert np.ptp(np.diff(part)) <= 1  # even but for rounding


@drawn
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(60, 130))
def test_sections_are_those_of_a_plain_loop(counts, T):
    taken, start = [], 0
    for i, count in enumerate(counts):
        size = T // len(counts) + (1 if i < T % len(counts) else 0)
        stride, position = 1 if count == 1 else (size - 1) / (count - 1), 0.0
        for _ in range(count):
            taken.append(start + round(position))
            position += stride
        start += size
    spacing = ",".join(map(str, counts))
    assert kept(spacing, sum(counts), T).tolist() == sorted(taken, reverse=True)


@pytest.mark.parametrize(("spacing", "steps"), [("ddim50", 50), ("7,9,11", 27), ("30", 30)])
def test_kept_times_are_a_schedule_of_their_own(spacing, steps):
    """guided-diffusion samples all steps of a schedule whose betas lead from kept time to time."""
    ends = np.append(1.0, PAPER.alphas_cumprod[kept(spacing, steps, 1000)[::-1].astype(int)])
    short = NoiseSchedule.from_betas(1 - ends[1:] / ends[:-1], dialect="paper")
    for family in (Ddpm, Ddim):
        mine = family(PAPER, spacing=spacing).plan(steps)
        theirs = family(short).plan(steps)
        for name in set(mine.names) - {"t", "s"}:
            # 1 - (1 - beta): the last betas are 1e-4
            np.testing.assert_allclose(mine.column(name), theirs.column(name), rtol=1e-10)


@pytest.mark.parametrize(
    ("spacing", "steps"),
    [("ddim25", 24), ("ddim999", 999), ("ddim1", 1), ("10,20", 31), ("1000,1", 1001), ("2", 3)],
)
def test_sections_that_do_not_fit_are_refused(spacing, steps):
    with pytest.raises(ConfigError, match=r"spacing|section|steps"):
        from_config_as(SDXL, "ddim", spacing=spacing).plan(steps)


@pytest.mark.parametrize(
    "spacing", ["ddim", "ddim0", "0", "1,,2", "1,", " 5", "5\n", "ddim-5", "٣", "quadratic", 25]
)
def test_unknown_spacings_are_refused(spacing):
    with pytest.raises(ConfigError, match="spacing"):
        from_config_as(SDXL, "ddim", spacing=spacing)


AYS = {
    "align_your_steps": "StableDiffusionSigmas",
    "align_your_steps_sdxl": "StableDiffusionXLSigmas",
    "align_your_steps_svd": "StableDiffusionVideoSigmas",
}


@pytest.mark.parametrize("name", AYS)
def test_align_your_steps_are_the_published_sigmas(name):
    published = AysSchedules[AYS[name]][:-1]
    np.testing.assert_allclose(RESPACINGS[name](1, 1, 10), published, rtol=1e-12)
    twice = RESPACINGS[name](1, 1, 20)
    np.testing.assert_allclose(twice[::2], published, rtol=1e-12)
    between = np.sqrt(twice[:-2:2] * twice[2::2])  # log-linear: the geometric mean
    np.testing.assert_allclose(twice[1:-1:2], between, rtol=1e-12)


@drawn
@given(st.floats(2, 200), st.floats(0.001, 0.5), st.integers(2, 40), st.floats(0.3, 12))
def test_respacings_follow_their_formulas(first, last, count, rho):
    u = np.arange(count) / (count - 1)
    logs = np.log(polyexponential(first, last, count, rho) / last)
    np.testing.assert_allclose(logs, (1 - u) ** rho * np.log(first / last), atol=1e-9)
    np.testing.assert_allclose(
        polyexponential(first, last, count), RESPACINGS["exponential"](first, last, count)
    )
    angles = np.arctan(kl_optimal(first, last, count))
    np.testing.assert_allclose(np.diff(angles), np.diff(angles)[0], rtol=1e-8)
    roots = karras(first, last, count, rho) ** (1 / rho)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-6)


@pytest.mark.parametrize("name", RESPACINGS)
@pytest.mark.parametrize("sampler", ["euler", "euler_a"])
@pytest.mark.parametrize("dialect", ["diffusers", "paper"])
def test_every_spacing_of_sigma_gives_a_plan(name, sampler, dialect):
    plan = from_config_as(SDXL, sampler, dialect, sigmas=name).plan(12)
    sigma = plan.column("sigma")
    rounding = {"diffusers": 1e-6, "paper": 1e-12}[dialect]
    np.testing.assert_allclose(sigma, RESPACINGS[name](sigma[0], sigma[-1], 12), rtol=rounding)
    assert np.all(np.diff(plan.timesteps) <= 0)
    if name in ("karras", "exponential", "beta") and sampler == "euler":
        flag = SDXL | {f"use_{name}_sigmas": True}
        assert plan == from_config_as(flag, sampler, dialect).plan(12)


@pytest.mark.parametrize("name", SPACINGS)
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "euler", "euler_a"])
def test_an_option_takes_the_place_of_the_configs_spacing(name, sampler):
    plan = from_config_as(SDXL | {"steps_offset": 0}, sampler, spacing=name).plan(10)
    times = spaced(NoiseSchedule.scaled_linear(), 10, name, 0)
    np.testing.assert_allclose(plan.timesteps, times, atol=0.5)
    if name in ("leading", "trailing", "linspace"):
        config = SDXL | {"steps_offset": 0, "timestep_spacing": name}
        assert plan == from_config_as(config, sampler).plan(10)


def test_a_rho_is_heeded():
    seven, five = (from_config_as(SDXL, "euler", sigmas="karras", rho=r).plan(9) for r in (7, 5))
    assert seven == from_config_as(SDXL, "euler", sigmas="karras").plan(9)
    assert seven != five


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({"use_karras_sigmas": True}, {"sigmas": "beta"}),
        ({}, {"sigmas": "beta", "rho": 3.0}),
        ({}, {"sigmas": "karras", "rho": 0.0}),
        ({}, {"sigmas": "linear"}),
    ],
)
def test_options_that_do_not_go_together_are_refused(more, options):
    with pytest.raises(ConfigError, match=r"sigmas|rho"):
        from_config_as(SDXL | more, "euler", **options)


def test_pndm_without_runge_kutta_is_plms():
    """latent-diffusion's PLMS: Adams-Bashforth over eps and DDIM's step, times T // steps apart."""
    steps, schedule = 20, NoiseSchedule.scaled_linear(dialect="paper")
    sampler = Pndm(schedule, final=float(schedule.alphas_cumprod[0]), offset=1)
    plan = sampler.plan(steps)
    levels = schedule.alphas_cumprod

    def eps(x, t):
        return np.tanh(x + t / 500)

    def ddim(x, e, a, a_s):
        x0 = (x - np.sqrt(1 - a) * e) / np.sqrt(a)
        return np.sqrt(a_s) * x0 + np.sqrt(1 - a_s) * e

    times = [1 + k * (1000 // steps) for k in range(steps)][::-1]
    x, old = normal(0), []
    for i, t in enumerate(times):
        a, a_s = levels[t], levels[times[i + 1]] if i + 1 < steps else levels[0]
        e = eps(x, t)
        match old:
            case []:
                blend = (e + eps(ddim(x, e, a, a_s), times[1])) / 2
            case [e1]:
                blend = (3 * e - e1) / 2
            case [e1, e2]:
                blend = (23 * e - 16 * e1 + 5 * e2) / 12
            case [e1, e2, e3, *_]:
                blend = (55 * e - 59 * e1 + 37 * e2 - 9 * e3) / 24
        x, old = ddim(x, blend, a, a_s), [e, *old][:3]
    mine, memory = normal(0), None
    for i, row in enumerate(plan.rows):
        mine, memory = sampler.step(plan, i, mine, eps(mine, row.t), memory)
    np.testing.assert_allclose(mine, x, rtol=1e-10, atol=1e-10)


TIMED = [e for e in ENTRIES if "timesteps" in e.options]


@pytest.mark.parametrize("entry", TIMED, ids=lambda e: e.name)
def test_given_times_are_the_plan(entry):
    """And no other number of steps, no time beyond the schedule, nothing that does not fall."""
    config = {"_class_name": entry.class_name, "num_train_timesteps": 60}
    times = [50, 31, 30, 7]
    plan = from_config(config, timesteps=times).plan(4)
    if entry.name == "consistency":  # counts from sigma_max up, and tells the model log(sigma)
        whole = from_config(config).plan(60).timesteps
        assert plan.timesteps.tolist() == whole[times[::-1]].tolist()
    elif entry.name == "heun":
        assert plan.timesteps.tolist() == [50, 31, 31, 30, 30, 7, 7]
    else:
        assert plan.timesteps.tolist() == times
    for steps, wrong in ((5, times), (4, [60, *times[1:]])):
        with pytest.raises(ConfigError, match="below 60"):
            from_config(config, timesteps=wrong).plan(steps)
    for wrong in ([], [3, 3], [3, 5], [3, -1], [2.5], [True], "31", 7):
        with pytest.raises(ConfigError, match="falling integers"):
            from_config(config, timesteps=wrong)


@pytest.mark.parametrize("entry", TIMED, ids=lambda e: e.name)
def test_times_are_given_once(entry):
    """Beside what leads to times of its own they are refused."""
    rivals = [{k: True} for k in entry.read if k.startswith("use_") and "dynamic" not in k]
    rivals += [
        {k: v} for k, v in {"spacing": "quad", "strength": 0.5}.items() if k in entry.options
    ]
    if "timestep_type" in entry.read:
        rivals.append({"timestep_type": "continuous", "prediction_type": "v_prediction"})
    for rival in rivals:
        given = {**rival, "timesteps": [9, 4]}
        with pytest.raises(ConfigError, match=r"timesteps .*given"):
            with_options({"_class_name": entry.class_name}, given).plan(2)
