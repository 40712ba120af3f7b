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
        "euler, euler_a, lms: linspace times",
        "rounded to float32",
        "float64",
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


class Mended(NamedTuple):
    """One place where diffusers breaks and refdiff, in either dialect, does not follow."""

    where: str
    diffusers: str
    refdiff: str
    issue: str = ""


MENDED = (
    Mended(
        "ddim, repaint: eta = 1 out of alpha_bar = 0",
        "takes the root of rounding, up to 3e-4 of noise where there should be none, or NaN",
        "takes the root of what is not below 0: never NaN",
    ),
    Mended(
        "euler_a: a step to a far smaller sigma",
        "sigma_down^2 may round to below 0: NaN",
        "sigma_down is then 0",
    ),
    Mended(
        "ddpm, ddim, lcm, tcd: epsilon at alpha_bar = 0",
        "divides by 0",
        "ConfigError",
    ),
    Mended(
        "unclip, ipndm, repaint: more steps than num_train_timesteps",
        "takes them, unclip some times twice, or in repaint as many as there are",
        "ConfigError",
    ),
    Mended(
        "repaint: the noise of a climb",
        "drawn anew for each training step of it, after that of the step before",
        "drawn once for the step and the climb together, which has the same distribution",
    ),
    Mended(
        "repaint: trained_betas in a list, as every scheduler_config.json has them",
        "TypeError",
        "takes them",
    ),
    Mended(
        "ipndm: trained_betas, its sigmas, that do not fall, or are not one more than the steps",
        "goes through all of them, whatever the steps",
        "ConfigError",
    ),
    Mended(
        "ddim_inverse: a predicted sample of the clean data, alpha_bar = 1",
        "divides by 0",
        "ConfigError",
    ),
    Mended(
        "ddpm, ddim, ddim_inverse, pndm: leading spacing whose offset leads beyond the schedule",
        "IndexError at the first step",
        "ConfigError",
        "#10003",
    ),
    Mended(
        "ddpm: fixed_large_log",
        "takes the root of log(beta): NaN, or 0 where beta is 1",
        "the root of beta, or 0 where diffusers has it",
        "#14569",
    ),
    Mended(
        "ddpm: learned, where the model says less than 0",
        "takes the root of it: NaN",
        "adds no noise there in the dialect that takes the root",
        "#14569",
    ),
    Mended(
        "flow_euler, flow_lcm: shift_terminal with one step",
        "divides what is left of 1 - sigma by itself, 0 or its rounding",
        "ConfigError",
    ),
    Mended(
        "flow_euler, flow_heun, flow_lcm: shifts below 0.001, as of a linear mu of 0",
        "divides by 0 or nearly so, or leads out of [0, 1]",
        "ConfigError",
    ),
    Mended(
        "flow_euler, flow_heun, flow_lcm: prediction_type of another kind of model in the config",
        "not looked at: eps, x0 or v are taken for the flow's velocity",
        "ConfigError",
    ),
    Mended(
        "flow_euler, flow_heun, flow_lcm: more steps than num_train_timesteps",
        "taken",
        "ConfigError",
    ),
    Mended(
        "flow_heun: a run that starts at a second stage",
        "takes it for a first one of no length, and goes on a call late",
        "leaves x as it is, and starts afresh at the next row",
    ),
    Mended(
        "pndm: a run that starts in the middle",
        "takes the second call for the repeated one, and is a step of noise off from there on",
        "starts afresh at any row",
    ),
    Mended(
        "dpm++, dpm++_inverse, edm_dpm++: a last step of no length (sigmas spaced by themselves, "
        "to sigma_min or up)",
        "0 / 0 with heun or third order",
        "x stays as it is",
    ),
    Mended(
        "dpm++: third order of sde-dpmsolver",
        "UnboundLocalError at the third step",
        "ConfigError",
    ),
    Mended(
        "edm_dpm++: third order of sde-dpmsolver++",
        "AssertionError at the third step, for want of noise",
        "ConfigError; on paper a step like the others",
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
        "lms: a plan in which sigma stands still, as with trailing's time too many",
        "divides by 0: NaN",
        "ConfigError",
    ),
    Mended(
        "consistency, cosine_dpm: steps at sigma_min",
        "the root of what rounding makes negative, or heun's 0 / 0 over no length: NaN",
        "such a row adds no noise and no difference",
    ),
    Mended(
        "consistency, score_sde_ve, cosine_dpm, edm_dpm++: sigma_min not below sigma_max",
        "runs, to NaN or upwards",
        "ConfigError",
    ),
    Mended(
        "score_sde_ve, score_sde_vp, cosine_dpm, edm_dpm++: more steps than num_train_timesteps",
        "runs",
        "ConfigError, as for every other sampler",
    ),
    Mended(
        "score_sde_ve, score_sde_vp: the last step's noise",
        "step_pred gives out x with noise and without; ScoreSdeVePipeline takes the latter",
        "the last row adds none",
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
