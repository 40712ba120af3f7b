"""DDPM's six variances: the ends of the learned range, and where diffusers' are not numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config
from refdiff.errors import ConfigError, ShapeError
from tests.diffusion import oracle
from tests.diffusion.draws import SHAPES, Case
from tests.diffusion.oracle import disagreement, our_run, their_run

DDPM = {"_class_name": "DDPMScheduler", "timestep_spacing": "trailing", "clip_sample_range": 2.0}


def sampler(variance_type, dialect="paper"):
    return from_config(DDPM | {"variance_type": variance_type}, dialect)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(SHAPES, st.integers(1, 20), st.sampled_from(["paper", "diffusers"]), st.data())
def test_the_learned_range_ends_at_the_fixed_variances(shape, steps, dialect, data):
    """v = -1 is the posterior's variance, v = 1 is beta, between them the logarithm is linear."""
    plan = sampler("learned_range", dialect).plan(steps)
    i = data.draw(st.integers(0, steps - 1))
    x, out, z = (draw(k, *shape) for k in range(3))

    def step(kind, v=()):
        said = np.concatenate([out, *(np.full(shape, a) for a in v)], axis=1)
        chosen = sampler(kind, dialect)
        plan = chosen.plan(steps)
        return chosen.step(plan, i, x, said, None, z if chosen.needs_noise(plan, i) else None)[0]

    rtol = 1e-5 if dialect == "diffusers" else 1e-9  # float32 logarithms of 1e-20 and more
    large, small = step("fixed_large"), step("fixed_small")
    np.testing.assert_allclose(step("learned_range", [1.0]), large, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(step("learned_range", [-1.0]), small, rtol=rtol, atol=1e-9)
    if plan.rows[i].noise_std:
        mean = (
            step("fixed_small") - sampler("fixed_small", dialect).plan(steps).rows[i].noise_std * z
        )
        middle = (large - mean) * (small - mean) * np.sign(z)
        got = (step("learned_range", [0.0]) - mean) ** 2 * np.sign(z)
        np.testing.assert_allclose(got, middle, rtol=1e-4, atol=1e-9)


def test_learned_is_the_logarithm_on_paper():
    learned = sampler("learned")
    plan, shape = learned.plan(9), (2, 3, 4, 5)
    x, out, z = (draw(k, *shape) for k in range(3))
    said = draw(3, *shape)
    with_it = learned.step(plan, 4, x, np.concatenate([out, said], axis=1), None, z)[0]
    without = learned.step(plan, 4, x, np.concatenate([out, said], axis=1), None, 0 * z)[0]
    np.testing.assert_allclose(with_it - without, np.exp(said) ** 0.5 * z, rtol=1e-9, atol=1e-12)


def test_learned_agrees_with_diffusers_where_its_root_exists(monkeypatch):
    case = Case(DDPM | {"variance_type": "learned"}, 12, (2, 3, 4, 5), 6)
    assert np.isnan(their_run(case).xs[0]).any()
    assert np.isfinite(our_run(case).xs).all()
    plain = oracle.Draws.out
    monkeypatch.setattr(oracle.Draws, "out", lambda *args: np.abs(plain(*args)))
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert disagreement(mine, other, truth) < 1


def test_the_large_variance_by_its_logarithm_is_the_large_variance():
    """MENDED: diffusers gives NaN, but out of pure noise in one step, where both add none."""
    case = Case(DDPM | {"variance_type": "fixed_large_log"}, 12, (2, 3, 4, 5), 6)
    assert np.isnan(their_run(case).xs[0]).all()
    assert sampler("fixed_large_log").plan(12) == sampler("fixed_large").plan(12)
    black = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    case = Case(case.config | black, 1, (2, 3, 4, 5), 6)
    assert disagreement(our_run(case), their_run(case), our_run(case, np.float64)) < 1


@pytest.mark.parametrize("kind", ["learned", "learned_range"])
def test_a_model_that_says_no_variance_is_refused(kind):
    chosen = sampler(kind)
    assert chosen.out_shape((2, 3, 4, 5)) == (2, 6, 4, 5)
    with pytest.raises(ShapeError, match="expected"):
        next(sample(lambda x, t: x, chosen, chosen.plan(4), draw(0, 2, 3, 4, 5), lambda i: draw(i)))


def test_unclip_is_ddpm_of_its_own_schedule():
    """On paper; diffusers rounds alpha otherwise. One step cannot reach from end to end."""
    unclip = {"_class_name": "UnCLIPScheduler", "variance_type": "learned_range"}
    ddpm = {"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2"}
    ddpm |= {"timestep_spacing": "linspace", "variance_type": "learned_range"}
    for steps in (2, 7, 1000):
        plans = [from_config(c, "paper").plan(steps) for c in (unclip, ddpm)]
        assert plans[0] == plans[1]
        rounded = [from_config(c).plan(steps) for c in (unclip, ddpm)]
        assert rounded[0] != rounded[1]
    with pytest.raises(ConfigError, match="2 or more"):
        from_config(unclip).plan(1)
