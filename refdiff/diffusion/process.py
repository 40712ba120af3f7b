"""The forward process q: noising, in one jump or step by step, and what it says backwards.

alpha_bar_t and alpha_bar_s are the cumulative products at t and at an earlier s < t (so
alpha_bar_s > alpha_bar_t); the clean data have alpha_bar = 1. Over one step of several training
steps, alpha_bar_t / alpha_bar_s plays the part of alpha_t and 1 - alpha_bar_t / alpha_bar_s that
of beta_t.
"""

from typing import NamedTuple

from refdiff.diffusion.types import Array, Scale


def q_sample(x0: Array, eps: Array, alpha_bar: Scale) -> Array:
    """x_t ~ q(x_t | x_0) in one jump (DDPM, 2006.11239, eq. 4).

    x0 [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]
    alpha_bar in [0, 1], a float or an array that broadcasts, such as [N,1,1,1].
    """
    return alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps


def q_step(x_s: Array, eps: Array, alpha_bar_s: Scale, alpha_bar_t: Scale) -> Array:
    """x_t ~ q(x_t | x_s), one step onward into the noise (DDPM, 2006.11239, eq. 2).

    x_s [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]
    """
    return q_sample(x_s, eps, alpha_bar_t / alpha_bar_s)


class Posterior(NamedTuple):
    """q(x_s | x_t, x_0) = N(of_x0 * x_0 + of_xt * x_t, variance)."""

    of_x0: Scale
    of_xt: Scale
    variance: Scale


def posterior_coefficients(alpha_bar_t: Scale, alpha_bar_s: Scale) -> Posterior:
    """The posterior's numbers (DDPM, 2006.11239, eq. 7), for 0 <= alpha_bar_t < alpha_bar_s <= 1.

    Computed in the precision of what is given, in the order in which diffusers does.
    """
    alpha = alpha_bar_t / alpha_bar_s
    return posterior_of_step(alpha, 1 - alpha, alpha_bar_t, alpha_bar_s)


def posterior_of_step(
    alpha: Scale, beta: Scale, alpha_bar_t: Scale, alpha_bar_s: Scale
) -> Posterior:
    """The same where the step's alpha and beta = 1 - alpha are known by themselves."""
    noise_t, noise_s = 1 - alpha_bar_t, 1 - alpha_bar_s
    return Posterior(
        of_x0=alpha_bar_s**0.5 * beta / noise_t,
        of_xt=alpha**0.5 * noise_s / noise_t,
        variance=noise_s / noise_t * beta,
    )


def posterior(x0: Array, x_t: Array, alpha_bar_t: Scale, alpha_bar_s: Scale) -> tuple[Array, Scale]:
    """Mean and variance of q(x_s | x_t, x_0) (DDPM, 2006.11239, eqs. 6 and 7).

    x0 [N,C,H,W], x_t [N,C,H,W] -> mean [N,C,H,W], variance as alpha_bar
    """
    q = posterior_coefficients(alpha_bar_t, alpha_bar_s)
    return q.of_x0 * x0 + q.of_xt * x_t, q.variance
