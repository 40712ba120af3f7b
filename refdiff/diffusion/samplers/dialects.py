"""Where the dialects differ, and where neither follows diffusers."""

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
        "ddim, pndm: the time stepped to",
        "t - T // steps, which is off with linspace, and with trailing where steps does not "
        "divide T",
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
        "euler, euler_a: linspace times",
        "rounded to float32",
        "float64",
    ),
    Difference(
        "dpm++: the third order",
        "the second derivative counts half, which leaves a method of second order",
        "it counts whole: third order",
    ),
    Difference(
        "dpm++: the third order of sde-dpmsolver++",
        "1/2 is added in the second derivative's coefficient",
        "1/2 is subtracted, as the integral has it",
    ),
    Difference(
        "dpm++: times of sigmas that are spaced by themselves",
        "whole: rounded with karras and lu, unless the schedule is the cosine one, else truncated",
        "fractional, as sigma has them",
    ),
    Difference(
        "dpm++: lu sigmas",
        "between ends whose logarithms are rounded to float32",
        "between the schedule's own ends",
    ),
    Difference(
        "dpm++: trailing spacing below lambda_min_clipped",
        "T / steps apart, and so fewer times than steps",
        "as many times as steps",
    ),
    Difference(
        "deis, unipc, sa: times of sigmas that are spaced by themselves",
        "whole: rounded with karras, else truncated",
        "fractional, as sigma has them",
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


class Mended(NamedTuple):
    """One place where diffusers breaks and refdiff, in either dialect, does not follow."""

    where: str
    diffusers: str
    refdiff: str
    issue: str = ""


MENDED = (
    Mended(
        "ddim: eta = 1 out of alpha_bar = 0",
        "takes the root of rounding, up to 3e-4 of noise where there should be none, or NaN",
        "takes the root of what is not below 0: never NaN",
    ),
    Mended(
        "euler_a: a step to a far smaller sigma",
        "sigma_down^2 may round to below 0: NaN",
        "sigma_down is then 0",
    ),
    Mended(
        "ddpm, ddim: epsilon at alpha_bar = 0",
        "divides by 0",
        "ConfigError",
    ),
    Mended(
        "ddpm, ddim, pndm: leading spacing whose offset leads beyond the schedule",
        "IndexError at the first step",
        "ConfigError",
        "#10003",
    ),
    Mended(
        "ddpm: fixed_large_log, learned",
        "NaN, or a root of the model's raw output",
        "ConfigError",
        "#14569",
    ),
    Mended(
        "pndm: a run that starts in the middle",
        "takes the second call for the repeated one, and is a step of noise off from there on",
        "starts afresh at any row",
    ),
    Mended(
        "dpm++: a last step of no length (karras and the like with sigma_min)",
        "0 / 0 with heun or third order",
        "x stays as it is",
    ),
    Mended(
        "dpm++: third order of sde-dpmsolver",
        "UnboundLocalError at the third step",
        "ConfigError",
    ),
    Mended(
        "dpm++: variance_type learned, learned_range",
        "takes the first three channels of the model's output, whatever x has",
        "takes as many as x has",
    ),
    Mended(
        "dpm++: two spacings of sigma, lu or flow beside another",
        "takes one of them in silence; with flow, NaN",
        "ConfigError",
    ),
    Mended(
        "dpm++: lambda_min_clipped above every lambda of the schedule",
        "samples at times below 0, or not at all",
        "ConfigError",
    ),
    Mended(
        "deis, unipc, sa: flow sigmas beside another spacing of sigma, but for unipc's karras",
        "NaN, or a path that is neither",
        "ConfigError",
    ),
    Mended(
        "unipc: predict_x0 false with final_sigmas_type zero",
        "NaN",
        "ConfigError",
    ),
    Mended(
        "unipc: lower_order_final false with final_sigmas_type zero",
        "NaN, or a singular matrix",
        "ConfigError",
    ),
    Mended(
        "unipc: a step of no length (karras and the like with sigma_min, or a time before 0)",
        "NaN from the third order on, and where it is corrected",
        "x stays as it is",
    ),
    Mended(
        "unipc: shift_terminal with one step",
        "NaN",
        "ConfigError",
    ),
    Mended(
        "unipc: solver_order above 3",
        "any, by systems that float32 solves ever less well",
        "ConfigError",
    ),
    Mended(
        "unipc: solver_p",
        "any other scheduler predicts, in code only: no file can hold it",
        "ConfigError",
    ),
    Mended(
        "sa: noise_prediction with thresholding",
        "RuntimeError: reads all times' levels for one",
        "ConfigError",
    ),
    Mended(
        "sa: variance_type learned, learned_range with epsilon",
        "RuntimeError: draws noise for twice the channels",
        "ConfigError",
    ),
    Mended(
        "sa: starting in the middle where leading spacing's offset leads beyond the schedule",
        "IndexError",
        "ConfigError",
        "#10003",
    ),
)
