"""Gumbel errors given which alternative came out best."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


def given_choice(
    worth: Float[Array, "agents options"],
    available: Bool[Array, "agents options"],
    chosen: Int[Array, " agents"],
    *,
    key: PRNGKeyArray,
) -> Float[Array, "agents options"]:
    r"""Worth plus error, drawn given that `chosen` has the greatest; exact, without rejection.

    The greatest of independent Gumbels is independent of which one it is:

    .. math::
        M \sim \text{Gumbel}\Big(\log\sum_k e^{V_k}\Big), \qquad
        u_j = -\log\big(e^{-M} + e^{-(V_j + G_j)}\big),\; j \ne \text{chosen},

    with :math:`G_j` standard Gumbel: :math:`e^{-V_j - G_j}` is exponential with rate :math:`e^{V_j}`, and so is
    :math:`e^{-u_j} - e^{-M}` given :math:`u_j \le M`, as the exponential has no memory. In floating point the smaller
    ones are held below M by a few units in the last place, so the chosen alternative wins without ties, also after
    the outside option is taken off.

    Args:
        worth: :math:`V`, finite.
        available: False where the option cannot be had; its result is meaningless and must be masked.
        chosen: index of the best option, available.
        key: for the draw.

    Returns:
        :math:`u`, in utils.
    """
    top, other = jax.random.split(key)
    scale = jax.nn.logsumexp(jnp.where(available, worth, -jnp.inf), axis=-1, keepdims=True)
    best = scale + jax.random.gumbel(top, scale.shape, worth.dtype)
    free = worth + jax.random.gumbel(other, worth.shape, worth.dtype)
    rest = -jnp.logaddexp(jnp.broadcast_to(-best, free.shape), -free)
    size = jnp.maximum(jnp.abs(best), jnp.max(jnp.where(available, jnp.abs(rest), 0.0), -1, keepdims=True))
    gap = jax.lax.stop_gradient(8 * jnp.finfo(worth.dtype).eps * (1 + size))
    is_chosen = jax.nn.one_hot(chosen, worth.shape[-1], dtype=bool)
    return jnp.where(
        is_chosen, jnp.broadcast_to(best, rest.shape), jnp.minimum(rest, jnp.broadcast_to(best - gap, rest.shape))
    )
