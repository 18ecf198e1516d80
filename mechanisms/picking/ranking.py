"""Ranking: an item goes to whoever ranks it highest among her own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..promises import AbstractPromise, Feasible
from ._bids import ranks, shares_of
from ._promises import bayesian
from ._rule import AbstractPickingRule


class Ranking(AbstractPickingRule):
    """Each item goes to the agent who ranks it highest, the lowest index among equals.

    Knows nothing of the law of values. Bayesian incentive compatible for every number of items when the opponents' values
    are independent over items [P, theorem 4.1; that they may differ between opponents is D], envy-free with high probability and
    (1 − o(1))-efficient for values drawn alike [P]. Not dominant-strategy incentive compatible.

    Softened, agents share an item by a softmax of their ranks, the index rule included (rank + agent/agents), with the
    temperature in units of ranks.

    Source: Halpern, Psomas and Zhang, algorithm 1.

    Example:
        >>> Ranking().allocate(np.array([[3.0, 2.0, 1.0], [1.0, 9.0, 8.0]])).shares.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """

    def _shares(self, bids: Float[Array, "agents items"], prepared: Any = None) -> Float[Array, "agents items"]:
        del prepared
        place, agents = ranks(bids), bids.shape[0]
        if self._temperature is None:
            return shares_of(jnp.argmin(place, 0), agents, bids.dtype)
        later = jnp.asarray(np.arange(agents) / agents, bids.dtype)[:, None]
        return jax.nn.softmax(-(place.astype(bids.dtype) + later) / self._temperature, axis=0)

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Truth is best on average over the others, and shares are feasible."""
        return (bayesian(), Feasible())
