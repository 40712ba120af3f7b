"""LCM and TCD: what their jumps do to the marginals, and which times they have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.process import q_sample
from refdiff.diffusion.samplers import DIALECTS, from_config
from refdiff.diffusion.samplers.lcm import Lcm
from refdiff.diffusion.samplers.tcd import Tcd
from refdiff.diffusion.schedule import NoiseSchedule
from refdiff.errors import ConfigError

SCHEDULE = NoiseSchedule.scaled_linear(1000, dialect="paper")
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@drawn
@given(st.integers(1, 50), st.floats(0, 1), st.floats(0.2, 1))
def test_jumps_keep_the_marginals(steps, gamma, strength):
    """If the model knows x0, x_s is sqrt(a_s) x0 plus noise of variance 1 - a_s, whatever gamma."""
    steps = min(steps, int(50 * strength))
    for sampler in (
        Tcd(SCHEDULE, gamma=gamma, strength=strength),
        Lcm(SCHEDULE, strength=strength),
    ):
        plan = sampler.plan(steps)
        one, none = np.ones(1), np.zeros(1)
        for i, row in enumerate(plan.rows):
            a_s = 1.0 if row.s < 0 else SCHEDULE.alphas_cumprod[row.s]
            a_t, skip = row.alpha_bar, getattr(row, "c_skip", 0) * row.alpha_bar**0.5

            def step(x0, eps, z, i=i, a_t=a_t, sampler=sampler, plan=plan):
                return sampler.step(plan, i, q_sample(x0, eps, a_t), eps, None, z)[0]

            mean, by_eps, by_z = step(one, none, none), step(none, one, none), step(none, none, one)
            bound = 2 * skip + 1e-4  # c_skip lets a trace of x through, which is the boundary's
            np.testing.assert_allclose(mean, a_s**0.5, atol=bound)
            np.testing.assert_allclose(by_eps**2 + by_z**2, 1 - a_s, atol=bound)


def test_gamma_0_is_ddim_and_gamma_1_forgets_the_path():
    straight = Tcd(SCHEDULE, gamma=0.0).plan(8)
    assert straight.column("u").tolist() == straight.column("s").tolist()
    assert not straight.column("noise_std").any() and (straight.column("of_xu") == 1).all()
    assert (Tcd(SCHEDULE, gamma=1.0).plan(8).column("u")[:-1] == 0).all()


def test_the_consistency_function_is_the_identity_on_the_data():
    sampler = Lcm(SCHEDULE, original=1000)
    plan = sampler.plan(1000)
    x, out = (np.random.default_rng(k).standard_normal((2, 3, 4, 5)) for k in range(2))
    assert plan.rows[-1].t == 0
    np.testing.assert_array_equal(sampler.step(plan, 999, x, out)[0], x)


@drawn
@given(st.integers(1, 60), st.integers(1, 1000), st.floats(0.01, 1))
def test_times_are_some_of_the_solvers(steps, original, strength):
    sampler = Lcm(SCHEDULE, original=original, strength=strength)
    kept = int(original * strength)
    if steps > kept:
        with pytest.raises(ConfigError, match="fewer steps"):
            sampler.plan(steps)
        return
    t, k = sampler.plan(steps).timesteps, 1000 // original
    assert len(t) == steps and t[0] == kept * k - 1
    assert ((t + 1) % k == 0).all() and (np.diff(t) < 0).all()


def test_more_solver_steps_than_times_are_refused():
    config = {"_class_name": "LCMScheduler", "num_train_timesteps": 40}
    with pytest.raises(ConfigError, match="original_inference_steps is 50"):
        from_config(config).plan(4)


def test_the_last_jump_of_tcd_ends_where_each_dialect_says():
    assert any("tcd" in d.where for d in DIALECTS)
    config = {"_class_name": "TCDScheduler"}
    theirs, paper = (from_config(config, d).plan(4).rows[-1] for d in ("diffusers", "paper"))
    assert theirs.s == 0 and theirs.of_eps > 0.02
    assert paper.s == -1 and (paper.of_x0, paper.of_eps) == (1, 0)
