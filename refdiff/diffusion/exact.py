"""Data whose perfect denoiser is known in closed form, to judge samplers by: Gaussian mixtures.

    p(x0)  = sum_k w_k N(x0; mu_k, s_k^2 I)
    x      = alpha x0 + sigma eps
    p_t(x) = sum_k w_k N(x; alpha mu_k, v_k I),  v_k = alpha^2 s_k^2 + sigma^2

    eps(x) = -sigma grad log p_t(x) = sigma sum_k r_k(x) (x - alpha mu_k) / v_k

with r_k(x) the probability that x came from component k (2011.13456, eq. 6 for one component).
Here x [N,D] is a row of points, and sigma is the standard deviation of the noise in this x, for any
alpha: variance preserving, exploding (alpha = 1) or flow (alpha = 1 - sigma).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refdiff.diffusion.types import Array

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Isotropic components: means [K,D], spreads [K] above 0, weights [K] that add up to 1."""

    means: Float64
    spreads: Float64
    weights: Float64

    def eps(self, x: Array, alpha: float, sigma: float) -> Array:
        """The noise that a perfect network sees in x: E[eps | x]. x [N,D] -> [N,D]"""
        off = x.T[:, None] - alpha * self.means.T[:, :, None]  # [D,K,N]: long rows are fast
        variance = (alpha**2 * self.spreads**2 + sigma**2)[:, None]
        log_p = np.log(self.weights)[:, None] - 0.5 * len(off) * np.log(variance)
        log_p = log_p - 0.5 * np.sum(off**2, axis=0) / variance
        r = np.exp(log_p - np.max(log_p, axis=0))
        return sigma * np.sum(r / np.sum(r, axis=0) / variance * off, axis=1).T

    def x0(self, x: Array, alpha: float, sigma: float) -> Array:
        """The data that a perfect network sees in x: E[x0 | x]. x [N,D] -> [N,D]"""
        return (x - sigma * self.eps(x, alpha, sigma)) / alpha

    def flow(self, x: Array, sigma_from: float, sigma_to: float) -> Array:
        """Where the probability flow dx / dsigma = eps takes x, with alpha = 1 (2206.00364, eq. 1).

        x [N,D] -> [N,D], exact to about 1e-12; closed form for one component.
        """
        if len(self.weights) == 1:
            mean, spread2 = self.means[0], self.spreads[0] ** 2
            ratio = (spread2 + sigma_to**2) / (spread2 + sigma_from**2)
            return mean + (x - mean) * ratio**0.5
        from scipy.integrate import solve_ivp  # slow to import, and only trials want it

        def slope(sigma: float, flat: Array) -> Array:
            return self.eps(flat.reshape(x.shape), 1.0, sigma).ravel()

        ends = (sigma_from, sigma_to)
        path = solve_ivp(slope, ends, x.ravel(), method="DOP853", rtol=1e-13, atol=1e-13)
        return path.y[:, -1].reshape(x.shape)

    def straight_flow(self, x: Array, sigma_from: float, sigma_to: float) -> Array:
        """As `flow`, where x = (1 - sigma) x0 + sigma eps and dx / dsigma = E[eps - x0 | x].

        x [N,D] -> [N,D], with sigma in 0..1: 1 is noise alone (2403.03206, section 2).
        """
        from scipy.integrate import solve_ivp

        def velocity(sigma: float, flat: Array) -> Array:
            point = flat.reshape(x.shape)
            if sigma == 1:
                return (point - self.mean).ravel()
            eps = self.eps(point, 1 - sigma, sigma)
            return (eps - (point - sigma * eps) / (1 - sigma)).ravel()

        ends = (sigma_from, sigma_to)
        path = solve_ivp(velocity, ends, x.ravel(), method="DOP853", rtol=1e-13, atol=1e-13)
        return path.y[:, -1].reshape(x.shape)

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Points of the data: -> [count,D]"""
        k = rng.choice(len(self.weights), size=count, p=self.weights)
        z = rng.standard_normal((count, self.means.shape[1]))
        return self.means[k] + self.spreads[k, None] * z

    @property
    def mean(self) -> Float64:
        """Of the data: -> [D]"""
        return self.weights @ self.means

    @property
    def covariance(self) -> Float64:
        """Of the data: -> [D,D]"""
        off = self.means - self.mean
        within = self.weights @ self.spreads**2 * np.eye(self.means.shape[1])
        return within + np.einsum("k,ki,kj->ij", self.weights, off, off)


def gaussian(mean: Float64, spread: float) -> GaussianMixture:
    """One Gaussian: mean [D]"""
    return GaussianMixture(mean[None], np.array([spread]), np.ones(1))
