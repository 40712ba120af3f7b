"""The loop, the plan as a table, and steps as pure functions."""

import numpy as np
import pytest

from refdiff.diffusion.guidance import classifier_free
from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config_as, names
from refdiff.diffusion.samplers.catalogue import BY_NAME
from refdiff.errors import ConfigError, ShapeError
from tests.diffusion.draws import fitting
from tests.diffusion.oracle import first_stage

CONFIG = {"beta_schedule": "scaled_linear", "skip_prk_steps": True, "timestep_spacing": "trailing"}


def made(name):
    """The sampler, of as much of CONFIG as it takes."""
    entry = BY_NAME[name]
    inpaints = (
        {"original_image": latents(3), "mask": np.eye(4, 5)} if "mask" in entry.options else {}
    )
    return from_config_as(fitting(CONFIG, entry.class_name), name, **inpaints)


def latents(seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((2, 3, 4, 5)).astype(dtype)


def model(x, t):
    return np.tanh(x) * x.dtype.type(0.9)


def speaking(sampler):
    """A model that says as much as the sampler wants: some want two outputs."""

    def says(x, t):
        out = model(x, t)
        return np.tile(out, np.array(sampler.out_shape(x.shape)) // x.shape)

    return says


NOISY = (
    *(
        "ddpm",
        "unclip",
        "repaint",
        "euler_a",
        "kdpm2_a",
        "dpm++_sde",
        "cosine_dpm",
        "sa",
        "flow_lcm",
    ),
    *("lcm", "tcd", "consistency", "score_sde_ve", "score_sde_vp"),
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", names())
def test_a_walk(name, dtype):
    sampler = made(name)
    plan = sampler.plan(9)
    asked = []

    def noise(i):
        asked.append(i)
        return latents(i, dtype)

    x = latents(dtype=dtype) * sampler.init_noise_sigma(plan)
    steps = list(sample(speaking(sampler), sampler, plan, x, noise))
    assert [s.i for s in steps] == list(range(len(plan)))
    assert [s.t for s in steps] == plan.timesteps.tolist()
    assert asked == [i for i in range(len(plan)) if sampler.needs_noise(plan, i)]
    assert bool(asked) == (name in NOISY)
    for s in steps:
        assert s.x_in.dtype == s.out.dtype == s.x_prev.dtype == dtype
        np.testing.assert_array_equal(s.out, speaking(sampler)(s.x_in, s.t))
    assert np.isfinite(steps[-1].x_prev).all()


@pytest.mark.parametrize("name", names())
def test_steps_are_pure(name):
    """Twice the same call, twice the same answer, and nothing written to what was given."""
    sampler = made(name)
    plan, x, memory = sampler.plan(6), latents(), None
    x.setflags(write=False)
    for i in range(len(plan)):
        out, z = speaking(sampler)(latents(10 + i), 0.0), latents(20 + i)
        out.setflags(write=False)
        z.setflags(write=False)
        first, again = (sampler.step(plan, i, x, out, memory, z) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])
        x, memory = first
        x.setflags(write=False)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("start", [1, 2, 5])
def test_a_walk_may_start_in_the_middle(name, start):
    sampler = made(name)
    plan = sampler.plan(9)
    start = first_stage(plan, start)
    x = sampler.add_noise(plan, start, latents(1), latents(2))
    steps = list(sample(speaking(sampler), sampler, plan, x, latents, start=start))
    assert [s.i for s in steps] == list(range(start, len(plan)))


def test_pndm_started_at_the_improvement_has_nothing_to_improve():
    sampler = from_config_as(CONFIG, "pndm")
    plan, x, out = sampler.plan(9), latents(), latents(1)
    assert plan.rows[1].role == "improve" and plan.rows[1].t == plan.rows[2].t
    after, memory = sampler.step(plan, 1, x, out, None, None)
    np.testing.assert_array_equal(after, x)
    assert memory is None


def test_runge_kutta_stages_need_those_before():
    sampler = from_config_as(CONFIG | {"skip_prk_steps": False}, "pndm")
    plan = sampler.plan(9)
    for i in (1, 2, 3):
        with pytest.raises(ConfigError, match="stage"):
            sampler.step(plan, i, latents(), latents(1), None, None)
    sampler.step(plan, 4, latents(), latents(1), None, None)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("noise", [None, np.zeros((2, 3, 4, 6), np.float32)])
def test_missing_or_misshapen_noise_is_refused(name, noise):
    sampler = made(name)
    with pytest.raises(ShapeError, match="noise"):
        list(sample(speaking(sampler), sampler, sampler.plan(5), latents(), lambda i: noise))


def test_a_model_that_changes_the_shape_is_refused():
    sampler = from_config_as(CONFIG, "ddim")
    walk = sample(lambda x, t: x[..., 1:], sampler, sampler.plan(5), latents(), latents)
    with pytest.raises(ShapeError, match="model"):
        next(walk)


def test_guidance_in_the_loop():
    """The guided model is a model: the unconditional half first, in one call of twice the batch."""
    seen = []

    def both(x, t):
        seen.append(x.shape)
        np.testing.assert_array_equal(*np.split(x, 2))
        return model(x, t)

    sampler = from_config_as(CONFIG, "euler")
    plan = sampler.plan(4)
    guided = list(sample(classifier_free(both, 7.5), sampler, plan, latents(), latents))
    plain = list(sample(model, sampler, plan, latents(), latents))
    assert seen == [(4, 3, 4, 5)] * 4
    np.testing.assert_allclose(guided[-1].x_prev, plain[-1].x_prev, atol=1e-5)


def test_a_plan_prints_as_a_table():
    plan = from_config_as(CONFIG, "ddim").plan(3)
    lines = str(plan).splitlines()
    assert lines[0].split() == ["i", *plan.names]
    assert [line.split()[:2] for line in lines[1:]] == [["0", "999"], ["1", "666"], ["2", "332"]]
    assert len({len(line) for line in lines}) == 1
    assert plan.timesteps.dtype == np.int64
    assert from_config_as(CONFIG, "euler").plan(3).timesteps.dtype == np.float64
