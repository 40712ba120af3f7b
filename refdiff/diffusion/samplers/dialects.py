"""Where the dialects differ. tests/bench/dialects.py measures by how much."""

from typing import NamedTuple


class Difference(NamedTuple):
    """One place where dialects differ; issue is diffusers' number where there is one."""

    where: str
    diffusers: str
    paper: str
    issue: str = ""


DIALECTS = (
    Difference(
        "all: tables and the plan's coefficients",
        "float32",
        "float64",
        "#3005",
    ),
    Difference(
        "ddim, ddim_inverse, pndm: the time at the other end of a step",
        "t - T // steps, which is off with linspace, and with trailing where steps does not "
        "divide T; but the next time of the list in spacings that diffusers does not have",
        "the next time of the list",
        "#11347, #12633",
    ),
    Difference(
        "all: trailing spacing",
        "for some counts, 61 of T = 1000 the first, rounding lets in one more time, t = -1, "
        "read from the noisiest end of the table",
        "always as many times as steps",
    ),
    Difference(
        "ddpm: noise in the last row",
        "added unless its t is 0: hardly any with the small variance, much with the large",
        "none",
    ),
    Difference(
        "ddpm: the posterior's variance",
        "at least 1e-20",
        "as it is",
    ),
    Difference(
        "ddpm: learned",
        "the root of what the model says is the standard deviation",
        "what the model says is the logarithm of the variance",
        "#14569",
    ),
    Difference(
        "ddpm, unclip: fixed_small_log",
        "half the variance's logarithm, rounded to float32, is taken to the power of e",
        "the root of the variance",
    ),
    Difference(
        "pndm: v_prediction",
        "past v are blended, and the blend is converted to eps at the step's start",
        "each v is converted to eps at its own time, then blended",
    ),
    Difference(
        "pndm: the first Runge-Kutta stage, where t - s is odd",
        "leads to t - (t - s) // 2, one beside the time of the stages after it",
        "leads to the time of the stages after it",
    ),
    Difference(
        "tcd: where the last jump ends",
        "at the schedule's first level, whatever set_alpha_to_one says",
        "at the level that set_alpha_to_one says, the clean data by default",
    ),
    Difference(
        "unclip: alpha and beta of a step",
        "beta is the schedule's where the step is one of training's, and alpha is 1 - beta, which "
        "rounds away a small alpha",
        "alpha is alpha_bar_t / alpha_bar_s, and beta is 1 - alpha",
    ),
    Difference(
        "ipndm: the first step, out of pure noise",
        "takes x0 for 0, (x - x) / 1e-8, whatever the model says",
        "x0 = -v, what the model says",
    ),
    Difference(
        "flow_euler, flow_heun, flow_lcm: shift",
        "applied twice: to the ends of the path, 1 and 1/T, and to all that lies between",
        "applied once",
        "#13243",
    ),
    Difference(
        "flow_euler, flow_lcm: invert_sigmas",
        "sigma becomes the data's share, and is still taken for the noise's by noising a picture "
        "and by renewed noise",
        "sigma stays the noise's share; t counts from the noise, and what the model says is -v",
    ),
    Difference(
        "flow_heun: churn",
        "noise as for x0 + sigma eps, and the slope shrunk by sigma / sigma_hat",
        "ConfigError: no published formula",
    ),
    Difference(
        "flow_heun: slopes",
        "(x - x0) / sigma, whose difference rounds",
        "what the model says",
    ),
    Difference(
        "repaint: where a climb leads",
        "by betas that are T // steps - 1 training steps late, to more noise than the next call "
        "is told of",
        "from the level of x to that of the next call",
    ),
    Difference(
        "euler, euler_a, lms, heun, kdpm2, kdpm2_a: linspace times",
        "rounded to float32",
        "float64",
    ),
    Difference(
        "kdpm2, kdpm2_a: times of karras' sigmas where a step begins",
        "rounded to whole ones",
        "as they are",
    ),
    Difference(
        "euler: churn",
        "the model is asked at (x, sigma), before the noise is added",
        "it is asked at (x_hat, sigma_hat), after: x holds row i + 1's noise when row i is done",
    ),
    Difference(
        "euler: churn with v_prediction",
        "x0 of x_hat as if its sigma were still the one before churn",
        "x0 of x_hat with sigma_hat",
    ),
    Difference(
        "dpm++, dpm++_inverse, edm_dpm++: the third order",
        "the second derivative counts half, which leaves a method of second order",
        "it counts whole: third order",
    ),
    Difference(
        "dpm++, dpm++_single: the third order of sde-dpmsolver++ (single: by heun)",
        "1/2 is added in the second derivative's coefficient",
        "1/2 is subtracted, as the integral has it",
    ),
    Difference(
        "dpm++, dpm++_single, dpm++_inverse: times of sigmas that are spaced by themselves",
        "whole: rounded with karras and lu (dpm++: not with a cosine schedule), else truncated",
        "fractional, as sigma has them",
    ),
    Difference(
        "dpm++: lu sigmas",
        "between ends whose logarithms are rounded to float32",
        "between the schedule's own ends",
    ),
    Difference(
        "dpm++, dpm++_inverse: trailing spacing below lambda_min_clipped",
        "T / steps apart, and so fewer times than steps",
        "as many times as steps",
    ),
    Difference(
        "deis, unipc, sa: times of sigmas that are spaced by themselves",
        "whole: rounded with karras, else truncated",
        "fractional, as sigma has them",
    ),
    Difference(
        "lms: a run that starts in the middle",
        "the first rows' weights are those of the full order, and count on slopes that are missing",
        "the polynomial goes through the slopes that there are",
    ),
    Difference(
        "euler_cfg_pp, res_multistep, dpm_fast, sample_adaptive: coefficients",
        "float64, of the float32 table",
        "float64, of the float64 table",
    ),
    Difference(
        "score_sde_ve: the level in a row",
        "trunc(u (steps - 1)) for times u down to sampling_eps, which misses the last levels where "
        "sampling_eps steps is near 1 or above",
        "each level once",
    ),
    Difference(
        "cosine_dpm, edm_dpm++: one step with exponential sigmas",
        "starts at sigma_min",
        "starts at sigma_max",
    ),
    Difference(
        "dpm++_inverse: whole times that come twice",
        "dropped, but not their sigmas: the way up ends short of the noise",
        "karras times stay fractional, no row is dropped",
    ),
    Difference(
        "dpm++_inverse: flow sigmas",
        "fall, as if to sample",
        "rise",
    ),
    Difference(
        "sa: two values of x0",
        "weighted as if e^(c (lambda - lambda_t)) were 1 in the second one's integral",
        "weighted by the integrals",
    ),
    Difference(
        "sa: noising a picture, to start in the middle",
        "to the schedule's level at the row's whole time, wherever the row's sigma lies",
        "to the row's sigma",
    ),
    Difference(
        "sa: trailing spacing below lambda_min_clipped",
        "T / steps apart, and so fewer times than steps",
        "as many times as steps",
    ),
)
