r"""The Gaussian copula of values that some agents did not state.

With scores :math:`z_i = \Phi^{-1}(F_i(v_i))` and correlation R, the density of the copula is
:math:`|R|^{-1/2} e^{-z^\top (R^{-1} - I) z / 2}`. Where an agent stated nothing, their row and column of R are replaced by
those of the identity and their score by 0: what is left is exactly the density of the others.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float


def scores(below: Float[Array, "*shape"], above: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Normal scores of values from both their tails, each precise where it is small."""
    tiny = jnp.finfo(below.dtype).tiny
    low = below < 0.5
    z = ndtri(jnp.maximum(jnp.where(low, below, above), tiny))
    return jnp.where(low, z, -z)


def masked(correlation: Float[Array, "agents agents"], stated: Bool[Array, " agents"]) -> Float[Array, "agents agents"]:
    """Correlation with the rows and columns of those who stated nothing taken from the identity."""
    both = stated[:, None] & stated[None, :]
    return jnp.where(both, correlation, jnp.eye(stated.shape[0], dtype=correlation.dtype))


def log_copula(
    correlation: Float[Array, "agents agents"], z: Float[Array, "agents items"], stated: Bool[Array, "agents items"]
) -> Float[Array, " items"]:
    """Log density of the copula, item by item."""

    def one(z, stated):
        z = jnp.where(stated, z, 0.0)
        factor = jnp.linalg.cholesky(masked(correlation, stated))
        white = solve_triangular(factor, z, lower=True)
        return -jnp.sum(jnp.log(jnp.diagonal(factor))) - (white @ white - z @ z) / 2

    return jax.vmap(one, (1, 1))(z, stated)


def given_stated(
    correlation: Float[Array, "agents agents"],
    z: Float[Array, "agents items"],
    stated: Bool[Array, "agents items"],
    free: Float[Array, "agents items"],
) -> Float[Array, "agents items"]:
    """Scores given the stated ones, from scores `free` drawn without them (Matheron's rule): stated ones stay."""

    def one(z, stated, free):
        gap = jnp.where(stated, z - free, 0.0)
        return jnp.where(stated, z, free + correlation @ jnp.linalg.solve(masked(correlation, stated), gap))

    return jax.vmap(one, (1, 1, 1), 1)(z, stated, free)
