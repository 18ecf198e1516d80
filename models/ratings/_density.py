"""Log densities of laws as a sampler wants them: of batches of laws too, and finite wherever it strays."""

import math
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array

from ..laws import AbstractLaw, TruncatedExponential, TruncatedNormal
from ..laws._series import decay_1


def log_density(law: AbstractLaw, x: Any) -> Array:
    """Log density of values within the support; leaves of a batch of laws are broadcast against `x`.

    Laws say it by their NumPyro distribution, but for two: a sampler strays to where the window is far out in the tail of
    a normal law, where NumPyro's normaliser is the log of 0, and to rates at which its power law is 0/0.
    """
    given: Any = law
    if isinstance(law, TruncatedNormal):
        ends = ((end - given.loc) / given.scale for end in (given.low, given.high))
        z = (x - given.loc) / given.scale
        return -z * z / 2 - jnp.log(given.scale) - math.log(2 * math.pi) / 2 - log_between(*ends)
    if isinstance(law, TruncatedExponential):
        return -given.rate * x - jnp.log(given.high * decay_1(given.rate * given.high))
    return given.distribution.log_prob(x)


def log_between(low: Array, high: Array) -> Array:
    """Log of Φ(high) − Φ(low), precise in both tails."""
    flip = low + high > 0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    top = log_ndtr(high)
    return top + jnp.log1p(-jnp.exp(jnp.minimum(log_ndtr(low) - top, -1e-12)))
