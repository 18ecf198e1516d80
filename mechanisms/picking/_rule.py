"""What all rules of this room share: bids in, shares out, and a softer relative to train on."""

import abc
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import as_array, concrete, require
from ...models._compiled import compiled
from ..base import AbstractMechanism, Allocation
from ._bids import allocation, bids_of


class AbstractPickingRule(AbstractMechanism):
    """A rule that gives every item to exactly one agent, and tosses no coins.

    Subclasses write `_shares` for one population, and read `_temperature`: None for the rule itself. What depends on the
    number of items alone is computed by `_prepare`, outside the compiled program, in the precision of the rule's own numbers.
    """

    deterministic = True
    _temperature: Float[Array | np.ndarray, ""] | float | None = eqx.field(init=False, default_factory=lambda: None)

    def _prepare(self, items: int) -> Any:
        """What `_shares` needs to know besides the bids."""
        del items

    @abc.abstractmethod
    def _shares(self, bids: Float[Array, "agents items"], prepared: Any) -> Float[Array, "agents items"]:
        """Shares of one population, in {0, 1}, or in [0, 1] when softened."""

    @property
    def _agents(self) -> int | None:
        """How many agents the rule is for, where it is for so many only."""
        return None

    def allocate(  # pyright: ignore[reportIncompatibleMethodOverride]  bids are values too, in this room
        self, values: Any, key: PRNGKeyArray | None = None
    ) -> Allocation:
        """Who gets what.

        Args:
            values: bids `[..., agents, items]`, not negative: a population, or a plain array of any real dtype.
            key: ignored, the rule tosses no coins.

        Returns:
            Shares `[..., agents, items]` in {0, 1}, each item once; in [0, 1] when softened.

        Raises:
            ValueError: the bids have fewer than two axes or agents, no item, or an entry that is negative, NaN or infinite.
        """
        del key
        bids = bids_of(values, self._agents)
        return allocation(values, bids, _run(self, bids, self._prepare(bids.shape[-1])))

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> "AbstractPickingRule":
        """The rule with shares in [0, 1] that tend to its own as `temperature` falls; the class says in which unit."""
        temperature = as_array(temperature)
        known = concrete(temperature)
        require(known is None or np.all(known > 0), f"`temperature` must be positive, got {temperature}; see `harden`.")
        return self._at(temperature)

    def harden(self) -> "AbstractPickingRule":
        """The rule itself."""
        return self if self._temperature is None else self._at(None)

    def _at(self, temperature: Any) -> Any:
        return eqx.tree_at(lambda rule: rule._temperature, self, temperature, is_leaf=lambda x: x is None)


@compiled
def _run(rule: AbstractPickingRule, bids: Float[Array, "*batch agents items"], prepared: Any) -> Array:
    if bids.ndim == 2:
        return rule._shares(bids, prepared)
    one = lambda b: rule._shares(b, prepared)
    return jax.vmap(one)(bids.reshape(-1, *bids.shape[-2:])).reshape(bids.shape)
