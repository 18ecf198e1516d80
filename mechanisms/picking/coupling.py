r"""What Pick-r gives when there are many items: it hands out nearly the same items as quantile thresholds, which are exact.

Pick-r fixes how many items each agent takes, QT-s how good they must be. With s = r / R the two differ on few items
(`mismatch_bound`), so that welfare and envy per item tend to those of QT-s, which are tail integrals of the law (`asymptotics`).
"""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...models._check import require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_r
from ._laws import check_law, count
from ._types import Count, Law


class Asymptotics(eqx.Module):
    """Per item, in the limit of many items.

    Attributes:
        s: `[agents]`, fraction of what is left that each picker takes.
        welfare: expected welfare, in units of the values.
        ratio: welfare over that of the best allocation.
        margins: `[agents, agents]`, by how much i values her own bundle more than j's; +inf on the diagonal.
    """

    s: Float[Array, " agents"]
    welfare: Float[Array, ""]
    ratio: Float[Array, ""]
    margins: Float[Array, "agents agents"]


def asymptotics(r: Any, law: Law) -> Asymptotics:
    r"""Welfare, welfare ratio and envy margins of Pick-r per item, in the limit of many items.

    .. math::
        \text{welfare} = \sum_i R_i\, T(1 - s_i), \qquad \text{ratio} = \text{welfare} / E \max_i X_i, \qquad
        \text{margin}_{ij} = r_i E[X | X \ge Q(1 - s_i)] - r_j
        \begin{cases} E[X | X \le Q(1 - s_i)] & i < j \\ E X & i > j \end{cases}

    with T the upper tail integral. Welfare and ratio are exact for QT-s at every number of items. If all margins are positive
    Pick-r is envy-free with high probability; if one is negative it is not. **At a margin of zero it is not either**: the
    chance tends to a constant below 1, such as 1/n for the last agent of an equal split [D]; the paper states "iff" and proves
    sufficiency.

    Differentiable in r and in the law's parameters; where some r_i is 0 too.

    Args:
        r: `[agents]`, fraction of all items by place in the order; a bare number is the first of two.
        law: the law of all values.

    Returns:
        `s`, `welfare`, `ratio` and `margins`.

    Raises:
        ValueError: `r` is no probability vector, or the law is constant or has negative values.

    Warns:
        UserWarning: the law is unbounded or has atoms, so that the limits are not claimed.

    Source: Halpern, Psomas and Zhang, lemma 3.6 (2) and (3) [P]; thresholds read as quantiles, where appendix D mixes them with
        values.

    Example:
        >>> from fairhand.models import Uniform
        >>> found = asymptotics([0.5, 0.5], Uniform())
        >>> float(found.welfare), float(found.ratio), found.margins.tolist()
        (0.625, 0.9375, [[inf, 0.25], [0.0, inf]])
    """
    r = as_r(r)
    require(
        np.ndim(r) == 1, f"`r` must be one vector [agents], got shape {np.shape(r)}; map over batches with `jax.vmap`."
    )
    check_law(law)
    return limits(jnp.asarray(r), law)


@compiled
def limits(r: Float[Array, " agents"], law: AbstractLaw) -> Asymptotics:
    """`asymptotics` without a word about its arguments."""
    n = r.shape[0]
    # Summed from the end, what is left is precise where it is small; a zero there takes no derivative with it.
    left = lax.cumsum(r, reverse=True)
    after = jnp.append(left[1:], jnp.zeros_like(r[:1]))
    s = jnp.where(left > 0, r / jnp.where(left > 0, left, 1.0), 1.0).at[-1].set(1.0)
    held = law.tail_integral(1 - s)
    mean = law.mean
    own = left * held
    welfare = jnp.sum(own)
    # r_j E[X | X ≤ Q(1 − s_i)] is the share r_j / R_{i+1} of what i leaves, and no small number divides another.
    some = after > 0
    share = jnp.where(some[:, None], r[None] / jnp.where(some, after, 1.0)[:, None], 0.0)
    later = share * (left * (mean - held))[:, None]
    i, j = np.arange(n)[:, None], np.arange(n)[None]
    margins = own[:, None] - jnp.where(i < j, later, (mean * r)[None])
    return Asymptotics(s, welfare, welfare / law.expected_max(n), jnp.where(i == j, jnp.inf, margins))


def mismatch_bound(agents: Count, items: Count) -> float:
    r"""On how many items Pick-r and QT-s differ at most, with probability at least 1 − 2 agents / items².

    .. math:: n^2 C / 2, \qquad C = \sqrt{m \log m} + 1

    The paper bounds the symmetric differences of the bundles, n² C in sum, in which every differing item counts twice.

    Args:
        agents: n, at least 2.
        items: m, at least 1.

    Returns:
        The bound; it says something once it is below `items`.

    Raises:
        ValueError: fewer than two agents or no item.

    Source: Halpern, Psomas and Zhang, lemma 3.6 (1) and appendix D [P].

    Example:
        >>> round(mismatch_bound(2, 10_000), 1)
        609.0
    """
    agents, items = count(agents, "agents", 2), count(items, "items", 1)
    return agents**2 * (math.sqrt(items * math.log(items)) + 1) / 2
