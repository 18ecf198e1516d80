"""The welfare maximiser: efficient, and an invitation to lie."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ..parameters import learned
from ..promises import AbstractPromise, Feasible
from ._bids import first_best, shares_of, soft_first_best
from ._rule import AbstractPickingRule
from ._weights import as_weights


def _optional_weights(weights: Any) -> Any:
    return None if weights is None else as_weights(weights)


class WelfareMax(AbstractPickingRule):
    """Each item goes to the agent whose weighted bid is greatest: the benchmark of every truthful rule.

    Envy-free with high probability for values drawn alike, and fractionally Pareto optimal on the bids; it promises nothing
    about incentives, since inflated bids win everything. Equal bids, or weighted bids that agree to 1e-12 relative (to
    rounding in single precision), are tied, and the lowest index wins. Softened, agents share an item by a softmax, in units
    of the mean best bid.

    Source: Halpern, Psomas and Zhang, sections 2 and 4, where it is the benchmark.

    Args:
        weights: `[agents]`, positive; default all 1. Learned.

    Raises:
        ValueError: a weight is not positive and finite.

    Example:
        >>> WelfareMax().allocate(np.array([[3.0, 2.0], [1.0, 9.0]])).shares.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    weights: Float[Array | np.ndarray, "*draws agents"] | None = learned(
        constraints.positive, converter=_optional_weights, default=None
    )

    @property
    def _agents(self) -> int | None:
        return None if self.weights is None else np.shape(self.weights)[-1]

    def _shares(self, bids: Float[Array, "agents items"], prepared: Any = None) -> Float[Array, "agents items"]:
        del prepared
        scores = bids if self.weights is None else jnp.asarray(self.weights, bids.dtype)[:, None] * bids
        if self._temperature is not None:
            return soft_first_best(scores, self._temperature)
        owner = jnp.argmax(bids, 0) if self.weights is None else first_best(scores)
        return shares_of(owner, bids.shape[0], bids.dtype)

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        return (Feasible(),)
