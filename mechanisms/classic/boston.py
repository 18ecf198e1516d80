"""Immediate acceptance, the Boston mechanism: first choices first, and what is given stays given."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import as_array
from ...models.population import Population
from ..base import AbstractMechanism, Allocation
from ..promises import Feasible
from ._priorities import Market, check_priorities, ranks

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class Boston(AbstractMechanism):
    """Immediate acceptance: in round k those still without a seat apply to their k-th choice, for good if admitted.

    Each option admits its highest applicants while it has seats. Many get their *reported* first choice, which is why
    it is popular; but who aims high and fails finds the second choice full, so **truth is not dominant** and the rule
    makes no incentive promise. It is here as the incumbent to compare with.

    Args:
        priorities: `[options, agents]`, scores, higher is better, −inf is not eligible. The last option may be left
            out when it is free. Data.
        quotas: `[options]`, whole seats; default the supply's capacities, rounded down. Data.
        ties: `"refuse"` them in priorities, or break them by `"index"`, the lower first.

    Returns:
        From `allocate`: 0/1 shares; the certificate has the `round` in which each agent was placed, from 1.

    Raises:
        ValueError: `priorities` has ties, NaN or a wrong shape, or `quotas` are not whole.

    Source: Abdulkadiroglu and Sonmez (2003). Supplies and ties in values are as in `ProbabilisticSerial`.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[2.0, 1.0], [2.0, 1.0]]))
        >>> Boston(priorities=[[1.0, 2.0], [1.0, 2.0]]).allocate(wanted).shares.tolist()
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
        agents, nowhere = market.choices.num_agents, market.quota.shape[0]

        def apply(state, wanted):
            choice, placed, left, k = state
            applied = jnp.where(choice < 0, wanted, nowhere)
            taken = market.admitted(applied, left)
            left = left.at[applied].add(-taken.astype(left.dtype), mode="drop")
            return (jnp.where(taken, wanted, choice), jnp.where(taken, k, placed), left, k + 1), None

        nobody = jnp.full(agents, -1, jnp.int32)
        start = (nobody, nobody, market.quota, jnp.ones((), jnp.int32))
        (choice, placed, _, _), _ = jax.lax.scan(apply, start, market.order.T)
        return market.choices.allocation(choice, round=placed)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (Feasible(ex_post=True),)
