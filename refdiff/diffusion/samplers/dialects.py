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
        "dpm++, dpm++_inverse: the third order",
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
        "dpm++_inverse: whole times that come twice",
        "dropped, but not their sigmas: the way up ends short of the noise",
        "karras times stay fractional, no row is dropped",
    ),
    Difference(
        "dpm++_inverse: flow sigmas",
        "fall, as if to sample",
        "rise",
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
        "dpm++, dpm++_inverse: a last step of no length (karras and the like to sigma_min, or up)",
        "0 / 0 with heun or third order",
        "x stays as it is",
    ),
    Mended(
        "dpm++: third order of sde-dpmsolver",
        "UnboundLocalError at the third step",
        "ConfigError",
    ),
    Mended(
        "dpm++, dpm++_single, dpm++_inverse: variance_type learned, learned_range",
        "takes the first three channels of the model's output, whatever x has",
        "takes as many as x has",
    ),
    Mended(
        "dpm++, dpm++_single, dpm++_inverse: two spacings of sigma, lu or flow beside another",
        "takes one of them in silence; with flow, NaN",
        "ConfigError",
    ),
    Mended(
        "dpm++, dpm++_single, dpm++_inverse: lambda_min_clipped above every lambda",
        "samples at times below 0, or not at all",
        "ConfigError",
    ),
    Mended(
        "dpm++_single: thresholding with dpmsolver",
        "RuntimeError: reads alpha at no time",
        "ConfigError",
    ),
    Mended(
        "dpm++_inverse: sde-dpmsolver, sde-dpmsolver++",
        "NaN: the root of a negative variance",
        "ConfigError",
    ),
    Mended(
        "dpm++_inverse: a first time that comes twice",
        "begins at the second, and ends in an IndexError",
        "begins at the first",
    ),
)
