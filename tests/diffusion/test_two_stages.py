"""Methods of two calls a step: where they may start, and what their middles are."""

import numpy as np
import pytest

from refdiff.diffusion.samplers import from_config, from_config_as
from refdiff.errors import ConfigError
from tests.diffusion import oracle
from tests.diffusion.draws import Case


@pytest.mark.parametrize("name", ["heun", "kdpm2", "kdpm2_a", "dpm++_sde"])
def test_a_run_that_starts_at_a_second_stage_is_refused(name):
    sampler = from_config_as({"beta_schedule": "scaled_linear"}, name)
    plan, x = sampler.plan(5), np.ones((2, 3), np.float32)
    assert plan.column("stage").tolist() == [1, 2, 1, 2, 1, 2, 1, 2, 1]
    with pytest.raises(ConfigError, match="stage"):
        sampler.step(plan, 3, x, x, None, x)
    assert len(sampler.plan(1)) == 1


def test_kdpm2_ancestrals_middle_is_the_next_sigma():
    """sqrt(sigma sigma_down) = sigma_next, since sigma_down = sigma_next^2 / sigma."""
    plan = from_config_as({}, "kdpm2_a", "paper").plan(9)
    sigma = plan.column("sigma")
    np.testing.assert_allclose(sigma[1::2], sigma[2::2], rtol=1e-6)
    np.testing.assert_allclose(plan.timesteps[1::2], plan.timesteps[2::2], rtol=1e-5, atol=1e-5)


def test_kdpm2_ancestral_falls_as_far_as_it_likes():
    """MENDED: where sigma falls a thousandfold in a step, diffusers' times and xs are NaN."""
    config = {
        "_class_name": "KDPM2AncestralDiscreteScheduler",
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "v_prediction",
    }
    case = Case(config, 3, (2, 3), 0)
    with np.errstate(all="ignore"):
        assert not np.isfinite(oracle.their_run(case).xs[-1]).all()
    assert np.isfinite(oracle.our_run(case).xs).all()


def test_only_diffusers_rounds_the_times_of_karras_sigmas():
    config = {"_class_name": "KDPM2DiscreteScheduler", "use_karras_sigmas": True}
    begins = [from_config(config, d).plan(9).timesteps[::2] for d in ("diffusers", "paper")]
    np.testing.assert_array_equal(begins[0], np.round(begins[1]))
    assert np.any(begins[1] != np.round(begins[1]))
