"""Weighted ranking: ranks are turned back into typical values, then the greatest weighted one wins."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from ...models._check import require
from ...models.laws import AbstractLaw
from ...models.laws._many import quantiles
from ..parameters import learned
from ..promises import AbstractPromise, Feasible
from ._bids import first_best, ranks, shares_of, soft_first_best
from ._promises import bayesian
from ._rule import AbstractPickingRule
from ._types import LawList
from ._weights import as_weights
from .weights import equalising_weights, require_regular


class WeightedRanking(AbstractPickingRule):
    r"""Ranking for agents whose values follow laws of their own.

    .. math:: \hat v_{ij} = F_i^{-1}\Bigl(1 - \frac{\mathrm{rank}_i(j)}{m + 1}\Bigr), \quad
        j \text{ goes to } \min \arg\max_i w_i \hat v_{ij}

    Bayesian incentive compatible, exactly and for every number of items [D; the paper's proof claims it strictly, it is weak];
    with equalising weights envy-free with high probability and (1 − ε)-Pareto optimal [P, theorem A.1]. Scores that agree to
    1e-12 relative are tied, and the lowest index wins. Softened, agents share an item by a softmax of their scores, in units of
    the mean best score.

    Source: Halpern, Psomas and Zhang, algorithm 2; its printed pseudo-code lacks two indices, repaired here.

    Args:
        laws: one law of values an agent, regular (see `AbstractLaw.is_regular`).
        weights: `[agents]`, positive; default `equalising_weights(laws).weights`. Learned.

    Raises:
        ValueError: a law is not regular, a weight is not positive, or there are not as many weights as laws.

    Example:
        >>> from fairhand.models import Uniform
        >>> rule = WeightedRanking([Uniform(), Uniform(0.5, 1.0)], [1.0, 2 / 3])
        >>> rule.allocate(np.array([[0.9, 0.1, 0.5], [0.6, 0.7, 0.8]])).shares[0].tolist()
        [1.0, 0.0, 0.0]
    """

    laws: tuple[AbstractLaw, ...]
    weights: Float[Array | np.ndarray, "*draws agents"] = learned(constraints.positive, converter=as_weights)

    def __init__(self, laws: LawList, weights: Any = None):
        require(
            isinstance(laws, list | tuple) and len(laws) >= 2 and all(isinstance(law, AbstractLaw) for law in laws),
            "`laws` must be a list of laws, one an agent and at least two.",
        )
        for i, law in enumerate(laws):
            require_regular(i, law)
        if weights is None:
            weights = _equalising(laws)
        self.laws = tuple(laws)
        self.weights = weights
        self._temperature = None

    def __check_init__(self):
        count = np.shape(self.weights)[-1]
        require(count == len(self.laws), f"`weights` needs one entry a law: got {count} for {len(self.laws)} laws.")

    @property
    def _agents(self) -> int:
        return len(self.laws)

    def rank_scores(self, items: int) -> Float[Array, "agents items"]:
        """Score w_i Q_i(1 − ρ/(m + 1)) of the ranks ρ = 1, …, m, `[agents, items]`."""
        levels = 1 - np.arange(1, items + 1) / (items + 1)
        typical = quantiles(self.laws, np.broadcast_to(levels, (len(self.laws), items)))
        return jnp.asarray(self.weights, typical.dtype)[:, None] * typical

    def _prepare(self, items: int) -> Float[Array, "agents items"]:
        return self.rank_scores(items)

    def _shares(self, bids: Float[Array, "agents items"], prepared: Any) -> Float[Array, "agents items"]:
        scores = jnp.take_along_axis(prepared, ranks(bids), -1).astype(bids.dtype)
        if self._temperature is not None:
            return soft_first_best(scores, self._temperature)
        return shares_of(first_best(scores), bids.shape[0], bids.dtype)

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Truth is best on average over the others, and shares are feasible."""
        return (bayesian(), Feasible())


def _equalising(laws: Sequence[AbstractLaw]) -> Any:
    """Equalising weights; in double precision where the laws are known, or ties would be left to their rounding."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(laws)):
        return equalising_weights(laws).weights
    with jax.enable_x64(True):
        return np.asarray(equalising_weights(laws).weights)
