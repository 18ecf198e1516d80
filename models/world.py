"""One full account of who comes: a sampler of populations, and where finite the whole distribution."""

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ._check import as_array, concrete, dtype_of, require
from .laws import AbstractLaw
from .population import Population
from .supply import AbstractSupply, Items


class AbstractWorld(eqx.Module):
    """A distribution over populations, a pytree in its parameters; a posterior is `Draws` of it."""

    #: The populations are the very people a rule will serve: tuning on them destroys incentive promises.
    serves_the_sample: ClassVar[bool] = False

    @abc.abstractmethod
    def population(self, key: PRNGKeyArray) -> Population:
        """One draw of who comes."""

    def profiles(self) -> tuple[Population, Float[Array, " profiles"]]:
        """Every population there can be, as a batch, and its probabilities, where there are finitely many."""
        raise ValueError(
            f"`{type(self).__name__}` has no finite list of populations; pass `key` and `populations` to sample instead."
        )


class Draws(AbstractWorld):
    """Worlds with a leading axis of draws: what a posterior knows. As a world it is their mixture.

    Build it with `Draws.of(world, where)`, naming the leaves that carry the axis; the rest is shared by all draws.

    Example:
        >>> from fairhand.models import Independent, Uniform
        >>> worlds = Draws.of(Independent(Uniform(0.0, np.array([1.0, 2.0])), 3, 4), lambda w: [w.law.high])
        >>> worlds.num, worlds.one(1).population(jax.random.key(0)).values.shape
        (2, (3, 4))
    """

    varying: AbstractWorld
    shared: AbstractWorld

    @classmethod
    def of(cls, world: AbstractWorld, where: Callable[[Any], Sequence[Any]]) -> "Draws":
        """Split `world` into leaves `where(world)`, all with the same leading axis, and the rest."""
        nothing = jax.tree.map(lambda _: False, world)
        spec = eqx.tree_at(where, nothing, [jax.tree.map(lambda _: True, leaf) for leaf in where(world)])
        varying, shared = eqx.partition(world, spec)
        sizes = {np.shape(x)[:1] for x in jax.tree.leaves(varying)}
        require(
            len(sizes) == 1 and () not in sizes,
            f"`where` must name arrays with one common leading axis of draws; their leading axes are {sorted(sizes)}.",
        )
        return cls(varying, shared)

    @property
    def num(self) -> int:
        """How many draws."""
        return jax.tree.leaves(self.varying)[0].shape[0]

    @property
    def serves_the_sample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the worlds themselves."""
        return self.shared.serves_the_sample

    def one(self, index: int | Array) -> AbstractWorld:
        """World of one draw; `index` may be traced."""
        return eqx.combine(jax.tree.map(lambda x: jnp.asarray(x)[index], self.varying), self.shared)

    def thin(self, num: int) -> "Draws":
        """`num` draws, evenly spaced."""
        keep = np.linspace(0, self.num - 1, min(num, self.num)).round().astype(int)
        return Draws(jax.tree.map(lambda x: x[keep], self.varying), self.shared)

    def population(self, key: PRNGKeyArray) -> Population:
        which, rest = jax.random.split(key)
        return self.one(jax.random.randint(which, (), 0, self.num)).population(rest)


class Roster(AbstractWorld):
    """One known population: the people on the list, reports and all.

    Example:
        >>> world = Roster(Population(jnp.eye(2)))
        >>> world.population(jax.random.key(0)).num_agents
        2
    """

    serves_the_sample: ClassVar[bool] = True
    people: Population

    def population(self, key: PRNGKeyArray) -> Population:
        del key
        return self.people

    def profiles(self) -> tuple[Population, Float[Array, " profiles"]]:
        return jax.tree.map(lambda x: x[None], self.people), jnp.ones(1, dtype_of(self.people.values))


class Independent(AbstractWorld):
    """Agents whose values are independent draws of one law.

    Args:
        law: the law of each value, in `unit`.
        agents: how many come.
        options: how many options there are.
        supply: what there is to share; default `Items()`.
        alpha: scalar or `[agents]`, Fehr–Schmidt aversion to being behind.
        beta: the same, to being ahead.

    Raises:
        ValueError: `agents` or `options` is less than one.

    Example:
        >>> from fairhand.models import Independent, Uniform
        >>> Independent(Uniform(), agents=3, options=5).population(jax.random.key(0)).values.shape
        (3, 5)
    """

    law: AbstractLaw
    agents: int = eqx.field(static=True)
    options: int = eqx.field(static=True)
    supply: AbstractSupply = Items()
    alpha: Float[Array | np.ndarray, "..."] | None = None
    beta: Float[Array | np.ndarray, "..."] | None = None

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}.")
        require(self.options >= 1, f"`options` must be at least 1, got {self.options}.")

    def population(self, key: PRNGKeyArray) -> Population:
        values = self.law.sample((self.agents, self.options), key=key)
        every = lambda x: None if x is None else jnp.broadcast_to(x, (self.agents,))
        return Population(values, self.supply, alpha=every(self.alpha), beta=every(self.beta))


class TypeTable(AbstractWorld):
    """Agents draw independent types from a finite table; a type says what each option is worth.

    Args:
        chance: `[types]`, probability of each type.
        worth: `[types, options]`, values of a type.
        agents: how many come.
        supply: what there is to share; default `Items()`.

    Raises:
        ValueError: `chance` is not a probability vector, or does not fit `worth`.

    Example:
        >>> world = TypeTable(jnp.array([0.5, 0.5]), jnp.array([[1.0], [2.0]]), agents=2)
        >>> world.profiles()[1].tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    chance: Float[Array | np.ndarray, "... types"] = eqx.field(converter=as_array)
    worth: Float[Array | np.ndarray, "... types options"] = eqx.field(converter=as_array)
    agents: int = eqx.field(static=True)
    supply: AbstractSupply = Items()

    def __check_init__(self):
        chance = concrete(self.chance)
        if chance is not None and chance.ndim >= 1:
            total = chance.sum(-1)
            require(
                np.all(chance >= 0) and np.all(abs(total - 1) < 1e-5),
                f"`chance` must be nonnegative and sum to 1; it sums to {total}.",
            )
            require(
                np.shape(self.worth)[-2] == chance.shape[-1],
                f"`worth` must have a row for each of the {chance.shape[-1]} types; got {np.shape(self.worth)}.",
            )

    def _of(self, kind) -> Population:
        return Population(jnp.asarray(self.worth)[kind], self.supply, kind=kind)

    def population(self, key: PRNGKeyArray) -> Population:
        return self._of(jax.random.choice(key, self.chance.size, (self.agents,), p=self.chance))

    def profiles(self) -> tuple[Population, Float[Array, " profiles"]]:
        kind = jnp.array(list(itertools.product(range(self.chance.size), repeat=self.agents)))
        return jax.vmap(self._of)(kind), jnp.prod(jnp.asarray(self.chance)[kind], -1)
