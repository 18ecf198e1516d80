"""Quantile thresholds: an item goes to the first agent who values it highly enough. What Pick-r tends to, and not truthful."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...models._check import concrete, require
from ...models.laws import AbstractLaw
from ..parameters import learned
from ..promises import AbstractPromise, Feasible
from ._bids import shares_of
from ._fractions import as_s, s_to_r, thresholds
from ._rule import AbstractPickingRule
from .pick_r import PickR


class QuantileThreshold(AbstractPickingRule):
    r"""Item j goes to the first agent i with :math:`F(v_{ij}) \ge 1 - s_i`.

    An analysis device, exact where Pick-r is asymptotic: agent i gets each item with probability r_i, independently over
    items (lemma 3.6) [P]. It is **not** truthful, since the first agent may claim everything; `coupled` is the truthful rule.

    Softened, an agent accepts with probability σ((F(v) − (1 − s)) / T), the last one with probability exactly 1.

    Source: Halpern, Psomas and Zhang, definition 3.5.

    Args:
        s: `[agents]`, upper tail mass that each agent accepts, in [0, 1], the last one 1. Learned.
        law: law of all values, without atoms.

    Raises:
        ValueError: s leaves [0, 1] or does not end with 1, or the law has atoms, which no threshold can split.

    Example:
        >>> from fairhand.models import Uniform
        >>> QuantileThreshold([0.5, 1.0], Uniform()).allocate(np.array([[0.6, 0.4], [0.9, 0.1]])).shares.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    s: Float[Array | np.ndarray, "*draws agents"] = learned(thresholds, converter=as_s)
    law: AbstractLaw  # pyright: ignore[reportGeneralTypeIssues]  `s` has no default

    def __check_init__(self):
        require(isinstance(self.law, AbstractLaw), f"`law` must be a law of values, got {type(self.law).__name__}.")
        require(
            self.law.atoms.shape[-1] == 0,
            "`law` has atoms, and no threshold takes a part of an atom. Smooth it (`PiecewiseLinear`) or use `PickR`.",
        )

    @property
    def _agents(self) -> int:
        return np.shape(self.s)[-1]

    @property
    def coupled(self) -> PickR:
        """The truthful rule that hands out nearly the same items: Pick-r with r_i = s_i R_i (lemma 3.6)."""
        known = concrete(self.s)
        return PickR(s_to_r(self.s) if known is None else np.asarray(s_to_r(known)))

    def _prepare(self, items: int) -> Float[Array, " agents"]:
        del items
        return cuts(self.s, self.law)

    def _shares(self, bids: Float[Array, "agents items"], prepared: Any) -> Float[Array, "agents items"]:
        if self._temperature is None:
            accept = bids >= prepared.astype(bids.dtype)[:, None]
            return shares_of(first_accepting(accept), bids.shape[0], bids.dtype)
        level = self.law.cdf(bids).astype(bids.dtype)
        over = level - (1 - jnp.asarray(self.s, bids.dtype))[:, None]
        over = jnp.where(over == 0, 1.0, over)  # who is exactly at the threshold accepts, and the limit must too
        take = jax.nn.sigmoid(over / self._temperature).at[-1].set(1.0)
        passed = jnp.cumprod(1 - take[:-1], 0)
        return take * jnp.concatenate([jnp.ones_like(take[:1]), passed])

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Feasible shares; nothing about incentives."""
        return (Feasible(),)


def cuts(s: Any, law: AbstractLaw) -> Float[Array, " agents"]:
    """Least values accepted: F(v) ≥ 1 − s is v ≥ Q(1 − s) for every law, one quantile an agent and none an item."""
    s = jnp.asarray(s)
    return jnp.where(s < 1, law.quantile(1 - s), -jnp.inf)


def first_accepting(accept: Bool[Array, "*batch agents items"]) -> Int[Array, "*batch items"]:
    """Index of the first agent who accepts, `[..., items]`; the last one accepts everything."""
    agents = accept.shape[-2]
    index = jnp.broadcast_to(jnp.arange(agents, dtype=jnp.int32)[:, None], accept.shape[-2:])
    return jnp.min(jnp.where(accept, jnp.broadcast_to(index, accept.shape), agents - 1), -2)
