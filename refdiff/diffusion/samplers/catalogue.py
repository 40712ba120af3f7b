"""The catalogue of samplers: one line each. What each is stands in its own file, as ENTRY.

Three tables for each class state the scope: READ (key to its default and what it may hold),
NEUTRAL (key to the one value supported), IGNORED (keys without effect on the numbers, and keys
that only other classes read).
"""

from typing import Any

from refdiff.diffusion.samplers import (
    consistency,
    cosine_dpm,
    ddim,
    ddim_inverse,
    ddpm,
    deis,
    dpm_fast,
    dpm_inverse,
    dpm_multistep,
    dpm_sde,
    dpm_singlestep,
    edm_dpm,
    edm_euler,
    euler,
    euler_ancestral,
    euler_cfg_pp,
    flow_euler,
    flow_heun,
    flow_lcm,
    heun,
    ipndm,
    kdpm2,
    lcm,
    lms,
    pndm,
    repaint,
    res_multistep,
    sa_solver,
    score_sde_ve,
    score_sde_vp,
    tcd,
    unclip,
    unipc,
)
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import Key

ENTRIES: tuple[Entry, ...] = (
    ddpm.ENTRY,
    ddim.ENTRY,
    ddim_inverse.ENTRY,
    pndm.ENTRY,
    ipndm.ENTRY,
    euler.ENTRY,
    euler_ancestral.ENTRY,
    heun.ENTRY,
    dpm_sde.ENTRY,
    edm_euler.ENTRY,
    edm_dpm.ENTRY,
    kdpm2.ENTRY,
    kdpm2.ANCESTRAL,
    lcm.ENTRY,
    tcd.ENTRY,
    euler_cfg_pp.ENTRY,
    res_multistep.ENTRY,
    dpm_fast.ENTRY,
    unclip.ENTRY,
    dpm_multistep.ENTRY,
    flow_euler.ENTRY,
    flow_heun.ENTRY,
    flow_lcm.ENTRY,
    consistency.ENTRY,
    repaint.ENTRY,
    deis.ENTRY,
    unipc.ENTRY,
    score_sde_ve.ENTRY,
    score_sde_vp.ENTRY,
    cosine_dpm.ENTRY,
    lms.ENTRY,
    dpm_singlestep.ENTRY,
    dpm_inverse.ENTRY,
    sa_solver.ENTRY,
)
BY_NAME = {entry.name: entry for entry in ENTRIES}
BY_CLASS = {entry.class_name: entry for entry in ENTRIES}

READ: dict[str, dict[str, Key]] = {e.class_name: dict(e.read) for e in ENTRIES}
NEUTRAL: dict[str, dict[str, Any]] = {e.class_name: dict(e.neutral) for e in ENTRIES}
BOOKKEEPING = {"_class_name", "_diffusers_version", "_use_default_values", "_name_or_path"}
# read only by diffusers' other schedulers, whose saved configs pass from class to class
ELSEWHERE = {
    *("algorithm_type", "disable_corrector", "euler_at_final"),
    *("flow_shift", "lambda_min_clipped", "lower_order_final", "noise_sampler_seed"),
    *("original_inference_steps", "predict_x0", "predictor_order", "corrector_order"),
    *("rho", "shift_terminal", "sigma_data", "sigma_schedule", "solver_order", "solver_p"),
    *("solver_type", "time_shift_type", "timestep_scaling", "use_dynamic_shifting"),
    *("use_flow_sigmas", "use_lu_lambdas"),
}
_ALL_KEYS = {key for table in (*READ.values(), *NEUTRAL.values()) for key in table}
IGNORED: dict[str, set[str]] = {
    name: (BOOKKEEPING | ELSEWHERE | _ALL_KEYS) - READ[name].keys() - NEUTRAL[name].keys()
    for name in READ
}
