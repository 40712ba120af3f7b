"""Corners of the older samplers: where diffusers' own runs need care, and where it breaks."""

import numpy as np
import pytest
import torch

from refdiff.diffusion.samplers import from_config
from tests.diffusion import oracle
from tests.diffusion.draws import Case
from tests.diffusion.oracle import disagreement, our_run, their_run
from tests.diffusion.test_against_diffusers import SD15

EULER = {"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("options", "steps", "rows"),
    [
        ({"interpolation_type": "log_linear"}, 7, 7),
        ({"interpolation_type": "log_linear", "timestep_type": "continuous"}, 7, 8),
        ({"use_karras_sigmas": True, "timestep_spacing": "trailing"}, 61, 61),
        ({"use_exponential_sigmas": True, "timestep_type": "continuous"}, 7, 7),
        ({"use_karras_sigmas": True, "interpolation_type": "log_linear"}, 7, 7),
    ],
)
@pytest.mark.parametrize("end", ["zero", "sigma_min"])
def test_eulers_rarer_combinations_agree(options, steps, rows, end):
    case = Case(EULER | options | {"final_sigmas_type": end}, steps, (2, 3), 4)
    mine, truth, other = our_run(case), our_run(case, np.float64), their_run(case)
    assert len(mine.xs) == rows
    assert disagreement(mine, other, truth) < 1


def test_where_diffusers_gives_nan_refdiff_does_not():
    """MENDED: both roots of what rounding made negative."""
    ddim = {
        "_class_name": "DDIMScheduler",
        "prediction_type": "v_prediction",
        "num_train_timesteps": 50,
        "beta_end": 0.005,
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    }
    steep = {"_class_name": "EulerAncestralDiscreteScheduler", "beta_schedule": "squaredcos_cap_v2"}
    for case in (Case(ddim, 4, (2, 3), 0, {"eta": 1.0}), Case(steep, 4, (2, 3), 0)):
        assert np.isnan(their_run(case).xs[-1]).any()
        assert np.isfinite(our_run(case).xs).all()


@pytest.mark.parametrize(
    ("class_name", "prediction"),
    [
        ("DDPMScheduler", "epsilon"),
        ("DDPMScheduler", "v_prediction"),
        ("DDIMScheduler", "epsilon"),
        ("DDIMScheduler", "sample"),
        ("DDIMScheduler", "v_prediction"),
        ("PNDMScheduler", "epsilon"),
    ],
)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_float64_runs_agree_on_paper(class_name, prediction, eta):
    """Given the same double tables, diffusers in float64 computes what the paper dialect does."""
    offset = {"steps_offset": 0, "prediction_type": prediction}
    case = Case(SD15 | {"_class_name": class_name} | offset, 10, (2, 3, 5, 7), 11)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    if class_name == "DDIMScheduler":
        case = case._replace(options={"eta": eta})
    scheduler = oracle.theirs(case)
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    other = their_run(case, np.float64, scheduler)
    mine = our_run(case, np.float64, "paper")
    assert len(mine.xs) == len(other.xs) >= 10
    assert max(map(oracle.gap, mine.xs, other.xs)) < 1e-12


def test_the_sd15_config_is_its_own_sampler():
    plan = from_config(SD15).plan(4)
    assert plan.timesteps.tolist() == [751, 501, 501, 251, 1]
    assert plan.column("role").tolist()[:3] == ["adams-bashforth", "improve", "adams-bashforth"]


def test_a_first_time_too_many_is_read_from_the_noisiest_end():
    case = Case(SD15 | {"timestep_spacing": "trailing"}, 61, (2, 3), 4)
    assert our_run(case).timesteps[-1] == -1
