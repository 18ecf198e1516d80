"""Deferred acceptance: agents propose, options hold the best so far and reject the rest."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import as_array
from ...models.population import Population
from ..base import AbstractMechanism, Allocation
from ..promises import DSIC, Feasible
from ..reports import Orders
from ._priorities import Market, check_priorities, ranks
from ._promises import Stable

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class DeferredAcceptance(AbstractMechanism):
    """Agent-proposing deferred acceptance: the stable matching that every agent likes best.

    All who were rejected propose to their next option at once; each option holds its `quota` highest proposers and
    rejects the others; until nobody is rejected. The order of proposals does not matter to the outcome. Truth is a
    dominant strategy for the agents (not for the options, whose priorities are data here).

    Args:
        priorities: `[options, agents]`, scores, higher is better, −inf is not eligible. The last option may be left
            out when it is free. Data.
        quotas: `[options]`, whole seats; default the supply's capacities, rounded down. Data.
        ties: `"refuse"` them in priorities, or break them by `"index"`, the lower first.

    Returns:
        From `allocate`: 0/1 shares; the certificate's residual counts blocking pairs (and agents unserved), and its
        `cutoff` is the rank of the last admitted at each option, −1 where nobody is. Anybody can check with those.

    Raises:
        ValueError: `priorities` has ties, NaN or a wrong shape, or `quotas` are not whole.

    Not for you when efficiency matters more than respecting priorities: see `TopTradingCycles`.

    Source: Gale and Shapley (1962), Theorems 1 and 2; Dubins and Freedman (1981), Roth (1982) for incentives;
    Abdulkadiroglu and Sonmez (2003) for schools. Supplies and ties in values are as in `ProbabilisticSerial`.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[2.0, 1.0], [2.0, 1.0]]))
        >>> DeferredAcceptance(priorities=[[1.0, 2.0], [1.0, 2.0]]).allocate(wanted).shares.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    deterministic: ClassVar[bool] = True

    priorities: Float[Array | np.ndarray, "... options agents"] = eqx.field(converter=as_array)
    quotas: Float[Array | np.ndarray, "... options"] | None = eqx.field(default=None, converter=as_array)
    ties: str = eqx.field(static=True, default="refuse")

    def __check_init__(self):
        check_priorities(self.priorities, self.quotas, self.ties)

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        del key
        market = Market.of(reported, ranks(self.priorities), self.quotas)
        who = jnp.arange(market.choices.num_agents, dtype=jnp.int32)

        def propose(state):
            tried, _, rounds = state
            held = market.admitted(market.order[who, tried], market.quota)
            return tried + (~held).astype(tried.dtype), jnp.all(held), rounds + 1

        start = (jnp.zeros_like(who), jnp.zeros((), bool), jnp.zeros((), jnp.int32))
        tried, _, rounds = jax.lax.while_loop(lambda s: ~s[1], propose, start)
        choice = market.order[who, tried]
        last = jnp.full_like(market.quota, -1).at[choice].max(market.rank[choice, who])[:-1]
        blocking = market.blocking(choice).sum()
        return market.choices.allocation(choice, blocking, cutoff=last, rounds=rounds)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (DSIC(Orders()), Stable(self.priorities, self.quotas), Feasible(ex_post=True))
