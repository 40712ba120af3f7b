"""Where neither dialect follows diffusers, since it breaks there."""

from typing import NamedTuple


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
        "euler_a, kdpm2_a: a step to a far smaller sigma",
        "sigma_down^2 may round to 0 or below: NaN",
        "sigma_down is then sigma_next^2 / sigma, as it is without rounding",
    ),
    Mended(
        "heun, kdpm2, kdpm2_a, dpm++_sde: a run that starts at a second stage",
        "takes it for a first stage, and gets out of step",
        "ConfigError",
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
        "lcm, tcd: timesteps with a strength below 1",
        "adds noise after the last jump too, as if it were not the last",
        "ConfigError",
    ),
    Mended(
        "dpm++: timesteps with use_flow_sigmas",
        "TypeError: reads a number of steps where there is none",
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
        "edm_dpm++: third order of sde-dpmsolver++",
        "AssertionError at the third step, for want of noise",
        "ConfigError; on paper a step like the others",
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
        "consistency, score_sde_ve, cosine_dpm, edm_euler, edm_dpm++: sigma_min not below "
        "sigma_max",
        "runs, to NaN or upwards",
        "ConfigError",
    ),
    Mended(
        "score_sde_ve, score_sde_vp, cosine_dpm, edm_euler, edm_dpm++: more steps than "
        "num_train_timesteps",
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
