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
        "cosine_dpm: one step with exponential sigmas",
        "starts at sigma_min",
        "starts at sigma_max",
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
        "consistency, cosine_dpm: steps at sigma_min",
        "the root of what rounding makes negative, or heun's 0 / 0 over no length: NaN",
        "such a row adds no noise and no difference",
    ),
    Mended(
        "consistency, score_sde_ve, cosine_dpm: sigma_min not below sigma_max",
        "runs, to NaN or upwards",
        "ConfigError",
    ),
    Mended(
        "score_sde_ve, score_sde_vp, cosine_dpm: more steps than num_train_timesteps",
        "runs",
        "ConfigError, as for every other sampler",
    ),
    Mended(
        "score_sde_ve, score_sde_vp: the last step's noise",
        "step_pred gives out x with noise and without; ScoreSdeVePipeline takes the latter",
        "the last row adds none",
    ),
)
