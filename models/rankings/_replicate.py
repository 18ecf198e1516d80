"""Lists that the same people might have given instead."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._check import require
from .data import RankingData
from .reports import AbstractReports, Stable


def replicate(
    worth: Float[Array, "draws _ items"], data: RankingData, reports: AbstractReports, *, key: PRNGKeyArray
) -> Int[Array, "draws rankings places"]:
    """`order` of lists as long as those given, out of the menu or, where omissions say nothing, of the same items.

    Ties are put into an order. Raises `ValueError` under `Stable()`, which models outcomes and no lists.
    """
    require(
        not isinstance(reports, Stable),
        "`Stable()` says nothing of lists, so none can be replicated: look at the posterior under another assumption.",
    )
    listed = data.rank >= 0
    can = jnp.asarray(reports.levels(data) >= 0)
    total = worth + jax.random.gumbel(key, (worth.shape[0], *listed.shape), worth.dtype)
    order = jnp.argsort(-jnp.where(can, total, -jnp.inf), -1)[..., : data.order.shape[1]]
    return jnp.where(jnp.asarray(data.order >= 0), order, -1)
