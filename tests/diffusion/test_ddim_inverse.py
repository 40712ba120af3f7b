"""DDIM's inversion is DDIM run backwards, and clipping of eps what GLIDE does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.samplers import from_config
from refdiff.diffusion.samplers.correction import Clip
from refdiff.diffusion.samplers.ddim import Ddim
from refdiff.diffusion.samplers.ddim_inverse import DdimInverse
from refdiff.errors import ConfigError
from tests.diffusion.draws import SHAPES
from tests.diffusion.gaussian import SCHEDULE, alpha_bar_at, best_eps, marginal

drawn = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def walk(sampler, steps, x, eps):
    plan = sampler.plan(steps)
    for i, row in enumerate(plan.rows):
        x, _ = sampler.step(plan, i, x, eps(x, row.t))
    return x


@drawn
@given(
    SHAPES,
    st.integers(1, 30),
    st.sampled_from(["leading", "trailing"]),
    st.floats(float(SCHEDULE.alphas_cumprod[0]), 1),
)
def test_a_round_trip_is_exact_where_the_model_only_looks_at_t(shape, steps, spacing, final):
    """There the model says the same on the way up as on the way down."""
    out = np.random.default_rng(steps).standard_normal(shape)
    x = np.random.default_rng(0).standard_normal(shape)
    parts = {"final": final, "spacing": spacing}

    def model(x, t):
        return np.cos(t) * out

    noise = walk(DdimInverse(SCHEDULE, **parts), steps, x, model)
    back = walk(Ddim(SCHEDULE, **parts), steps, noise, model)
    np.testing.assert_allclose(back, x, atol=1e-9)


def test_inversion_finds_the_noise_of_a_gaussian_to_first_order():
    quantile = np.array([-1.5, 0.3, 2.0])
    errors = []
    for steps in (64, 128, 256, 512):
        sampler = DdimInverse(SCHEDULE, spacing="trailing")
        end = walk(
            sampler, steps, marginal(quantile, 1.0), lambda x, t: best_eps(x, alpha_bar_at(t))
        )
        errors.append(np.max(np.abs(end - marginal(quantile, alpha_bar_at(len(SCHEDULE) - 1)))))
    assert -np.polyfit(np.log([64, 128, 256, 512]), np.log(errors), 1)[0] > 0.7


def test_the_older_name_of_a_key_wins():
    config = {"_class_name": "DDIMInverseScheduler", "set_alpha_to_one": True}
    assert from_config(config).final == 1
    assert from_config(config | {"set_alpha_to_zero": None}).final == 1
    assert from_config(config | {"set_alpha_to_zero": False}).final < 1


def test_what_an_inversion_cannot_begin_with_is_refused():
    config = {"_class_name": "DDIMInverseScheduler", "prediction_type": "sample"}
    with pytest.raises(ConfigError, match="set_alpha_to_one"):
        from_config(config).plan(5)
    assert len(from_config(config | {"set_alpha_to_one": False}).plan(5)) == 5
    with pytest.raises(ConfigError, match="timestep_spacing"):
        from_config(config | {"timestep_spacing": "linspace"})


@drawn
@given(SHAPES, st.integers(1, 20), st.floats(0.2, 2))
def test_eps_of_a_clipped_picture_fits_x(shape, steps, limit):
    """x is sqrt(a) x0 + sqrt(1 - a) eps again, with the x0 that was clipped; else it is not."""
    x, out = (3 * np.random.default_rng(k).standard_normal(shape) for k in range(2))
    sampler = Ddim(SCHEDULE, correction=Clip(limit), corrected_eps=True)
    plan = sampler.plan(steps)
    row = plan.rows[0]
    stayed = row._replace(of_x0=row.alpha_bar**0.5, of_eps=(1 - row.alpha_bar) ** 0.5)
    still = type(plan)((stayed,))
    np.testing.assert_allclose(sampler.step(still, 0, x, out)[0], x, atol=1e-9)
    loose = Ddim(SCHEDULE, correction=Clip(limit))
    assert np.max(np.abs(loose.step(still, 0, x, out)[0] - x)) > 1e-3
