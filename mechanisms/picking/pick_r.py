"""Pick-r: agents take turns, each her favourites of what is left, up to her quota."""

import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from ...models._check import concrete, require
from ..parameters import learned
from ..promises import AbstractPromise, Feasible
from ._bids import ranks, shares_of
from ._favourites import TAKEN, favourites, keys_of
from ._fractions import as_quotas, as_r, quotas
from ._promises import dominant
from ._rule import AbstractPickingRule
from ._soft_top import soft_top


def _optional_r(r: Any) -> Any:
    return None if r is None else as_r(r)


def _optional_quotas(t: Any) -> Any:
    return None if t is None else tuple(as_quotas(t).tolist())


def _optional_order(order: Any) -> Any:
    require(order is None or np.ndim(order) == 1, f"`order` must list the agents, got {order!r}.")
    return None if order is None else tuple(np.asarray(order).tolist())


class PickR(AbstractPickingRule):
    r"""Quota serial dictatorship: the k-th picker takes her :math:`t_k` favourites of what is left.

    .. math:: t_k = \lfloor m \sum_{l \le k} r_l \rfloor - \lfloor m \sum_{l < k} r_l \rfloor

    Dominant-strategy incentive compatible for every r that does not depend on the bids it will serve [P]; choosing r from
    those very bids destroys that. Bids count by their order only, and of equal bids the lowest index is taken first.

    Softened, each picker's cut between taken and left is a logistic step in the rank of an item among her bids, in units of
    all items; the total stays her quota. Its gradient in r moves the item at the cut, which falls to the exact quantile
    gradient as the temperature falls [D].

    Source: Halpern, Psomas and Zhang, definition 3.4 (quota serial dictatorship of Pápai 2000) [P].

    Args:
        r: `[agents]`, fraction of the items of each picker, sums to 1; a bare number is the first of two. Learned.
        quotas: `[agents]`, whole numbers of items instead.
        order: `[agents]`, which agent picks k-th; default 0, 1, ….

    Raises:
        ValueError: not exactly one of `r` and `quotas`, r is no probability vector, quotas are not whole, or `order` is not a
            permutation of the agents; and in `allocate` where bids do not fit them.

    Example:
        >>> bids = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 2.0]])
        >>> PickR(0.25).allocate(bids).shares.tolist()
        [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]]
        >>> PickR(quotas=[1, 3], order=[1, 0]).allocate(bids).shares[1].tolist()
        [1.0, 0.0, 0.0, 0.0]
    """

    r: Float[Array | np.ndarray, "*draws agents"] | None = learned(
        constraints.simplex, converter=_optional_r, default=None
    )
    quotas: tuple[int, ...] | None = eqx.field(static=True, kw_only=True, default=None, converter=_optional_quotas)
    order: tuple[int, ...] | None = eqx.field(static=True, kw_only=True, default=None, converter=_optional_order)

    def __check_init__(self):
        require(
            (self.r is None) != (self.quotas is None),
            "Give exactly one of `r` (fractions of the items) and `quotas` (numbers of items).",
        )
        require(
            self.quotas is None or len(self.quotas) >= 2, f"`quotas` needs at least two pickers, got {self.quotas}."
        )
        n = self.agents
        require(
            self.order is None or sorted(self.order) == list(range(n)),
            f"`order` must name each of the {n} agents once, got {self.order}.",
        )

    @property
    def agents(self) -> int:
        """How many agents the rule is for."""
        return len(self.quotas) if self.r is None else self.r.shape[-1]  # pyright: ignore[reportArgumentType]

    def counts(self, items: int) -> Int[Array | np.ndarray, " agents"]:
        """Quotas t `[agents]` for so many items, by place in the order.

        Raises:
            ValueError: fixed `quotas` do not sum to `items`.
        """
        if self.quotas is not None:
            return as_quotas(self.quotas, items)
        return quotas(self.r, items)

    @property
    def _agents(self) -> int:
        return self.agents

    def _prepare(self, items: int) -> Int[Array, " agents"]:
        counts = self.counts(items)
        known, r = concrete(counts), concrete(self.r)
        if known is not None and r is not None and np.any((known == 0) & (r > 0)):
            none = np.flatnonzero((known == 0) & (r > 0)).tolist()
            warnings.warn(f"The pickers at places {none} of the order get none of the {items} items.", stacklevel=4)
        return jnp.asarray(counts)

    def _shares(self, bids: Float[Array, "agents items"], prepared: Any) -> Float[Array, "agents items"]:
        counts = prepared
        turn = _pick if self._temperature is None else self._soft
        if self.order is None:
            return turn(bids, counts)
        return turn(bids[np.asarray(self.order)], counts)[np.argsort(self.order)]

    def _soft(self, bids: Float[Array, "agents items"], counts: Int[Array, " agents"]) -> Float[Array, "agents items"]:
        m = bids.shape[-1]
        wanted = counts.astype(bids.dtype)
        if self.r is not None:
            real = m * jnp.asarray(self.r, bids.dtype)
            wanted = wanted + real - lax.stop_gradient(real)
        place = (ranks(bids).astype(bids.dtype) + 0.5) / m
        temperature = jnp.asarray(self._temperature, bids.dtype)

        def turn(left, x):
            place, wanted = x
            taken = soft_top(left, place, wanted, temperature)
            return left - taken, taken

        rest, taken = lax.scan(turn, jnp.ones(m, bids.dtype), (place[:-1], wanted[:-1]))
        return jnp.concatenate([taken, rest[None]])

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Truth is dominant, and shares are feasible."""
        return (dominant(), Feasible())


def _pick(bids: Float[Array, "agents items"], counts: Int[Array, " agents"]) -> Float[Array, "agents items"]:
    agents, items = bids.shape
    keys = keys_of(bids)

    def turn(i, owner):
        return jnp.where(favourites(jnp.where(owner == agents, keys[i], TAKEN), counts[i]), i, owner)

    nobody = jnp.full(items, agents, jnp.int32)
    return shares_of(lax.fori_loop(0, agents, turn, nobody), agents, bids.dtype)
