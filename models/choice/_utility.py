"""The arithmetic of the logit: masked log-probabilities, and the scale of a column."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


def utility(
    coefficient: Float[Array | np.ndarray, "*draws coefficients"],
    design: Float[Array | np.ndarray, "situations alternatives coefficients"],
) -> Float[Array, "*draws situations alternatives"]:
    """What is seen of an alternative's worth, in the precision of `coefficient`, also on a GPU."""
    coefficient = jnp.asarray(coefficient)
    design = jnp.asarray(design, coefficient.dtype)
    return jnp.einsum("...k,sak->...sa", coefficient, design, precision=jax.lax.Precision.HIGHEST)


def log_probability(
    coefficient: Float[Array | np.ndarray, "*draws coefficients"],
    design: Float[Array | np.ndarray, "situations alternatives coefficients"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
) -> Float[Array, "*draws situations alternatives"]:
    """Log-probability of each alternative, −inf where it is not available."""
    worth = utility(coefficient, design)
    can = jnp.broadcast_to(jnp.asarray(available), worth.shape)
    return jax.nn.log_softmax(jnp.where(can, worth, -jnp.inf), axis=-1)


def weighted_sum(
    each: Float[Array, "*draws situations"], weight: Float[Array | np.ndarray, " situations"]
) -> Float[Array, "*draws"]:
    """Sum over situations, in the precision of `each`, also on a GPU."""
    return jnp.einsum("...s,s->...", each, jnp.asarray(weight, each.dtype), precision=jax.lax.Precision.HIGHEST)


def column_scale(
    design: Float[Array | np.ndarray, "situations alternatives coefficients"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
) -> Float[Array | np.ndarray, " coefficients"]:
    """Root mean square deviation of each column from the mean of its situation, over what is available.

    Only differences within a situation move a logit, so they alone say how large a coefficient can be. A column without
    any gets scale 1. NumPy in, NumPy out; JAX in, JAX out.
    """
    xp = np if isinstance(design, np.ndarray) else jnp
    can = xp.asarray(available, design.dtype)[..., None]
    mean = xp.sum(design * can, 1, keepdims=True) / xp.sum(can, 1, keepdims=True)
    square = xp.sum(can * (design - mean) ** 2, (0, 1)) / xp.sum(can)
    return xp.where(square > 0, xp.sqrt(xp.where(square > 0, square, 1.0)), 1.0)
