"""How likely an agent is to win the item she ranks t-th, whatever that item is."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ...models._check import require
from ..base import AbstractMechanism
from ._bids import tie
from ._types import Count
from .ranking import Ranking
from .weighted_ranking import WeightedRanking


def interim(mechanism: AbstractMechanism, agents: Count, items: Count) -> Float[Array, "agents items"]:
    r"""Probability that agent i wins the item that she ranks t-th, when the others' values are independent over items.

    Then each opponent's rank of any one item is equally likely each of 1, …, m, and independent of the other opponents', so that
    the probability depends on the position only, and these numbers decide what any report is worth: u = Σ_t p_t v(t-th).
    `Ranking`, for agent i counted from 0 (ties go to the lowest index):

    .. math:: p_t^{(i)} = \Bigl(\frac{m - t}{m}\Bigr)^{i} \Bigl(\frac{m - t + 1}{m}\Bigr)^{n - 1 - i}

    `WeightedRanking`: with scores :math:`c_k(\rho) = w_k Q_k(1 - \rho/(m + 1))`, ties as in the rule itself,

    .. math:: p_t^{(i)} = \prod_{k \ne i} \#\{\rho : c_k(\rho) \text{ loses to } c_i(t)\} / m

    Neither rises with t, so telling the truth is a best response: exactly, for every m, and for opponents who differ.

    Args:
        mechanism: `Ranking` or `WeightedRanking`.
        agents: n, at least 2.
        items: m.

    Returns:
        `[agents, items]`; position t = 1 comes first. It sums to `items`.

    Raises:
        ValueError: another rule or a softened one, fewer than two agents, no item, or `agents` other than the laws.

    Source: formulas ours [D], for algorithms 1 and 2 of Halpern, Psomas and Zhang; their proofs of theorems 4.1 and A.1 use that
        such numbers exist.

    Example:
        >>> interim(Ranking(), 2, 4).tolist()
        [[1.0, 0.75, 0.5, 0.25], [0.75, 0.5, 0.25, 0.0]]
    """
    for name, count, least in (("agents", agents, 2), ("items", items, 1)):
        require(
            isinstance(count, int | np.integer) and count >= least,
            f"`{name}` must be a whole number, at least {least}; got {count!r}.",
        )
    require(
        getattr(mechanism, "_temperature", None) is None, "`mechanism` is softened; ask about `mechanism.harden()`."
    )
    if isinstance(mechanism, Ranking):
        worse, i = np.arange(items - 1, -1, -1)[None], np.arange(agents)[:, None]
        return jnp.asarray((worse / items) ** i * ((worse + 1) / items) ** (agents - 1 - i))
    if isinstance(mechanism, WeightedRanking):
        count = len(mechanism.laws)
        require(agents == count, f"`agents` is {agents}, but `mechanism` has {count} laws.")
        return _win_by_score(mechanism.rank_scores(int(items)))
    raise ValueError(
        f"`mechanism` must be `Ranking` or `WeightedRanking`, got `{type(mechanism).__name__}`: elsewhere the chance to win "
        "depends on more than the position. Simulate opponents, or use `audit_bic` with a law."
    )


@jax.jit
def _win_by_score(scores: Float[Array, "agents items"]) -> Float[Array, "agents items"]:
    """From the score of each rank: all scores in ascending order, and how many of each agent's lie before a given one."""
    agents, items = scores.shape
    flat = scores.ravel()
    ascending = jnp.sort(flat)
    step = ascending[1:] - ascending[:-1] > tie(scores.dtype) * jnp.abs(ascending[1:])
    level = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(step, dtype=jnp.int32)])
    owner = jnp.repeat(jnp.arange(agents, dtype=jnp.int32), items)
    order = jnp.lexsort(
        (-owner, level[jnp.searchsorted(ascending, flat)])
    )  # of tied scores the lowest index wins: last
    who = owner[order]

    def against(chance: Float[Array, " scores"], k: Int[Array, ""]) -> tuple[Float[Array, " scores"], None]:
        theirs = who == k
        before = jnp.cumsum(theirs, dtype=jnp.int32).astype(flat.dtype)
        return chance * jnp.where(theirs, 1.0, before / items), None

    chance, _ = lax.scan(against, jnp.ones_like(flat), jnp.arange(agents, dtype=jnp.int32))
    return jnp.zeros_like(flat).at[order].set(chance, unique_indices=True).reshape(scores.shape)
