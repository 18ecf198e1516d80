"""Everybody's tastes at once: mode and curvature given what all share, by a damped Newton step for each person."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..models.hierarchy import Tastes

STEPS = 50
LEAST = 0.2  # eigenvalue of the negative Hessian, where the prior alone has 1: no proposal is wider than that allows

PeopleLikelihood = Callable[[Float[Array, "people dims"]], Float[Array, " people"]]


class Bumps(NamedTuple):
    """A normal law of taste for each person: where their posterior lies given what all share.

    Attributes:
        centre: `[people, dims]`.
        root: `[people, dims, dims]`, lower triangular factor of the covariance.
        inverse: of `root`.
    """

    centre: Float[Array, "*batch people dims"]
    root: Float[Array, "*batch people dims dims"]
    inverse: Float[Array, "*batch people dims dims"]

    @classmethod
    def of(cls, centre: Array, root: Array) -> "Bumps":
        """With the inverse of `root`."""
        unit = jnp.broadcast_to(jnp.eye(root.shape[-1], dtype=root.dtype), root.shape)
        return cls(centre, root, jax.scipy.linalg.solve_triangular(root, unit, lower=True))

    def log_density(self, taste: Float[Array, "*batch people dims"]) -> Float[Array, "*batch people"]:
        """Up to the constant that all normal laws share."""
        apart = (taste - self.centre)[..., None, :]
        z = jnp.sum(self.inverse * apart, -1)
        return jnp.sum(jnp.log(jnp.diagonal(self.inverse, axis1=-2, axis2=-1)), -1) - 0.5 * jnp.sum(z**2, -1)


def find_people(likelihood: PeopleLikelihood, tastes: Tastes, people: int) -> Bumps:
    r"""Laplace approximation of :math:`p(b_i \mid \theta, y_i)`, all people in one program.

    In coordinates :math:`b = m + L z` the prior has unit curvature, so Levenberg's damping is in units of it; a step that
    does not climb is refused for that person alone.

    Args:
        likelihood: log-likelihood of everybody's data, row i a function of row i alone.
        tastes: their law before the data.
        people: how many.
    """
    mean, root, _ = tastes
    dims = root.shape[0]
    slack = 8 * jnp.finfo(root.dtype).eps  # heights this close in proportion are not told apart

    def climb(z):
        return likelihood(mean + z @ root.T) - 0.5 * jnp.sum(z**2, -1)

    def slopes(z):
        gradient = jax.grad(lambda z: climb(z).sum())
        across = jax.vmap(lambda e: jax.jvp(gradient, (z,), (jnp.broadcast_to(e, z.shape),))[1])
        return gradient(z), jnp.moveaxis(across(jnp.eye(dims, dtype=z.dtype)), 0, -1)

    def step(state):
        z, height, damping, _, count = state
        gradient, hessian = slopes(z)
        shifted = damping[:, None, None] * jnp.eye(dims, dtype=z.dtype) - hessian
        # A Cholesky factor of an indefinite matrix is NaN, and NaN does not climb: the damping then grows.
        move = jax.vmap(lambda a, b: jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(a), True), b))(shifted, gradient)
        trial = climb(z + move)
        better = trial >= height - slack * (1 + jnp.abs(height))
        z = jnp.where(better[:, None], z + move, z)
        damping = jnp.where(better, damping / 10, jnp.maximum(10 * damping, 0.1))
        far = ~better | (jnp.max(jnp.abs(move), -1) > 1e-3)
        return z, jnp.where(better, trial, height), jnp.where(damping < 1e-4, 0.0, damping), far, count + 1

    z = jnp.zeros((people, dims), root.dtype)
    begin = z, climb(z), jnp.zeros(people, z.dtype), jnp.ones(people, bool), 0
    z, *_ = jax.lax.while_loop(lambda s: jnp.any(s[3]) & (s[4] < STEPS), step, begin)
    values, vectors = jnp.linalg.eigh(-slopes(z)[1])
    spread = vectors / jnp.sqrt(jnp.maximum(values, LEAST))[:, None, :]
    wide = root @ spread
    covariance = jnp.einsum("pik,pjk->pij", wide, wide)
    # Tastes that hardly vary leave a covariance that rounding may make indefinite.
    floor = jnp.finfo(z.dtype).eps * 10 * jnp.einsum("pii->p", covariance)[:, None, None] * jnp.eye(dims, dtype=z.dtype)
    return Bumps.of(mean + z @ root.T, jnp.linalg.cholesky(covariance + floor))
