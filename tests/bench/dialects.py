"""How far apart the two dialects end, place by place: docs/dialects.md.

    python -m tests.bench.dialects docs     # writes docs/dialects.md

Each place is shown by a config of its own, run over 25 steps in both dialects on a mixture of two
Gaussians, in float64 data, from the same noise. The network is perfect for the time that it is
told, as a trained one is: a time that is rounded asks it for another level.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refdiff.diffusion.samplers import DIALECTS, MENDED, AnySampler, from_config
from refdiff.diffusion.samplers.catalogue import BY_NAME
from refdiff.diffusion.samplers.flow import StraightFlow
from refdiff.diffusion.trial import MIXTURE, STARTS, best_guess, drawn, said
from tests.diffusion.theory import says

STEPS = 25
HEAD = "<!-- written by tests/bench/dialects.py -->\n\n"


class Probe(NamedTuple):
    """A run that shows the difference, and one that does not: the keys that switch it off."""

    name: str
    shows: dict[str, Any] = {}  # noqa: RUF012 - never written to
    hides: dict[str, Any] = {}  # noqa: RUF012
    options: dict[str, Any] = {}  # noqa: RUF012
    start: int = 0


TRAILING, LINSPACE = {"timestep_spacing": "trailing"}, {"timestep_spacing": "linspace"}
PLAIN = {"clip_sample": False, **TRAILING}
V = {"prediction_type": "v_prediction"}
KARRAS = {"use_karras_sigmas": True}
# 57 times are the fewest of which 25 trailing steps take one too many
FIFTY_SEVEN = {"num_train_timesteps": 57, "beta_start": 0.002, "beta_end": 0.3}
THIRD = {"solver_order": 3, "lower_order_final": False}
NOT_RUN = {
    "flow_heun: churn": "refused on paper",
    "repaint: where a climb leads": "needs a known picture: tests/diffusion/test_repaint.py",
    "cosine_dpm, edm_dpm++: one step with exponential sigmas": "of one step: test_singular.py",
    "dpm++_inverse: whole times that come twice": "walks to the noise: test_solvers.py",
    "dpm++_inverse: flow sigmas": "walks to the noise: test_solvers.py",
    "sa: noising a picture, to start in the middle": "not of a step: tests/diffusion/test_adams.py",
}
PROBES = {
    "all: tables and the plan's coefficients": Probe("ddim", PLAIN),
    "ddim, ddim_inverse, pndm: the time at the other end of a step": Probe(
        "ddim", {**PLAIN, **LINSPACE}, TRAILING
    ),
    "all: trailing spacing": Probe("ddim", {**PLAIN, **FIFTY_SEVEN}, {"num_train_timesteps": 50}),
    "ddpm: noise in the last row": Probe(
        "ddpm", {**PLAIN, "variance_type": "fixed_large"}, {"timestep_spacing": "leading"}
    ),
    "ddpm: the posterior's variance": Probe("ddpm", PLAIN, {"timestep_spacing": "leading"}),
    "ddpm: learned": Probe(
        "ddpm", {**PLAIN, "variance_type": "learned"}, {"variance_type": "fixed_small"}
    ),
    "ddpm, unclip: fixed_small_log": Probe(
        "ddpm", {**PLAIN, "variance_type": "fixed_small_log"}, {"variance_type": "fixed_small"}
    ),
    "pndm: v_prediction": Probe(
        "pndm", {**TRAILING, **V, "skip_prk_steps": True}, {"prediction_type": "epsilon"}
    ),
    "pndm: the first Runge-Kutta stage, where t - s is odd": Probe(
        "pndm", {**TRAILING, "num_train_timesteps": 975}, {"num_train_timesteps": 1000}
    ),
    "tcd: where the last jump ends": Probe("tcd", {}, {"set_alpha_to_one": False}),
    "unclip: alpha and beta of a step": Probe("unclip", {"clip_sample": False}),
    "ipndm: the first step, out of pure noise": Probe("ipndm"),
    "flow_euler, flow_heun, flow_lcm: shift": Probe("flow_euler", {"shift": 3.0}, {"shift": 1.0}),
    "flow_euler, flow_lcm: invert_sigmas": Probe(
        "flow_euler", {"invert_sigmas": True}, {"invert_sigmas": False}
    ),
    "flow_heun: slopes": Probe("flow_heun"),
    "euler, euler_a, lms, heun, kdpm2, kdpm2_a: linspace times": Probe("euler", LINSPACE, TRAILING),
    "kdpm2, kdpm2_a: times of karras' sigmas where a step begins": Probe(
        "kdpm2", KARRAS, {"use_karras_sigmas": False}
    ),
    "euler: churn": Probe("euler", TRAILING, options={"s_churn": 10.0}),
    "euler: churn with v_prediction": Probe("euler", {**TRAILING, **V}, options={"s_churn": 10.0}),
    "dpm++, dpm++_inverse, edm_dpm++: the third order": Probe(
        "dpm++", {**KARRAS, **THIRD}, {"solver_order": 2}
    ),
    "dpm++, dpm++_single: the third order of sde-dpmsolver++ (single: by heun)": Probe(
        "dpm++", {**KARRAS, **THIRD, "algorithm_type": "sde-dpmsolver++"}, {"solver_order": 2}
    ),
    "dpm++, dpm++_single, dpm++_inverse: times of sigmas that are spaced by themselves": Probe(
        "dpm++", KARRAS, {"use_karras_sigmas": False}
    ),
    "dpm++: lu sigmas": Probe("dpm++", {"use_lu_lambdas": True}, {"use_lu_lambdas": False}),
    "dpm++, dpm++_inverse: trailing spacing below lambda_min_clipped": Probe(
        "dpm++", {**TRAILING, "lambda_min_clipped": -3.0}, {"lambda_min_clipped": -100.0}
    ),
    "deis, unipc, sa: times of sigmas that are spaced by themselves": Probe(
        "unipc", KARRAS, {"use_karras_sigmas": False}
    ),
    "lms: a run that starts in the middle": Probe("lms", TRAILING, start=12),
    "euler_cfg_pp, res_multistep, dpm_fast, sample_adaptive: coefficients": Probe("res_multistep"),
    "score_sde_ve: the level in a row": Probe(
        "score_sde_ve", {"sampling_eps": 0.05, "sigma_max": 50.0}, {"sampling_eps": 1e-5}
    ),
    "sa: two values of x0": Probe("sa", TRAILING, {"predictor_order": 1, "corrector_order": 1}),
    "sa: trailing spacing below lambda_min_clipped": Probe(
        "sa", {**TRAILING, "lambda_min_clipped": -3.0}, {"lambda_min_clipped": -100.0}
    ),
}


def believed(sampler: AnySampler, plan: Any, i: int) -> tuple[float, float]:
    """The level that a network trained at the row's time knows."""
    t = float(plan.rows[i].t)
    if isinstance(sampler, StraightFlow):
        u = t / sampler.path.T
        u = 1 - u if sampler.path.inverted else u
        return 1 - u, u
    schedule = getattr(sampler, "schedule", None)
    if schedule is None:
        return sampler.level(plan, i)
    # a time below 0 counts from the schedule's end, as tables do
    t = t % len(schedule) if t < 0 else t
    logs = np.log(schedule.sigmas)
    sigma = float(np.exp(np.interp(t, np.arange(len(logs)), logs)))
    return 1 / (1 + sigma**2) ** 0.5, sigma / (1 + sigma**2) ** 0.5


def end(probe: Probe, dialect: Any, config: dict[str, Any]) -> np.ndarray:
    """Where a run ends."""
    entry = BY_NAME[probe.name]
    sampler = from_config({"_class_name": entry.class_name, **config}, dialect, **probe.options)
    plan = sampler.plan(STEPS)
    noise, sees = drawn(3, STARTS.shape, plan), best_guess(MIXTURE)
    alpha, sigma = sampler.level(plan, probe.start)
    x_in = alpha * MIXTURE.mean + (alpha**2 + sigma**2) ** 0.5 * STARTS
    x = x_in / sampler.scale_input(plan, probe.start, np.ones_like(x_in))
    memory = None
    for i in range(probe.start, len(plan)):
        x_in, level = sampler.scale_input(plan, i, x), believed(sampler, plan, i)
        out = said(says(sampler), x_in, sees(x_in, *level), *level)
        shape = sampler.out_shape(x.shape)
        if shape[1] > x.shape[1]:  # a learned variance too
            out = np.concatenate([out, np.full_like(out, 0.02)], axis=1)
        z = noise(i) if sampler.needs_noise(plan, i) else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
    return x


def effect(probe: Probe, *, hidden: bool = False) -> float:
    """The largest difference of the two ends, relative to the largest number in the paper's."""
    config = {**probe.shows, **(probe.hides if hidden else {})}
    theirs, paper = (end(probe, dialect, config) for dialect in ("diffusers", "paper"))
    return float(np.max(np.abs(theirs - paper)) / np.max(np.abs(paper)))


def figure(size: float) -> str:
    """One digit; what is below float32's rounding of the tables has none to show."""
    return f"{size:.0e}" if size >= 1e-6 else "below 1e-6"


def page() -> str:
    """The whole page."""
    lines = [
        "# Dialects",
        "",
        "The same sampler as the installed base computes it and as its paper says: "
        '`samplers.from_config(config, dialect="diffusers")` or `"paper"`, `--dialect` on the '
        "command line.",
        "",
        f"The effect is the largest difference at the end of {STEPS} steps, relative to the "
        "largest number there: a mixture of two Gaussians, a perfect network for each time, the "
        "same noise (`python -m tests.bench.dialects docs`). What is below 1e-6 is no more than "
        "float32's rounding of the tables.",
        "",
        "| where | diffusers | paper | diffusers issue | effect |",
        "|---|---|---|---|---|",
    ]
    for d in DIALECTS:
        probe = PROBES.get(d.where)
        told = figure(effect(probe)) if probe else NOT_RUN[d.where]
        lines.append(f"| {d.where} | {d.diffusers} | {d.paper} | {d.issue} | {told} |")
    lines += ["", "## Where diffusers breaks and refdiff does not follow", ""]
    names = MENDED[0]._fields
    lines += [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in MENDED]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) / "dialects.md").write_text(page())
