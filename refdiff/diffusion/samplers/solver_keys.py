"""The keys that the exponential integrators share, and the parts that are built of them."""

import math
from typing import Any

import numpy as np

from refdiff.diffusion.samplers.build import common, correction_of, refuse_times, respacing_of
from refdiff.diffusion.samplers.keys import (
    EPS_X0_V,
    RESPACED,
    THRESHOLD,
    Key,
    Values,
    choice,
    flag,
    integer,
    is_number,
    number,
    optional_choice,
    schedule_keys,
)
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError

FLOW = {"use_flow_sigmas": flag(False), "flow_shift": number(1.0, 0, 1e6)}
DYNAMIC = {"use_dynamic_shifting": flag(False), "time_shift_type": choice("exponential")}
MU = {"mu": number(None, -20, 20)}
PREDICTED = {
    "prediction_type": choice(*EPS_X0_V["prediction_type"].words, "flow_prediction"),
}
LAMBDA_MIN = {
    "lambda_min_clipped": Key(
        -math.inf,
        "a number from -100 to 100 or -Infinity",
        lambda v: is_number(v) and (v == -math.inf or -100 <= v <= 100),
    )
}
LEARNED = {"variance_type": optional_choice("learned", "learned_range")}


def solver_keys() -> dict[str, Key]:
    """What every solver reads: schedule, prediction, thresholding, its own spacings of sigma."""
    return {**schedule_keys(), **PREDICTED, **THRESHOLD, **RESPACED, **FLOW}


def dpm_keys(*algorithms: str) -> dict[str, Key]:
    """What every DPM-Solver over a schedule's times reads beside dpmsolver++ and these."""
    return {**solver_keys(), **LAMBDA_MIN, **LEARNED, **multistep_keys(*algorithms)}


def multistep_keys(*algorithms: str) -> dict[str, Key]:
    """What every DPM-Solver reads; the words of other solvers stand for the first word."""
    return {
        "solver_order": integer(2, 1, 3),
        "algorithm_type": choice("dpmsolver++", *algorithms, "deis"),
        "solver_type": choice("midpoint", "heun", "logrho", "bh1", "bh2"),
        "lower_order_final": flag(True),
    }


def solver_parts(c: Values, dialect: Dialect) -> dict[str, Any]:
    """The parts that a `Solver` is built of, from the keys of `solver_keys`."""
    respacing, flow = respacing_of(c), c["use_flow_sigmas"]
    if respacing is not None and flow:
        raise ConfigError(
            "use_flow_sigmas and a second spacing of sigma are true in the scheduler config, "
            "expected one at most: set the other to false"
        )
    if flow:
        refuse_times(c, "use_flow_sigmas")
    mu = c.get("mu")
    if mu is not None and not c["use_dynamic_shifting"]:
        raise ConfigError(
            "mu was given without use_dynamic_shifting, expected no mu: set use_dynamic_shifting "
            "to true, or flow_shift to exp(mu)"
        )
    shift = c["flow_shift"] if mu is None else float(np.exp(mu))
    return {
        **common(c, dialect),
        "correction": correction_of(c),
        "respacing": respacing,
        "flow_shift": shift if flow else None,
        "lambda_min": c.get("lambda_min_clipped", -math.inf),
        "learned": c.get("variance_type") is not None and c["prediction_type"] == "epsilon",
    }


def refuse_flow(found: str, wanted: str, c: Values) -> None:
    """Raise ConfigError if the model says the flow's velocity to a solver that thinks of eps."""
    if c["prediction_type"] == "flow_prediction":
        raise ConfigError(
            f"{found} with flow_prediction, expected a solver that thinks of x0: set it to {wanted}"
        )


def multistep_parts(c: Values) -> dict[str, Any]:
    """The choices of a DPM-Solver. Raises ConfigError for choices that do not go together."""
    algorithm, zero = c["algorithm_type"], c.get("final_sigmas_type") == "zero"
    if not algorithm.endswith("++") and zero:
        raise ConfigError(
            f"algorithm_type is {algorithm} with final_sigmas_type zero, expected sigma_min, as "
            "eps is undefined at sigma 0: set it so, or use dpmsolver++"
        )
    if algorithm == "deis":  # another class's word, which stands for this class's default
        algorithm = "dpmsolver++"
    if not algorithm.endswith("++"):
        refuse_flow(f"algorithm_type is {algorithm}", "dpmsolver++", c)
    return {
        "order": c["solver_order"],
        "algorithm": algorithm,
        "midpoint": c["solver_type"] != "heun",
        "lower_final": c["lower_order_final"],
    }


def dpm_parts(c: Values, dialect: Dialect) -> dict[str, Any]:
    """The parts of a DPM-Solver over a schedule's times."""
    return {**solver_parts(c, dialect), **multistep_parts(c)}
