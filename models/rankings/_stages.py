"""Rankings as stages: at each, one item, or a group of tied items, comes before all that are left."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._ties import log_before

Whole = Int[Array | np.ndarray, "places rankings"]
Flags = Bool[Array | np.ndarray, "places rankings"]


class Stages(NamedTuple):
    """What a likelihood sees, padded; places come first, so that a pass over them handles all rankings at once.

    Attributes:
        item: index of the item at each place, the best first; 0 where there is none.
        there: whether there is one. Places are filled from the top.
        alone: whether its item, alone in its group, comes before others.
        tied: `[groups, members]`, index of each member into the flattened places, −1 for none; groups of two or more that
            come before others.
        under: `[groups]`, index of the first place under the group.
    """

    item: Whole
    there: Flags
    alone: Flags
    tied: Int[Array | np.ndarray, "groups members"]
    under: Int[Array | np.ndarray, " groups"]


def stages(levels: Int[np.ndarray, "rankings items"]) -> Stages:
    """Stages of groups by item: 0 the best, −1 not compared. The last group of a ranking comes before nothing."""
    rankings, items = levels.shape
    seen = levels >= 0
    places = max(int(seen.sum(1).max(initial=0)), 1)
    item = np.argsort(np.where(seen, levels, items + 1), 1, kind="stable")[:, :places]
    level = np.take_along_axis(levels, item, 1)
    there = level >= 0
    last = level.max(1, keepdims=True)
    scored = there & (level < last)
    before = np.pad(level, ((0, 0), (1, 0)), constant_values=-2)[:, :-1]
    after = np.pad(level, ((0, 0), (0, 1)), constant_values=-2)[:, 1:]
    alone = scored & (level != before) & (level != after)
    row, place = np.nonzero(scored & ~alone & (level != before))
    size = np.array([(level[r] == level[r, p]).sum() for r, p in zip(row, place, strict=True)], int)
    most = int(size.max(initial=0))
    slot = np.arange(most)
    tied = np.where(slot < size[:, None], (place[:, None] + slot) * rankings + row[:, None], -1)
    return Stages(
        np.where(there, item, 0).T, there.T, alone.T, tied.reshape(len(row), most), (place + size) * rankings + row
    )


def drawn_order(
    worth: Float[Array, "places rankings"], there: Flags, *, key: PRNGKeyArray
) -> Int[Array, "places rankings"]:
    """Places in an order drawn by worth plus standard Gumbel errors, the best first; those where nothing is come last."""
    total = worth + jax.random.gumbel(key, worth.shape, worth.dtype)
    return jnp.argsort(-jnp.where(jnp.asarray(there), total, -jnp.inf), 0)


def log_remaining(worth: Float[Array, "places rankings"], there: Flags) -> Float[Array, "places rankings"]:
    r""":math:`\log \sum e^V` of each place and all under it, in one pass from the bottom; 0 where nothing is there.

    The sum is kept relative to its greatest term so far, so neither a favourite nor an outcast is lost.
    """
    there = jnp.asarray(there)
    worth = jnp.where(there, worth, 0.0)
    fixed = jax.lax.stop_gradient(worth)

    def step(state, x):
        top, total = state
        value, constant, here = x
        new = jnp.maximum(top, jnp.where(here, constant, top))
        total = total * jnp.exp(top - new) + jnp.where(here, jnp.exp(value - new), 0.0)
        return (new, total), new + jnp.log(jnp.where(total > 0, total, 1.0))

    start = (jnp.min(fixed, 0), jnp.zeros_like(worth[0]))
    return jax.lax.scan(step, start, (worth, fixed, there), reverse=True)[1]


def log_probability(worth: Float[Array, "places rankings"], s: Stages) -> Float[Array, " rankings"]:
    r"""Log-probability of each ranking, the sum over its stages.

    A stage counts

    .. math:: V_{\text{first}} - \log \sum_{\text{it and all under it}} e^V ,

    and for tied items of the log-probability that they all precede what is under them.
    """
    left = log_remaining(worth, s.there)
    total = jnp.where(jnp.asarray(s.alone), worth - left, 0.0).sum(0)
    if s.tied.shape[0] == 0:
        return total
    each = log_before(*relative(worth, left, s))
    return total.at[jnp.asarray(s.under) % total.shape[0]].add(each)


def relative(worth: Array, left: Array, s: Stages) -> tuple[Float[Array, "groups tied"], Bool[Array, "groups tied"]]:
    """Worth of tied items less the log of the total of what is under them, and where there are such."""
    tied, under = jnp.asarray(s.tied), jnp.asarray(s.under)
    members = tied >= 0
    total = left.ravel()[under]
    own = worth.ravel()[jnp.maximum(tied, 0)]
    return jnp.where(members, own - jnp.broadcast_to(total[:, None], own.shape), 0.0), members
