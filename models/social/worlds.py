"""Who comes, with aversion to being behind and ahead: values are said by the caller, α and β learned from choices."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import dtype_of, require
from ..population import Population
from ..supply import AbstractSupply, Items
from ..world import AbstractWorld, Draws, Roster
from .data import SocialChoiceData


def averse(population: Population, alpha: Any, beta: Any, kind: Any = None) -> Population:
    """The population with α and β, in the dtype of its values, the same in each of its batches."""
    shape = population.values.shape[:-1]
    fit = lambda x: jnp.broadcast_to(jnp.asarray(x, dtype_of(population.values)), shape)
    kind = population.kind if kind is None else jnp.broadcast_to(kind, shape)
    return dataclasses.replace(population, alpha=fit(alpha), beta=fit(beta), kind=kind)


class SocialPeople(AbstractWorld):
    """The people whose choices were seen, with the α and β learned of each. Built by `worlds(same=True)`.

    Args:
        of: who values what, `agents` of them.
        weights: `[agents, 2]`, Fehr and Schmidt's α and β.
    """

    of: AbstractWorld
    weights: Float[Array | np.ndarray, "*draws agents 2"]

    @property
    def serves_the_sample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    def population(self, key: PRNGKeyArray) -> Population:
        weights = jnp.asarray(self.weights)
        return averse(self.of.population(key), weights[:, 0], weights[:, 1])

    def profiles(self) -> tuple[Population, Float[Array, " profiles"]]:
        people, chance = self.of.profiles()
        weights = jnp.asarray(self.weights)
        return averse(people, weights[:, 0], weights[:, 1]), chance


class SocialStrangers(AbstractWorld):
    r"""New people, whose α and β are draws of a normal law: :math:`(\alpha, \beta) = m + L z`. Built by `worlds(new=...)`.

    Args:
        of: who values what.
        mean: `[2]`, of α and β in Fehr and Schmidt's signs. `root`: `[2, 2]`, L; 0 where people are alike.
    """

    of: AbstractWorld
    mean: Float[Array | np.ndarray, "*draws 2"]
    root: Float[Array | np.ndarray, "*draws 2 2"]

    @property
    def serves_the_sample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the values do."""
        return self.of.serves_the_sample

    def population(self, key: PRNGKeyArray) -> Population:
        who, own = jax.random.split(key)
        people, mean = self.of.population(who), jnp.asarray(self.mean)
        z = jax.random.normal(own, (*people.values.shape[:-1], 2), mean.dtype)
        moved = jnp.einsum("ij,...j->...i", jnp.asarray(self.root), z, precision=jax.lax.Precision.HIGHEST)
        weights = jnp.broadcast_to(mean, z.shape) + moved
        return averse(people, weights[..., 0], weights[..., 1])


class SocialTypes(AbstractWorld):
    """People of a few types, each with its α and β; whose type is drawn first. Built by `worlds` of a mixture.

    The type is the `kind` of the population, unless that has kinds already.

    Args:
        of: who values what.
        chance: `[agents or 1, types]`, of strangers the shares of types, of the same people their memberships.
        weights: `[types, 2]`, α and β in Fehr and Schmidt's signs.
        same: whether these are the people whose choices were seen.
    """

    of: AbstractWorld
    chance: Float[Array | np.ndarray, "*draws agents types"]
    weights: Float[Array | np.ndarray, "*draws types 2"]
    same: bool = eqx.field(static=True, default=False)

    @property
    def serves_the_sample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.same or self.of.serves_the_sample

    def population(self, key: PRNGKeyArray) -> Population:
        who, which = jax.random.split(key)
        people, weights = self.of.population(who), jnp.asarray(self.weights)
        shape = people.values.shape[:-1]
        chance = jnp.broadcast_to(jnp.log(jnp.asarray(self.chance)), (*shape, weights.shape[0]))
        kind = jax.random.categorical(which, chance, -1)
        return averse(people, weights[kind, 0], weights[kind, 1], kind if people.kind is None else None)


def build_world(
    data: SocialChoiceData,
    strangers: dict[str, Any],
    people: dict[str, Any],
    *,
    values: Any = None,
    new: int | None = None,
    same: bool = False,
    supply: AbstractSupply | None = None,
    unit: str | None = None,
) -> AbstractWorld:
    """Worlds of a posterior, draws in front: values that are given, α and β that were learned.

    α and β were learned from gaps in payoffs, and a mechanism applies them to gaps in reported values: how values are
    normalised (money, best item 1, sum 1) is for who gives them to say, in `unit`. Welfare is not invariant to it.

    Args:
        data: whose people `same` brings.
        strangers: the law of new people: `mean` and `root`, or `chance` and `weights` of types, draws in front.
        people: of those in the data: `weights`, or `chance` and `weights` of types.
        values: what each item is worth: `[agents, items]`, or a world whose populations come without α and β. A
            posterior's worlds (`Draws`) are paired with these draws, evenly.
        new: how many strangers come. `same`: the people in the data come, in the order of `data.people`.
        supply, unit: what there is to share, and what values are measured in, where `values` is an array; a world says
            both itself. By default `Items()` and `"utils"`.

    Raises:
        ValueError: neither or both of `new` and `same`, no values, another number of agents, α or β already there.
    """
    law = people if same else strangers
    draws = len(np.asarray(next(iter((law or strangers).values()))))
    of, varying = values_world(values, supply, unit, draws, len(data.people), new, same)
    if "root" in law:
        world = SocialStrangers(of, **law)
    elif "chance" in law:
        world = SocialTypes(of, **law, same=same)
    else:
        world = SocialPeople(of, **law)
    spec = jax.tree.map(lambda _: False, world)
    spec = eqx.tree_at(lambda w: [getattr(w, name) for name in law], spec, [True] * len(law))
    if varying is not None:
        spec = eqx.tree_at(lambda w: w.of, spec, varying)
    return Draws(*eqx.partition(world, spec))


def values_world(
    values: Any, supply: Any, unit: Any, draws: int, people: int, new: int | None, same: bool
) -> tuple[AbstractWorld, Any]:
    """A world of values, and which of its leaves have a leading axis of draws (None where none has), after checks.

    Args:
        values, supply, unit, new, same: as in `build_world`, which says what is refused.
        draws: how many worlds there will be. `people`: how many `same` brings.
    """
    require(
        (new is not None) != same,
        "say either `new=` (how many strangers come) or `same=True` (the people in the data).",
    )
    require(
        values is not None,
        "`values` is missing: such data tell what people would give up for others, and not what items are worth; give an "
        "array [agents, items] or a world.",
    )
    of, varying = _values(values, supply, unit, draws)
    wanted = people if same else new
    one = of if varying is None else jax.tree.map(lambda x, yes: x[0] if yes else x, of, varying)
    come = eqx.filter_eval_shape(one.population, jax.random.key(0))
    require(
        come.values.shape[-2] == wanted,
        f"`values` are of {come.values.shape[-2]} agents, and {wanted} come (`{'same=True' if same else 'new'}`): give one row "
        "an agent.",
    )
    require(
        come.alpha is None and come.beta is None,
        "`values` is a world whose people have `alpha` or `beta` already: leave them out of it.",
    )
    return of, varying


def _values(values: Any, supply: Any, unit: Any, draws: int) -> tuple[AbstractWorld, Any]:
    """A world of values, and which of its leaves have a leading axis of draws; None where none has."""
    if not isinstance(values, AbstractWorld):
        array = np.asarray(values)
        require(
            array.ndim == 2 and array.dtype.kind in "fiub",
            f"`values` must be numbers [agents, items], or a world; got shape {array.shape} of {array.dtype}.",
        )
        return Roster(Population(array.astype(float), supply or Items(), unit=unit or "utils")), None
    require(
        supply is None and unit is None, "`supply` and `unit` are said by the world that `values` is: leave them out."
    )
    if not isinstance(values, Draws):
        return values, None
    keep = np.linspace(0, values.num - 1, draws).round().astype(int)
    some = jax.tree.map(lambda x: jnp.asarray(x)[keep], values.varying)
    mark = lambda tree, yes: jax.tree.map(lambda _: yes, tree)
    return eqx.combine(some, values.shared), eqx.combine(mark(some, True), mark(values.shared, False))
