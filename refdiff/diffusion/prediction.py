"""What a network may predict, eps, x0 or v, and how each follows from the others.

With x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps, the velocity of progressive distillation
(2202.00512, appendix D) is v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0: (x0, eps) turned by
an angle. From x and any one of the three the other two follow, except at the ends:

- alpha_bar = 0, x is nothing but noise: eps says nothing of x0 or v. v = -x0 and x0 do.
- alpha_bar = 1, x is the data: x0 says nothing of eps or v. v = eps and eps do.

There the conversion is refused with a ConfigError. Everywhere alpha_bar is in [0, 1], a float or
an array that broadcasts.
"""

from collections.abc import Callable

import numpy as np

from refdiff.diffusion.types import Array, Scale
from refdiff.errors import ConfigError


def x0_from_eps(x: Array, eps: Array, alpha_bar: Scale) -> Array:
    """The data that eps implies (DDPM, 2006.11239, eq. 15).

    x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]
    """
    return (x - (1 - alpha_bar) ** 0.5 * eps) / _nonzero(alpha_bar) ** 0.5


def x0_from_v(x: Array, v: Array, alpha_bar: Scale) -> Array:
    """The data that v implies (2202.00512, appendix D).

    x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]
    """
    return alpha_bar**0.5 * x - (1 - alpha_bar) ** 0.5 * v


def eps_from_x0(x: Array, x0: Array, alpha_bar: Scale) -> Array:
    """The noise that x0 implies: DDPM's eq. 15 solved for eps.

    x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]
    """
    return (x - alpha_bar**0.5 * x0) / _nonzero(1 - alpha_bar) ** 0.5


def eps_from_v(x: Array, v: Array, alpha_bar: Scale) -> Array:
    """The noise that v implies (2202.00512, appendix D).

    x [N,C,H,W], v [N,C,H,W] -> [N,C,H,W]
    """
    return alpha_bar**0.5 * v + (1 - alpha_bar) ** 0.5 * x


def v_from_eps(x: Array, eps: Array, alpha_bar: Scale) -> Array:
    """The velocity that eps implies: its definition with x0 eliminated.

    x [N,C,H,W], eps [N,C,H,W] -> [N,C,H,W]
    """
    return (eps - (1 - alpha_bar) ** 0.5 * x) / _nonzero(alpha_bar) ** 0.5


def v_from_x0(x: Array, x0: Array, alpha_bar: Scale) -> Array:
    """The velocity that x0 implies: its definition with eps eliminated.

    x [N,C,H,W], x0 [N,C,H,W] -> [N,C,H,W]
    """
    return (alpha_bar**0.5 * x - x0) / _nonzero(1 - alpha_bar) ** 0.5


def as_predicted(x: Array, out: Array, alpha_bar: Scale) -> Array:
    """What the network says is already what is asked for.

    x [N,C,H,W], out [N,C,H,W] -> [N,C,H,W]
    """
    return out


Conversion = Callable[[Array, Array, Scale], Array]

# by the names that scheduler_config.json gives to what the network predicts
X0: dict[str, Conversion] = {
    "epsilon": x0_from_eps,
    "sample": as_predicted,
    "v_prediction": x0_from_v,
}
EPS: dict[str, Conversion] = {
    "epsilon": as_predicted,
    "sample": eps_from_x0,
    "v_prediction": eps_from_v,
}


def _nonzero(share: Scale) -> Scale:
    if np.any(share == 0):
        raise ConfigError(
            "a prediction is to be converted where x holds nothing of what it speaks of "
            "(eps at alpha_bar = 0, or x0 at alpha_bar = 1): at zero terminal SNR use a "
            "v_prediction or sample model, or a plan that starts lower"
        )
    return share
