"""The catalogue of samplers: one line each. What each is stands in its own file, as ENTRY.

Three tables for each class state the scope: READ (key to its default and what it may hold),
NEUTRAL (key to the one value supported), IGNORED (keys without effect on the numbers, and keys
that only other classes read).
"""

from typing import Any

from refdiff.diffusion.samplers import (
    ddim,
    ddpm,
    deis,
    dpm_multistep,
    euler,
    euler_ancestral,
    pndm,
    sa_solver,
    unipc,
)
from refdiff.diffusion.samplers.entry import Entry
from refdiff.diffusion.samplers.keys import Key

ENTRIES: tuple[Entry, ...] = (
    ddpm.ENTRY,
    ddim.ENTRY,
    pndm.ENTRY,
    euler.ENTRY,
    euler_ancestral.ENTRY,
    dpm_multistep.ENTRY,
    deis.ENTRY,
    unipc.ENTRY,
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
