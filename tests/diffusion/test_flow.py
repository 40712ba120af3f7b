"""Rectified flow: its paths, its shifts, and its samplers against flows known in closed form.

Data are Gaussian, x0 ~ N(MEAN, SPREAD^2): x at sigma is N((1 - sigma) MEAN, (1 - sigma)^2 SPREAD^2
+ sigma^2), the best v is linear in x, and the flow takes each quantile to the same quantile.
"""

import ast
from pathlib import Path

import diffusers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.diffusion.loop import sample
from refdiff.diffusion.samplers import from_config, from_config_as
from refdiff.diffusion.samplers.flow import FlowPath, shifted, stretched
from refdiff.diffusion.samplers.flow_euler import FlowEuler
from refdiff.diffusion.samplers.flow_heun import FlowHeun
from refdiff.diffusion.samplers.flow_lcm import FlowLcm
from refdiff.errors import ConfigError

drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)
MEAN, SPREAD = 0.7, 0.4
QUANTILES = np.array([-1.5, 0.3, 2.0])
FLUX = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.30.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
SD3 = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}


def marginal(quantile, sigma, spread=SPREAD):
    return (1 - sigma) * MEAN + ((1 - sigma) ** 2 * spread**2 + sigma**2) ** 0.5 * quantile


def best_v(x, sigma, spread=SPREAD):
    """E[eps - x0 | x], from the covariance of eps - x0 with x."""
    variance = (1 - sigma) ** 2 * spread**2 + sigma**2
    return (sigma - (1 - sigma) * spread**2) / variance * (x - (1 - sigma) * MEAN) - MEAN


def arrived(sampler, steps, spread=SPREAD, noise=lambda i: None, says=lambda v: v):
    """Where the quantiles arrive, with a perfect model."""
    plan = sampler.plan(steps)
    T = sampler.path.T
    level = {row.t: row.sigma for row in plan.rows}  # both stages at one time have one level

    def model(x, t):
        assert t == pytest.approx(T * (1 - level[t] if sampler.path.turned else level[t]))
        return says(best_v(x, level[t], spread))

    *_, last = sample(model, sampler, plan, marginal(QUANTILES, 1.0), noise)
    return last.x_prev


def paper(shift=1.0, T=1_000_000, **more):
    """A path whose last step, from sigma = 1/T to 0, is of no length to speak of."""
    return FlowPath(T, shift, dialect="paper", **more)


def order(family):
    steps = np.array([16, 32, 64, 128, 256])
    exact = marginal(QUANTILES, 0.0)
    errors = [np.max(np.abs(arrived(family(paper()), int(n)) - exact)) for n in steps]
    assert errors[-1] < 0.02
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize(("family", "expected"), [(FlowEuler, 1), (FlowHeun, 2)])
def test_the_error_falls_with_the_step(family, expected):
    assert order(family) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("family", [FlowEuler, FlowHeun, FlowLcm])
@pytest.mark.parametrize("steps", [1, 4])
def test_lines_to_one_picture_are_straight(family, steps):
    """A single picture is reached exactly, by whatever steps and noise."""
    noise = np.random.default_rng(0).standard_normal
    end = arrived(family(paper(2.5, 1000)), steps, spread=0.0, noise=lambda i: noise(3))
    np.testing.assert_allclose(end, MEAN, atol=1e-12)


@pytest.mark.parametrize("family", [FlowEuler, FlowLcm])
def test_a_model_that_counts_from_the_noise_goes_the_same_way(family):
    """On paper inverted times are other names for the same levels, and -v another for v."""
    path, inverted = paper(2.0, 1000), paper(2.0, 1000, inverted=True)
    noise = np.random.default_rng(0).standard_normal((9, 3))
    there = arrived(family(path), 9, noise=noise.__getitem__)
    same = arrived(family(inverted), 9, noise=noise.__getitem__, says=np.negative)
    np.testing.assert_allclose(same, there, atol=1e-12)
    a, b = family(path).plan(9), family(inverted).plan(9)
    np.testing.assert_allclose(b.timesteps, 1000 - a.timesteps, atol=1e-9)
    np.testing.assert_array_equal(a.column("sigma"), b.column("sigma"))
    x0, eps = QUANTILES, noise[0]
    for i in (0, 4):
        np.testing.assert_array_equal(
            family(path).add_noise(a, i, x0, eps), family(inverted).add_noise(b, i, x0, eps)
        )


def test_the_dialects_shift_twice_and_once():
    """DIALECTS: Stable Diffusion 3's last sigma of 1000 (#13243)."""
    last = [from_config(SD3, d).plan(28).rows[-1].sigma for d in ("diffusers", "paper")]
    assert last == pytest.approx([0.00893, 0.00299], abs=1e-5)
    assert last[1] == shifted(np.float64(1e-3), 3.0)


@drawn
@given(st.floats(0.2, 8), st.integers(1, 20))
def test_a_shift_multiplies_the_odds(shift, steps):
    sigma = np.linspace(1, 0.1, steps + 1)[1:]
    moved = shifted(sigma, shift)
    np.testing.assert_allclose(moved / (1 - moved), shift * sigma / (1 - sigma), rtol=1e-9)


@drawn
@given(st.floats(0.01, 0.5), st.integers(2, 20))
def test_a_stretch_ends_where_it_is_told_to(terminal, steps):
    sigma = np.linspace(1, 0.02, steps)
    moved = stretched(sigma, terminal)
    assert moved[0] == 1 and moved[-1] == pytest.approx(terminal)
    np.testing.assert_allclose((1 - moved) * (1 - sigma[-1]), (1 - sigma) * (1 - terminal))


def from_source(file, name):
    """A function of diffusers that needs nothing around it, without importing a pipeline."""
    tree = ast.parse((Path(diffusers.__file__).parent / file).read_text())
    (node,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    scope = {}
    exec(compile(ast.Module([node], []), file, "exec"), scope)
    return scope[name]


FLUX_CALCULATE_SHIFT = from_source("pipelines/flux/pipeline_flux.py", "calculate_shift")


@drawn
@given(st.integers(64, 8192))
def test_a_pictures_size_gives_its_shift_as_in_fluxs_pipeline(tokens):
    mu = FLUX_CALCULATE_SHIFT(tokens, 256, 4096, 0.5, 1.15)
    by_size, by_mu = (from_config(FLUX, **o) for o in ({"image_seq_len": tokens}, {"mu": mu}))
    assert by_size.path.shift == pytest.approx(by_mu.path.shift, rel=1e-12)
    np.testing.assert_allclose(by_size.plan(4).timesteps, by_mu.plan(4).timesteps, rtol=1e-6)


def test_stochastic_sampling_is_the_other_sampler():
    stochastic = from_config(SD3 | {"stochastic_sampling": True})
    assert stochastic == from_config_as(SD3, "flow_lcm")
    assert isinstance(stochastic, FlowLcm)


def test_flux_loads_without_a_picture_and_plans_with_one():
    with pytest.raises(ConfigError, match="image_seq_len"):
        from_config(FLUX).plan(4)
    assert len(from_config(FLUX, mu=1.15).plan(4)) == 4
    # heeded with use_dynamic_shifting only, as in diffusers
    assert from_config(SD3, mu=1.15) == from_config(SD3)


@pytest.mark.parametrize(
    ("more", "options", "word"),
    [
        ({}, {"mu": 1.0, "image_seq_len": 256}, "leave one out"),
        ({"time_shift_type": "linear"}, {"mu": 0.0}, "at least 0.001"),
        ({"time_shift_type": "linear"}, {"mu": -1.0}, "at least 0.001"),
        ({}, {"mu": -7.0}, "at least 0.001"),
        ({"base_image_seq_len": 4096}, {"image_seq_len": 256}, "two lengths"),
        ({"prediction_type": "epsilon"}, {"mu": 1.0}, "flow_prediction"),
        ({"shift": 0.0}, {"mu": 1.0}, "shift"),
        ({"use_karras_sigmas": True, "use_beta_sigmas": True}, {"mu": 1.0}, "at most"),
        ({}, {"s_churn": 1.0}, "no option"),
    ],
)
def test_refusals(more, options, word):
    with pytest.raises(ConfigError, match=word):
        from_config(FLUX | more, **options)


def test_heun_may_start_at_any_row_and_churns_as_diffusers_only():
    heun = from_config_as(SD3, "flow_heun", s_churn=2.0)
    plan = heun.plan(4)
    assert plan.column("stage").tolist() == [1, 2, 1, 2, 1, 2, 1]
    x, z = QUANTILES.astype(np.float32), np.ones(3, np.float32)
    unchanged, memory = heun.step(plan, 3, x, z, None, z)
    assert memory is None
    np.testing.assert_array_equal(unchanged, x)
    with pytest.raises(ConfigError, match="s_churn"):
        from_config_as(SD3, "flow_heun", "paper", s_churn=2.0)


def test_other_refusals():
    with pytest.raises(ConfigError, match="shift_terminal"):
        from_config(SD3 | {"shift_terminal": 0.1}).plan(1)
    with pytest.raises(ConfigError, match="scale_factors"):
        from_config_as(SD3 | {"scale_factors": [0.5, 1.0]}, "flow_lcm")
