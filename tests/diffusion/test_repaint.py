"""RePaint: its walk is diffusers', its climbs lead to the level of the next call."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.process import q_sample
from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.inpainting import Known
from refdiff.diffusion.samplers.repaint import RePaint
from refdiff.diffusion.samplers.resampling import walk
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError, ShapeError
from tests.diffusion import oracle

CONFIG = {"_class_name": "RePaintScheduler"}
WALKS = {"jump": st.integers(1, 12), "repeats": st.integers(1, 5)}
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@drawn
@given(st.integers(1, 60), WALKS["jump"], WALKS["repeats"])
def test_the_walk_is_diffusers(steps, jump, repeats):
    scheduler = oracle.made(CONFIG)
    scheduler.set_timesteps(steps, jump, repeats)
    k = 1000 // steps
    assert (walk(steps, jump, repeats) * k).tolist() == scheduler.timesteps.tolist()


@drawn
@given(
    st.integers(1, 30), WALKS["jump"], WALKS["repeats"], st.floats(0, 1), st.sampled_from([0, 1])
)
def test_each_row_arrives_at_the_level_of_the_next(steps, jump, repeats, eta, mask):
    """Known or not, if the model knows x0: sqrt(a) x0, and noise of variance 1 - a."""
    schedule = NoiseSchedule.linear(300, dialect="paper")
    one, none = np.ones(1), np.zeros(1)
    known = Known(one, np.array([float(mask)]))
    sampler = RePaint(schedule, eta, jump=jump, repeats=repeats, known=known)
    no_picture = RePaint(schedule, eta, jump=jump, repeats=repeats, known=Known(none, known.mask))
    plan = sampler.plan(steps)
    levels = [*plan.column("alpha_bar")[1:], 1.0]
    for i, (row, a) in enumerate(zip(plan.rows, levels, strict=True)):

        def step(sampler, x0, eps, z, i=i, row=row):
            return sampler.step(plan, i, q_sample(x0, eps, row.alpha_bar), eps, None, z)[0]

        mean = step(sampler, one, none, none)
        by_eps, by_z = step(no_picture, none, one, none), step(no_picture, none, none, one)
        np.testing.assert_allclose(mean, a**0.5, rtol=1e-9)
        np.testing.assert_allclose(by_eps**2 + by_z**2, 1 - a, atol=1e-9)


@pytest.mark.parametrize(("T", "same"), [(20, True), (40, False), (100, False)])
def test_diffusers_climbs_too_far_where_it_skips_times(T, same):
    config = CONFIG | {"num_train_timesteps": T}
    options = {"jump_length": 5, "jump_n_sample": 2}
    theirs, paper = (from_config(config, d, **options).plan(20) for d in ("diffusers", "paper"))
    climbs = paper.column("climb_std") > 0
    assert climbs.sum() == 3
    a, b = (plan.column("climb_std")[climbs] for plan in (theirs, paper))
    assert np.allclose(a, b, rtol=1e-5) == same and ((a > b).all() or same)


def test_what_cannot_be_inpainted_is_refused():
    x = np.zeros((2, 3, 4, 5), np.float32)
    z, mask = np.ones_like(x), np.ones((2, 1, 4, 5))
    plain = from_config(CONFIG)
    with pytest.raises(ConfigError, match="original_image"):
        plain.step(plain.plan(3), 0, x, x, None, z)
    with pytest.raises(ConfigError, match="both"):
        from_config(CONFIG, mask=mask)
    with pytest.raises(ConfigError, match="array"):
        from_config(CONFIG, original_image="cat.png", mask=mask)
    for wrong in (2 * mask, -mask, np.nan * mask):
        with pytest.raises(ConfigError, match="outside"):
            from_config(CONFIG, original_image=x, mask=wrong)
    for picture, other in ((x[:1], mask), (x, mask[..., :3]), (x, np.ones((3, 2, 3, 4, 5)))):
        sampler = from_config(CONFIG, original_image=picture, mask=other)
        with pytest.raises(ShapeError, match="latents"):
            sampler.step(sampler.plan(3), 0, x, x, None, z)
    with pytest.raises(ConfigError, match="jump_n_sample"):
        from_config(CONFIG, jump_n_sample=10**6).plan(1000)


def test_what_is_known_ends_as_it_was():
    x, picture = (np.random.default_rng(k).standard_normal((1, 2, 6, 5)) for k in range(2))
    mask = (np.arange(5) < 2).astype(np.float64)
    sampler = from_config(CONFIG, original_image=picture, mask=mask)
    plan = sampler.plan(12)
    for i in range(len(plan)):
        z = np.random.default_rng(i).standard_normal(x.shape)
        x, _ = sampler.step(plan, i, x, np.tanh(x), None, z)
    np.testing.assert_array_equal(x[..., :2], picture[..., :2])
    assert np.all(x[..., 2:] != picture[..., 2:])
