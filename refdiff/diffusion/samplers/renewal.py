"""How a step to sigma_next is split into one down to sigma_down and fresh noise up again.

    sigma_down^2 + noise_std^2 = sigma_next^2
    noise_std = eta sigma_next sqrt(1 - sigma_next^2 / sigma^2)

Katherine Crowson's k-diffusion, get_ancestral_step. eta 1 is DDPM's posterior (2006.11239, eq. 7)
in the variance exploding scaling, eta 0 the probability flow, as in DDIM (2010.02502, eq. 16).
"""

import numpy as np

from refdiff.diffusion.types import Array


def down_and_up(sigma: Array, sigma_next: Array, eta: float = 1.0) -> tuple[Array, Array]:
    """sigma_down and noise_std: sigma [rows], sigma_next [rows] -> [rows] each

    Not a number where sigma rises and eta is not 0: tabulate refuses such a plan.
    """
    if eta == 0:
        return sigma_next, np.zeros_like(sigma_next)
    with np.errstate(invalid="ignore"):
        up = eta * np.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
    # rounding may take this to 0 or below where sigma falls far in one step
    left = sigma_next**2 - up**2
    exact = sigma_next * np.sqrt(1 - eta**2 + (eta * sigma_next / sigma) ** 2)
    return np.where(left > 0, np.sqrt(np.maximum(left, 0)), exact), up
