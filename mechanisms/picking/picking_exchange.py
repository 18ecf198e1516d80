"""All truthful rules for two agents: pick from menus, swap endowments, and put such pieces side by side."""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models._check import require
from ..promises import AbstractPromise, Feasible
from ._bids import is_best, ranks, soft_first_best, tie
from ._promises import dominant
from ._rule import AbstractPickingRule
from ._soft_top import soft_top
from ._types import Count


def _indices(name: str, items: Any) -> tuple[int, ...]:
    found = np.asarray(items)
    whole = found.dtype.kind in "iu" or found.size == 0
    require(
        found.ndim == 1 and whole and np.all(found >= 0), f"`{name}` must list item numbers 0, 1, …, got {items!r}."
    )
    require(len(set(found.tolist())) == found.size, f"`{name}` lists an item twice: {items!r}.")
    return tuple(int(j) for j in found)


def _bundles(menu: Any) -> Any:
    require(menu is None or isinstance(menu, list | tuple | np.ndarray), f"`menu` must list bundles, got {menu!r}.")
    return None if menu is None else tuple(_indices("menu", bundle) for bundle in menu)


def _pieces(components: Any) -> Any:
    fine = isinstance(components, list | tuple) and all(isinstance(c, AbstractComponent) for c in components)
    require(fine and components, "`components` must be a list of `Picking` and `Exchange`, at least one.")
    return tuple(components)


class AbstractComponent(AbstractPickingRule):
    """A truthful rule for two agents on some of the items; by itself a mechanism if those are all there are."""

    items: eqx.AbstractVar[tuple[int, ...]]  # what it hands out, in ascending order

    @abc.abstractmethod
    def _first(self, bids: Float[Array, "2 mine"]) -> Float[Array, " mine"]:
        """Shares of agent 0 in `items`, from the bids for them."""

    @property
    def _agents(self) -> int:
        return 2

    def _shares(self, bids: Float[Array, "2 items"], prepared: Any = None) -> Float[Array, "2 items"]:
        del prepared
        _require_partition((self,), bids.shape[-1])
        first = self._first(bids)
        return jnp.stack([first, 1 - first])

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Truth is dominant, and shares are feasible."""
        return (dominant(), Feasible())


class Picking(AbstractComponent):
    """One agent takes her favourite bundle of a menu, the other agent gets the rest of these items.

    Dominant-strategy incentive compatible. Bundles whose bids agree to 1e-12 relative are tied, and the first of the menu
    wins; a menu of all bundles of one size is given by that size and not listed.

    Source: Halpern, Psomas and Zhang, section 3.1 (Amanatidis, Birmpas, Christodoulou and Markakis 2017) [P].

    Args:
        items: the items of this component, by number.
        picker: agent 0 or 1.
        menu: bundles to choose from, each a list of items of this component, maybe empty.
        size: instead of a menu, how many items she takes.

    Raises:
        ValueError: not exactly one of `menu` and `size`, an empty menu, a bundle with other items, or a size out of range.

    Example:
        >>> rule = Picking([0, 1, 2], 1, menu=[[0], [1, 2]])
        >>> rule.allocate(np.array([[1.0, 1.0, 1.0], [5.0, 3.0, 1.0]])).shares[1].tolist()
        [1.0, 0.0, 0.0]
    """

    items: tuple[int, ...] = eqx.field(static=True, converter=lambda x: tuple(sorted(_indices("items", x))))
    picker: Count = eqx.field(static=True)
    menu: tuple[tuple[int, ...], ...] | None = eqx.field(static=True, kw_only=True, default=None, converter=_bundles)
    size: Count | None = eqx.field(static=True, kw_only=True, default=None)

    def __check_init__(self):
        require(
            np.ndim(self.picker) == 0 and self.picker in (0, 1), f"`picker` must be agent 0 or 1, got {self.picker!r}."
        )
        require(self.items, "`items` is empty; a component needs at least one item.")
        require((self.menu is None) != (self.size is None), "Give exactly one of `menu` and `size`.")
        if self.menu is not None:
            require(self.menu, "`menu` is empty; list at least one bundle (the empty bundle is []).")
            strange = [bundle for bundle in self.menu if not set(bundle) <= set(self.items)]
            require(not strange, f"`menu` offers {strange[:1]}, which is not among `items` {self.items}.")
        else:
            require(
                isinstance(self.size, int | np.integer) and 0 <= self.size <= len(self.items),
                f"`size` must be a whole number from 0 to {len(self.items)}, got {self.size!r}.",
            )

    def _first(self, bids: Float[Array, "2 mine"]) -> Float[Array, " mine"]:
        mine = bids[self.picker]
        taken = self._best_of(mine) if self.size is None else self._favourites(mine, self.size)
        return taken if self.picker == 0 else 1 - taken

    def _best_of(self, mine: Float[Array, " mine"]) -> Float[Array, " mine"]:
        bundles = jnp.asarray([[j in bundle for j in self.items] for bundle in self.menu or ()], mine.dtype)
        worth = (bundles @ mine)[:, None]
        if self._temperature is not None:
            return soft_first_best(worth, self._temperature)[:, 0] @ bundles
        return bundles[jnp.argmax(is_best(worth)[:, 0])]

    def _favourites(self, mine: Float[Array, " mine"], size: Count) -> Float[Array, " mine"]:
        place = ranks(mine)
        if self._temperature is None:
            return (place < size).astype(mine.dtype)
        at = (place.astype(mine.dtype) + 0.5) / mine.size
        as_number = lambda x: jnp.asarray(x, mine.dtype)
        return soft_top(jnp.ones_like(mine), at, as_number(size), as_number(self._temperature))


class Exchange(AbstractComponent):
    """Each agent owns a bundle, and the two swap if both want to.

    Dominant-strategy incentive compatible. An agent who is indifferent (to 1e-12 relative) does not trade.

    Source: Halpern, Psomas and Zhang, section 3.1 (Amanatidis, Birmpas, Christodoulou and Markakis 2017) [P].

    Args:
        first: items that agent 0 owns.
        second: items that agent 1 owns.

    Raises:
        ValueError: an endowment is empty, or both own an item.

    Example:
        >>> Exchange([0], [1]).allocate(np.array([[1.0, 2.0], [2.0, 1.0]])).shares.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    first: tuple[int, ...] = eqx.field(static=True, converter=lambda x: _indices("first", x))
    second: tuple[int, ...] = eqx.field(static=True, converter=lambda x: _indices("second", x))

    def __check_init__(self):
        for name in ("first", "second"):
            require(
                getattr(self, name),
                f"`{name}` is empty: nobody swaps for nothing. Use `Picking(items, picker, menu=[…])` instead.",
            )
        both = set(self.first) & set(self.second)
        require(not both, f"`first` and `second` both own item {min(both, default=0)}; endowments must be disjoint.")

    @property
    def items(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The items it hands out, in ascending order."""
        return tuple(sorted(self.first + self.second))

    def _first(self, bids: Float[Array, "2 mine"]) -> Float[Array, " mine"]:
        owned = jnp.asarray([j in self.first for j in self.items], bids.dtype)
        keep, get = bids @ owned, bids @ (1 - owned)
        gain = jnp.stack([get[0] - keep[0], keep[1] - get[1]])
        swap = jnp.prod(self._wants(gain, keep + get))
        return owned * (1 - swap) + (1 - owned) * swap

    def _wants(self, gain: Float[Array, " 2"], whole: Float[Array, " 2"]) -> Float[Array, " 2"]:
        wants = gain > tie(gain.dtype) * whole
        if self._temperature is None:
            return wants.astype(gain.dtype)
        unit = jax.lax.stop_gradient(jnp.where(whole > 0, whole, 1.0))
        # Who is indifferent counts as unwilling by one unit, so that the limit does not trade either.
        gain = gain / unit - ((gain >= 0) & ~wants).astype(gain.dtype)
        return jax.nn.sigmoid(gain / self._temperature)


class PickingExchange(AbstractPickingRule):
    """Picking and exchange components side by side; they partition the items.

    Dominant-strategy incentive compatible, since components are separate and utilities add up. With two agents every
    dominant-strategy incentive compatible rule is of this form (Amanatidis et al. 2017), which is why the bound of theorem 3.1
    holds for all of them. Softened: menus by softmax and swaps by logistic steps, in units of bundles.

    Source: Halpern, Psomas and Zhang, section 3.1 [P].

    Args:
        components: `Picking` and `Exchange` pieces.

    Raises:
        ValueError: there is none, two share an item, or together they leave one out.

    Example:
        >>> rule = PickingExchange([Picking([0, 1], 0, size=1), Exchange([2], [3])])
        >>> rule.allocate(np.array([[1.0, 2.0, 0.0, 1.0], [1.0, 1.0, 3.0, 2.0]])).shares[0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    components: tuple[AbstractComponent, ...] = eqx.field(converter=_pieces)

    def __check_init__(self):
        _require_partition(self.components, sum(len(c.items) for c in self.components))

    @property
    def _agents(self) -> int:
        return 2

    def _shares(self, bids: Float[Array, "2 items"], prepared: Any = None) -> Float[Array, "2 items"]:
        del prepared
        _require_partition(self.components, bids.shape[-1])
        first = jnp.zeros(bids.shape[-1], bids.dtype)
        for component in self.components:
            mine = np.asarray(component.items)
            first = first.at[mine].set(component._first(bids[:, mine]))
        return jnp.stack([first, 1 - first])

    def _at(self, temperature: Any) -> "PickingExchange":
        rule = super()._at(temperature)
        return eqx.tree_at(lambda r: r.components, rule, tuple(c._at(temperature) for c in self.components))

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """Truth is dominant, and shares are feasible."""
        return (dominant(), Feasible())


def _require_partition(components: Sequence[AbstractComponent], items: int) -> None:
    listed = sorted(j for c in components for j in c.items)
    twice = [j for j, k in zip(listed, listed[1:], strict=False) if j == k]
    require(not twice, f"`components` overlap: item {twice[:1]} is in two of them.")
    missing = sorted(set(range(items)) - set(listed))
    require(
        not missing and len(listed) == items,
        f"`components` must cover the {items} items once each; missing are {missing}, strange are "
        f"{sorted(set(listed) - set(range(items)))}.",
    )
