"""How far draws of an approximation are from the density they stand for: log weights, k-hat, and draws set right."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ._arviz import psis
from ._density import Arguments, Density

GOOD_K = 0.7
ENOUGH = 2000  # draws behind a k-hat
FLOATS = 2**22  # of a batch of draws, `draws * size`, at most


def log_density_at(density: Density, args: Arguments, z: np.ndarray) -> np.ndarray:
    """Unnormalised log posterior density of draws `[draws, size]`, in bounded memory; NaN counts as no density."""
    if not hasattr(density, "many"):
        at = lambda z, args, batch: jax.lax.map(lambda x: -density.potential(x, args), z, batch_size=batch)
        density.many = jax.jit(at, static_argnums=2)  # pyright: ignore[reportAttributeAccessIssue]
    batch = int(np.clip(FLOATS // max(z.shape[1], 1), 1, 256))
    found = density.many(jnp.asarray(z, density.start.dtype), args, batch)  # pyright: ignore[reportAttributeAccessIssue]
    return np.nan_to_num(np.asarray(found, float), nan=-np.inf, posinf=-np.inf)


def log_normal_density(z: np.ndarray, centre: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log density of the normal law, without its constant, at `[draws, size]`."""
    away = scipy.linalg.solve_triangular(np.linalg.cholesky(covariance), (z - centre).T, lower=True)
    return -0.5 * np.sum(away**2, axis=0)


def k_hat(log_weights: np.ndarray) -> float:
    """k-hat of log weights `[draws]`: below 0.7 the draws can be set right by weighting, above they miss something.

    Source: Yao, Vehtari, Simpson and Gelman, "Yes, but did it work?: evaluating variational inference" (2018).
    """
    weights = np.asarray(log_weights, float)
    if not np.any(np.isfinite(weights)):
        return float("inf")
    least = weights[np.isfinite(weights)].min()
    spread = np.ptp(weights[np.isfinite(weights)])
    if np.all(np.isfinite(weights)) and spread < 1e-6:
        return float("-inf")  # all alike: the approximation is exact
    found = float(psis(np.where(np.isfinite(weights), weights, least - 1e3))[1])
    return float("inf") if np.isnan(found) else found


def laplace_k_hat(density: Density, args: Arguments, mode: Any, z: np.ndarray) -> float:
    """k-hat of a mode's Laplace approximation against the density itself.

    Few draws make k-hat noisy (give or take 0.2 with 200 of them), so draws `z` `[draws, size]` are joined by others until
    there are 2,000.
    """
    if len(z) < ENOUGH:
        z = np.concatenate([z, mode.sample(ENOUGH - len(z), len(z))])
    return k_hat(log_density_at(density, args, z) - log_normal_density(z, mode.z, mode.covariance))


def resampled(log_weights: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Indices of `num` draws in proportion to their smoothed weights (systematic resampling, in random order)."""
    chance = np.exp(psis(log_weights)[0])
    rng = np.random.default_rng(seed)
    edges = np.cumsum(chance / chance.sum())
    picked = np.searchsorted(edges, (rng.random() + np.arange(num)) / num)
    return rng.permutation(np.minimum(picked, len(edges) - 1))
