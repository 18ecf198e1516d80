"""Gumbel errors given a ranking."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ._stages import Stages, log_remaining, relative
from ._ties import log_before_without_each


def given_ranking(
    worth: Float[Array, "agents options"], s: Stages, *, key: PRNGKeyArray
) -> Float[Array, "agents options"]:
    r"""Worth plus error, drawn given the ranking; exact, without rejection.

    :math:`e^{-u}` is an exponential arrival time of rate :math:`e^V`. Given the order of arrivals, the k-th comes after the
    one before it by an exponential time with the total rate of all that are left, whatever the order (no memory), so

    .. math::
        u_{(k)} = -\log \sum_{l \le k} \frac{E_l}{\sum_{m \ge l} e^{V_{(m)}}}, \qquad E_l \sim \text{Exp}(1),

    and items under the last stage follow it independently, each at its own rate. Ties are first put into an order, drawn
    given that the group comes before what is under it. Items that were not compared have free errors. In floating point each
    is held below the one before it by a few units in the last place, so the ranking holds without ties.

    Args:
        worth: V, finite.
        s: stages, whose rankings are the agents.
        key: for the draw.

    Returns:
        u, in utils.

    Source: L. Yellott (1977), "The relationship between Luce's choice axiom, Thurstone's theory of comparative judgment,
    and the double exponential distribution", J. Math. Psych. 15, for arrivals and Gumbel errors; the draw is [D].
    """
    agents, options = worth.shape
    free, mix, late, gaps = jax.random.split(key, 4)
    who = jnp.arange(agents)[None, :]
    there, item = jnp.asarray(s.there), jnp.asarray(s.item)
    take = lambda item: worth[jnp.broadcast_to(who, item.shape), item]
    scored = jnp.asarray(s.alone)
    if s.tied.shape[0]:
        item = _untied(take(item), item, s, mix)
        members = jnp.asarray(s.tied)
        scored = scored.ravel().at[jnp.where(members >= 0, members, scored.size)].set(True, mode="drop")
        scored = scored.reshape(item.shape)
    value = take(item)
    left = log_remaining(value, there)
    wait = -jax.random.gumbel(gaps, value.shape, value.dtype) - left  # the log of an exponential time
    reached = jax.lax.associative_scan(jnp.logaddexp, jnp.where(scored, wait, -jnp.inf), axis=0)
    last = reached[-1]
    after = -(value + jax.random.gumbel(late, value.shape, value.dtype))
    after = jnp.logaddexp(jnp.broadcast_to(last, after.shape), after)
    held = jnp.where(there, jnp.where(scored, -reached, -after), 0.0)
    gap = 8 * jnp.finfo(value.dtype).eps * (1 + jnp.max(jnp.abs(held), 0))
    place = jnp.arange(item.shape[0], dtype=value.dtype)[:, None]
    held = held - jnp.broadcast_to(gap, held.shape) * jnp.where(scored, place, scored.sum(0)[None].astype(value.dtype))
    total = worth + jax.random.gumbel(free, worth.shape, worth.dtype)
    return total.at[jnp.broadcast_to(who, item.shape), jnp.where(there, item, options)].set(held, mode="drop")


def _untied(value: Array, item: Array, s: Stages, key: PRNGKeyArray) -> Array:
    """Items with every tied group in an order, drawn with the chances of the orders."""
    own, members = relative(value, log_remaining(value, s.there), s)

    def step(left: Bool[Array, "groups members"], key):
        chance = own + log_before_without_each(own, left)
        taken = jnp.argmax(jnp.where(left, chance + jax.random.gumbel(key, chance.shape, chance.dtype), -jnp.inf), 1)
        return left & ~jax.nn.one_hot(taken, left.shape[1], dtype=bool), taken

    _, order = jax.lax.scan(step, members, jax.random.split(key, members.shape[1]))
    flat, slots = item.ravel(), jnp.asarray(s.tied)
    moved = flat[jnp.maximum(jnp.take_along_axis(slots, order.T, 1), 0)]
    return flat.at[jnp.where(members, slots, flat.size)].set(moved, mode="drop").reshape(item.shape)
