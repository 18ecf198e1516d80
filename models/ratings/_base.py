"""What all models of ratings share: priors by parameter, what data they refuse, and how worlds are built of their laws."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from ..laws import AbstractLaw
from ..own_laws import OwnLaws
from ..population import Population
from ..supply import AbstractSupply, Items
from ..world import AbstractWorld, Draws, Roster
from ._density import log_density
from ._ordinal import RANKS, WHY
from .data import RatingData
from .families import Family, family_of
from .worlds import SameAgents, quantiles

Sites = Mapping[str, Any]


class AbstractRatingModel(eqx.Module):
    """A model of ratings: value laws of a family with unknown parameters, and how ratings come of values."""

    data_type: ClassVar[type] = RatingData
    other_data: ClassVar[str] = f"What people picked orders items and no more. {RANKS} {WHY}"
    #: The variable of the data that `log_densities` explains, and its dimension.
    observation: eqx.AbstractClassVar[tuple[str, str]]
    family: eqx.AbstractVar[str]

    @abc.abstractmethod
    def laws(self, sites: Sites, data: RatingData) -> AbstractLaw | tuple[AbstractLaw, ...]:
        """The common law, or one law per agent; leaves carry the axis of draws."""

    @abc.abstractmethod
    def values(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws agents items"]:
        """What the items of the data are worth to the agents of the data, one draw each, given their ratings."""

    @abc.abstractmethod
    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        """Ratings that might have been given instead, in the order of `data.observed()`, one set a draw."""

    @abc.abstractmethod
    def strangers(self, sites: Sites, agents: int, items: int, supply: AbstractSupply) -> Draws:
        """Agents nobody has met."""

    @abc.abstractmethod
    def correlation(self, sites: Sites) -> Float[np.ndarray, "draws agents agents"] | None:
        """Correlation of the agents' normal scores; None where they are independent."""

    def worlds(
        self,
        sites: Sites,
        data: RatingData,
        *,
        agents: int | None = None,
        items: int | None = None,
        same: bool = False,
        supply: AbstractSupply | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Draws:
        """Who comes, one world a draw.

        Args:
            sites: draws of the posterior. `data`: what was fitted.
            agents: how many strangers come; `items`: how many items there are, new to all.
            same: the agents of the data come instead. With `items`, to that many new items; without, to the items of the
                data, valued as they rated them, with what is unknown drawn from its posterior.
            supply: what there is to share; None is `Items()`.
            key: for those draws; `jax.random.key(0)` by default.

        Raises:
            ValueError: neither or both of `agents` and `same`, or no `items` for strangers.
        """
        supply = Items() if supply is None else supply
        require(
            (agents is None) == same,
            "say either `agents=`, how many strangers come, or `same=True` for the agents who gave the ratings.",
        )
        if not same:
            require(items is not None, "`items=` is needed: how many items the strangers find.")
            return self.strangers(sites, int(agents), int(items), supply)  # pyright: ignore[reportArgumentType]
        if items is not None:
            tie, laws = self.correlation(sites), by_agent(self, sites, data)
            world: AbstractWorld = SameAgents(OwnLaws(laws, items, tie, supply))
            return Draws.of(world, lambda w: [*w.own.laws, *([] if tie is None else [w.own.correlation])])
        values = self.values(sites, data, key=jax.random.key(0) if key is None else key)
        return Draws.of(Roster(Population(values, supply)), lambda w: [w.people.values])


def by_agent(model: AbstractRatingModel, sites: Sites, data: RatingData) -> tuple[AbstractLaw, ...]:
    """One law per agent, leaves `[draws]`."""
    found = model.laws(sites, data)
    return found if isinstance(found, tuple) else (found,) * len(data.agents)


def own_laws(model: AbstractRatingModel, sites: Sites, data: RatingData) -> AbstractLaw:
    """One law per agent, leaves `[draws, agents]`."""
    each = by_agent(model, sites, data)
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves], 1), *each)


@compiled
def log_densities(family: str, sites: Any, values: Any) -> Float[Array, "draws ratings"]:
    """Log density of exact values, by the law of each draw of `sites`, `[draws]` or `[draws, ratings]`."""
    return jax.vmap(lambda s: log_density(family_of(family).law(s), values))(sites)


@compiled
def drawn(own: AbstractLaw, items: int, key: PRNGKeyArray) -> Float[Array, "draws agents items"]:
    """Independent values of every agent for every item, by laws with leaves `[draws, agents]`."""
    shape = jax.tree.leaves(own)[0].shape
    dtype = jnp.result_type(float)
    u = jax.random.uniform(key, (*shape, items), dtype, minval=jnp.finfo(dtype).tiny)
    return jax.vmap(quantiles)(own, u)


def uniform(key: PRNGKeyArray, like: Any) -> Float[Array, " ratings"]:
    """Uniform numbers in the shape of `like`, never 0."""
    dtype = jnp.result_type(float)
    return jax.random.uniform(key, jnp.shape(like), dtype, minval=jnp.finfo(dtype).tiny)


def simulated(law: AbstractLaw, u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Values at the quantiles `u` of a law on [0, 1], inside compiled programs.

    A value so near an end that no number tells it from the end is the number next to the end: there the density of some
    laws is infinite.
    """
    x = law.quantile(u)
    info = jnp.finfo(x.dtype)
    return jnp.clip(x, info.tiny, 1 - info.epsneg)


def check_data(model: AbstractRatingModel, data: Any, *, exact: bool) -> tuple[str, ...]:
    """Refuse data that say nothing of the model; note what no data can say.

    Args:
        model: the model. `data`: the ratings.
        exact: whether the ratings are taken as the values themselves.
    """
    require(
        isinstance(data, RatingData),
        f"`data` must be `RatingData`; got {type(data).__name__}. What people picked orders items and no more. {RANKS} {WHY}",
    )
    family, name = family_of(model.family), data.source
    notes = [
        f"A rating of {data.scale[0]:g}, the low end of the scale, is taken to be worth nothing: no data can tell."
    ]
    silent = [a for a, some in zip(data.agents, data.rated.any(1), strict=True) if not some]
    if silent:
        notes.append(f"Agents {', '.join(silent[:5])} rated nothing: only the law that all share speaks of them.")
    if exact:
        require(
            data.steps is None,
            f"{name}: `steps` say that ratings are rounded, and {type(model).__name__} takes them as exact: fit "
            "`NoisyRatings`, or leave `steps` out.",
        )
        _check_ends(family, data)
        given = data.ratings[data.rated]
        if len(np.unique(given)) < len(given) / 2:
            notes.append(
                f"{len(given)} ratings take only {len(np.unique(given))} values, and a continuous law has no ties: if they "
                "are rounded, say `steps` and fit `NoisyRatings`."
            )
    return tuple(notes)


def _check_ends(family: Family, data: RatingData) -> None:
    for end, closed in zip((0.0, 1.0), family.open_ends, strict=True):
        at = np.argwhere(data.values == end)
        if closed and len(at):
            i, j = at[0]
            raise ValueError(
                f"{data.source}: the rating of item `{data.items[j]}` by agent `{data.agents[i]}` is "
                f"{data.ratings[i, j]:g}, an end of `scale` {data.scale}, which no exact value of the family "
                f"{family.name!r} can be: fit `NoisyRatings`, which takes it as a value near the end, or widen `scale`."
            )
