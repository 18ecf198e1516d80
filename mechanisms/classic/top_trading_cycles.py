"""Top trading cycles: point at what you like best, and trade around every cycle."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ...models._check import as_array, concrete, require
from ...models.population import Population
from ..base import AbstractMechanism, Allocation
from ..promises import DSIC, Feasible
from ..reports import Orders
from ._choice import advance, as_indices, places
from ._priorities import Market, check_priorities, check_quotas, ranks
from ._promises import Efficient, IndividuallyRational

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class TopTradingCycles(AbstractMechanism):
    """Each agent points at the best option left, each option at its highest agent left; every cycle trades and leaves.

    Truth is dominant, the outcome Pareto efficient, and nobody does worse than what she owns. Priorities are turns to
    trade, not claims to be respected: the outcome need not be stable (see `DeferredAcceptance`).

    Give one of:

    * `endowment`: who owns what (Shapley and Scarf 1974). Options that nobody owns go by index of the agents, "you
      request my house, I get your turn" (Abdulkadiroglu and Sonmez 1999).
    * `priorities`: schools with seats (Abdulkadiroglu and Sonmez 2003).

    An agent who points at nothing, or at an option with seats for everybody, takes it at once and trades nothing away.

    Args:
        endowment: `[agents]`, the option each owns a seat of, −1 for none. Data.
        priorities: `[options, agents]`, scores, higher is better, −inf is not eligible. The last option may be left
            out when it is free. Data.
        quotas: `[options]`, whole seats; default the supply's capacities, rounded down. Data.
        ties: `"refuse"` them in priorities, or break them by `"index"`, the lower first.

    Returns:
        From `allocate`: 0/1 shares; the certificate has the `round` in which each agent left, from 1.

    Raises:
        ValueError: neither or both of `endowment` and `priorities`; ties, NaN or wrong shapes.

    Source: Shapley and Scarf (1974); Roth (1982); Abdulkadiroglu and Sonmez (2003),
    Propositions 3 and 4. Supplies and ties in values are as in `ProbabilisticSerial`.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
        >>> TopTradingCycles(endowment=[0, 1]).allocate(wanted).shares.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    deterministic: ClassVar[bool] = True

    endowment: Int[Array | np.ndarray, "... agents"] | None = eqx.field(default=None, converter=as_indices)
    priorities: Float[Array | np.ndarray, "... options agents"] | None = eqx.field(default=None, converter=as_array)
    quotas: Float[Array | np.ndarray, "... options"] | None = eqx.field(default=None, converter=as_array)
    ties: str = eqx.field(static=True, default="refuse")

    def __check_init__(self):
        require(
            (self.endowment is None) != (self.priorities is None),
            "Give one of `endowment` (who owns what) and `priorities` (`[options, agents]` scores), not both or none.",
        )
        if self.priorities is not None:
            check_priorities(self.priorities, self.quotas, self.ties)
        check_quotas(self.quotas)
        owned = concrete(self.endowment)
        require(
            owned is None or (owned.dtype.kind in "iu" and np.all(owned >= -1)),
            f"`endowment` must be whole indices of options, -1 for none; got {self.endowment}.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        del key
        market = Market.of(reported, self._ranks(reported), self.quotas)
        choice, left_in = _trade(market)
        lost = jnp.zeros((), jnp.int32)
        if self.endowment is not None:
            place, who = places(market.order), jnp.arange(choice.shape[0])
            owned = jnp.where(jnp.asarray(self.endowment) < 0, market.choices.nothing, jnp.asarray(self.endowment))
            lost = jnp.sum(place[who, choice] > place[who, owned])
        return market.choices.allocation(choice, lost, round=left_in)

    def _ranks(self, reported: Population) -> Int[Array, "_ agents"]:
        if self.endowment is None:
            return ranks(self.priorities)
        owned, agents = jnp.asarray(self.endowment), reported.num_agents
        require(owned.shape == (agents,), f"`endowment` is {owned.shape}, but {agents} agents came; use -1 for none.")
        known = concrete(self.endowment)
        require(
            known is None or np.all(known < reported.num_options),
            f"`endowment` names option {0 if known is None else known.max()} of {reported.num_options}.",
        )
        owns = owned[None] == jnp.arange(reported.num_options)[:, None]
        others = owns.sum(1, keepdims=True) + jnp.cumsum(~owns, 1)
        return (jnp.where(owns, jnp.cumsum(owns, 1), others) - 1).astype(jnp.int32)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        common = (DSIC(Orders()), Feasible(ex_post=True), Efficient(ex_post=True))
        return common if self.endowment is None else (*common, IndividuallyRational(self.endowment))


def _trade(market: Market) -> tuple[Int[Array, " agents"], Int[Array, " agents"]]:
    """Each agent's choice, and the round in which she left.

    The arrows from a choice to its head, and on to what the head wants, map choices to choices. After as many steps as
    there are choices every walk is on a cycle, and squaring the map takes only the logarithm of that.
    """
    order, quota = market.order, market.quota
    agents, choices = order.shape
    who, what = jnp.arange(agents, dtype=jnp.int32), jnp.arange(choices, dtype=jnp.int32)
    free = quota >= agents
    queue = jnp.zeros((choices, agents), jnp.int32)
    queue = queue.at[what[:, None], market.rank].set(jnp.broadcast_to(who, queue.shape), mode="drop")

    def trade(state):
        choice, left_in, left, at, first, k = state
        still = choice < 0
        at = advance(at, lambda i: left[order[who, i]] <= 0, choices - 1)
        first = advance(first, lambda i: ~still[queue[what, i]], agents - 1)
        wanted, head = order[who, at], queue[what, first]
        points = still[head] & ~free[wanted[head]]
        arrow = jnp.where(points, wanted[head], what)
        for _ in range((choices - 1).bit_length()):
            arrow = arrow[arrow]
        trades = points & jnp.zeros(choices, bool).at[arrow].set(True)
        leaves = (still & free[wanted]).at[jnp.where(trades, head, agents)].set(True, mode="drop")
        left = left - trades.astype(left.dtype)
        return jnp.where(leaves, wanted, choice), jnp.where(leaves, k, left_in), left, at, first, k + 1

    nobody, zero = jnp.full(agents, -1, jnp.int32), jnp.zeros((), jnp.int32)
    start = (nobody, nobody, quota, jnp.zeros(agents, jnp.int32), jnp.zeros(choices, jnp.int32), zero + 1)
    choice, left_in, *_ = jax.lax.while_loop(lambda s: jnp.any(s[0] < 0), trade, start)
    return choice, left_in
