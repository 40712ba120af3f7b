"""The loop, the plan as a table, and steps as pure functions."""

import numpy as np
import pytest

from refdiff.diffusion.guidance import classifier_free
from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config_as, names
from refdiff.errors import ConfigError, ShapeError

CONFIG = {"beta_schedule": "scaled_linear", "skip_prk_steps": True, "timestep_spacing": "trailing"}


def latents(seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((2, 3, 4, 5)).astype(dtype)


def model(x, t):
    return np.tanh(x) * x.dtype.type(0.9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", names())
def test_a_walk(name, dtype):
    sampler = from_config_as(CONFIG, name)
    plan = sampler.plan(9)
    asked = []

    def noise(i):
        asked.append(i)
        return latents(i, dtype)

    x = latents(dtype=dtype) * sampler.init_noise_sigma(plan)
    steps = list(sample(model, sampler, plan, x, noise))
    assert [s.i for s in steps] == list(range(len(plan)))
    assert [s.t for s in steps] == plan.timesteps.tolist()
    assert asked == [i for i in range(len(plan)) if sampler.needs_noise(plan, i)]
    assert bool(asked) == (name in ("ddpm", "euler_a", "sa"))
    for s in steps:
        assert s.x_in.dtype == s.out.dtype == s.x_prev.dtype == dtype
        np.testing.assert_array_equal(s.out, model(s.x_in, s.t))
    assert np.isfinite(steps[-1].x_prev).all()


@pytest.mark.parametrize("name", names())
def test_steps_are_pure(name):
    """Twice the same call, twice the same answer, and nothing written to what was given."""
    sampler = from_config_as(CONFIG, name)
    plan, x, memory = sampler.plan(6), latents(), None
    x.setflags(write=False)
    for i in range(len(plan)):
        out, z = latents(10 + i), latents(20 + i)
        out.setflags(write=False)
        z.setflags(write=False)
        first, again = (sampler.step(plan, i, x, out, memory, z) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])
        x, memory = first
        x.setflags(write=False)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("start", [1, 2, 5])
def test_a_walk_may_start_in_the_middle(name, start):
    sampler = from_config_as(CONFIG, name)
    plan = sampler.plan(9)
    x = sampler.add_noise(plan, start, latents(1), latents(2))
    steps = list(sample(model, sampler, plan, x, latents, start=start))
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


@pytest.mark.parametrize("name", ["ddpm", "euler_a"])
@pytest.mark.parametrize("noise", [None, np.zeros((2, 3, 4, 6), np.float32)])
def test_missing_or_misshapen_noise_is_refused(name, noise):
    sampler = from_config_as(CONFIG, name)
    with pytest.raises(ShapeError, match="noise"):
        sampler.step(sampler.plan(5), 0, latents(), latents(1), None, noise)


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
