"""Chances of steps on an ordered scale, with a logistic error: their logs, a prior on cut points, and errors given steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.nn import log_sigmoid, softplus
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints


def log1mexp(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r""":math:`\log(1 - e^{-x})` for x > 0, finite with finite derivatives also where x is 0 in floating point."""
    x = jnp.maximum(x, jnp.sqrt(jnp.finfo(x.dtype).tiny))
    small = x < 0.7
    near = jnp.log(-jnp.expm1(-jnp.where(small, x, 0.7)))
    far = jnp.log1p(-jnp.exp(-jnp.where(small, 0.7, x)))
    return jnp.where(small, near, far)


def _log_gaps(cuts: Float[Array, "*batch cuts"]) -> Float[Array, "*batch steps"]:
    """The part of a step's log chance that its two cuts alone decide; 0 for the outermost steps."""
    end = jnp.zeros_like(cuts[..., :1])
    return jnp.concatenate([end, log1mexp(jnp.diff(cuts)), end], -1)


def log_chance(
    step: Int[Array, "*shape"], worth: Float[Array, "*shape"], cuts: Float[Array, " cuts"]
) -> Float[Array, "*shape"]:
    r"""Log chance of each step, given latent worth u.

    With F logistic, the difference is a product, so that nothing cancels:

    .. math::
        F(c_{k+1} - u) - F(c_k - u) = F(c_{k+1} - u)\; F(u - c_k)\; \big(1 - e^{-(c_{k+1} - c_k)}\big).

    Args:
        step: from 0 to the number of cuts.
        worth: latent worth. `cuts`: ascending.
    """
    last = cuts.shape[0]
    over = jnp.where(step > 0, softplus(cuts[jnp.maximum(step - 1, 0)] - worth), 0.0)
    under = jnp.where(step < last, softplus(worth - cuts[jnp.minimum(step, last - 1)]), 0.0)
    return _log_gaps(cuts)[step] - over - under


def log_shares(cuts: Float[Array, "*batch cuts"]) -> Float[Array, "*batch steps"]:
    """Log chance of every step where the latent worth is 0."""
    end = jnp.zeros_like(cuts[..., :1])
    over = jnp.concatenate([end, log_sigmoid(-cuts)], -1)
    under = jnp.concatenate([log_sigmoid(cuts), end], -1)
    return _log_gaps(cuts) + over + under


def latent_given_step(
    step: Int[Array, "*shape"],
    worth: Float[Array, "*shape"],
    cuts: Float[Array, " cuts"],
    *,
    key: PRNGKeyArray,
) -> Float[Array, "*shape"]:
    r"""Worth plus logistic error, drawn given the step it fell on; a step below 0 says nothing.

    With v uniform and a, b the ends of the step less worth, the chance :math:`p = (1 - v) F(a) + v F(b)` is uniform
    between them. Its logit is taken from the logs of p and of 1 − p, both sums of positive numbers.
    """
    infinite = jnp.full((1,), jnp.inf, worth.dtype)
    edges = jnp.concatenate([-infinite, cuts.astype(worth.dtype), infinite])
    low = jnp.where(step < 0, -jnp.inf, edges[jnp.maximum(step, 0)])
    high = jnp.where(step < 0, jnp.inf, edges[jnp.maximum(step, 0) + 1])
    v = jax.random.uniform(key, worth.shape, worth.dtype, minval=jnp.finfo(worth.dtype).tiny)
    a, b = low - worth, high - worth
    inside = jnp.logaddexp(jnp.log1p(-v) + log_sigmoid(a), jnp.log(v) + log_sigmoid(b))
    outside = jnp.logaddexp(jnp.log1p(-v) + log_sigmoid(-a), jnp.log(v) + log_sigmoid(-b))
    return jnp.minimum(jnp.maximum(worth + inside - outside, low), high)


class CutsFromShares(dist.Distribution):
    r"""Cut points whose steps have Dirichlet shares where the latent worth is 0.

    .. math::
        p \sim \text{Dirichlet}(\alpha), \qquad c_k = \text{logit}(p_1 + \dots + p_k).

    Args:
        concentration: `[steps]`, α.

    Source: M. Betancourt, "Ordinal Regression" (2019): the induced Dirichlet prior.

    Example:
        >>> prior = CutsFromShares(jnp.ones(2))
        >>> round(float(prior.log_prob(jnp.zeros(1))), 4)  # the logistic density at 0: its share is uniform
        -1.3863
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.ordered_vector  # pyright: ignore[reportIncompatibleMethodOverride,reportAssignmentType]
    pytree_data_fields = ("concentration",)

    def __init__(self, concentration: Any, *, validate_args: bool | None = None):
        self.concentration = concentration
        shape = jnp.shape(concentration)
        super().__init__(shape[:-1], (shape[-1] - 1,), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Cut points `[*sample_shape, *batch, steps - 1]`."""
        shape = (*sample_shape, *jnp.shape(self.concentration))
        parts = jax.random.loggamma(key, jnp.broadcast_to(self.concentration, shape))
        axis = len(shape) - 1
        below = jax.lax.cumlogsumexp(parts, axis)[..., :-1]
        return below - jax.lax.cumlogsumexp(parts, axis, reverse=True)[..., 1:]

    def log_prob(self, value: Any, intermediates: Any = None) -> Array:
        """Log density of cut points."""
        del intermediates
        alpha = jnp.asarray(self.concentration)
        total = jax.scipy.special.gammaln(alpha.sum(-1)) - jax.scipy.special.gammaln(alpha).sum(-1)
        slope = (log_sigmoid(value) + log_sigmoid(-value)).sum(-1)
        shares = log_shares(value)
        return total + slope + (jnp.broadcast_to(alpha - 1, shares.shape) * shares).sum(-1)
