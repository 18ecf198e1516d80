"""Who comes by a mixed logit: strangers with tastes of their own, or the very people whose tastes were learned."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..population import Population
from ..supply import AbstractSupply
from ..world import Draws
from ._gumbel import given_choice
from ._shapes import check_shapes
from ._utility import weighted_sum
from .data import ChoiceData
from .logit import ConditionalLogit
from .worlds import AbstractLogitWorld, SamePeople, Strangers

NODES = 256  # tastes that `MixedStrangers.shares` averages over


def own_worth(own: Float[Array, "agents coefficients"], design: Any) -> Float[Array, "agents options"]:
    """What is seen of an alternative's worth to each agent, by coefficients of their own."""
    return jnp.einsum("ak,aok->ao", own, jnp.asarray(design, own.dtype), precision=jax.lax.Precision.HIGHEST)


class MixedStrangers(AbstractLogitWorld):
    r"""New people: situations drawn with replacement from the data, tastes from the population, and errors of their own.

    As `Strangers`, but agent a has coefficients :math:`\beta_a` made of :math:`m + L z_a`, and values are divided by the
    agent's own numeraire. Built by `MixedLogit.worlds(new=...)`.

    Args:
        mean: `[dims]`. `root`: `[dims, dims]`, the law of tastes in standard units.
        common: `[common]`, standardised coefficients that all share; empty where there are none.
        sign: `[dims or one less]`, sign of log-normal coefficients, 0 for normal ones; `sign_common`: of `common`.
        place: `[coefficients]`, where each stands among random and common ones. `per`: `[coefficients]`, scale of columns.
        design, available, chance, supply, kind, agents, numeraire, outside, unit, options: as in `Strangers`.

    Raises:
        ValueError: shapes that do not fit.
    """

    mean: Float[Array | np.ndarray, "*draws dims"]
    root: Float[Array | np.ndarray, "*draws dims dims"]
    common: Float[Array | np.ndarray, "*draws common"]
    sign: Float[Array | np.ndarray, " random"]
    sign_common: Float[Array | np.ndarray, " common"]
    place: Int[Array | np.ndarray, " coefficients"]
    per: Float[Array | np.ndarray, " coefficients"]
    design: Float[Array | np.ndarray, "situations options coefficients"]
    available: Bool[Array | np.ndarray, "situations options"]
    chance: Float[Array | np.ndarray, " situations"]
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " situations"] | None = None
    agents: int = eqx.field(static=True, default=1)
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        check_shapes(np.zeros(np.shape(self.place)), self.design, self.supply, None)

    @property
    def coefficient(self) -> Float[Array, " coefficients"]:
        """Those of the person in the middle."""
        return self.coefficient_of(jnp.zeros((1, np.shape(self.mean)[-1]), jnp.asarray(self.mean).dtype))[0]

    def coefficient_of(self, z: Float[Array, "agents dims"]) -> Float[Array, "agents coefficients"]:
        """Coefficients in the units of the data, out of standard normal numbers."""
        taste = jnp.asarray(self.mean)[None] + z @ jnp.asarray(self.root).T
        found = standardised(taste, jnp.asarray(self.common), self.sign, self.sign_common, self.place)
        return found / jnp.asarray(self.per, found.dtype)[None]

    def population(self, key: PRNGKeyArray) -> Population:
        who, of, error = jax.random.split(key, 3)
        mean = jnp.asarray(self.mean)
        chance = jnp.asarray(self.chance, mean.dtype)
        drawn = jax.random.choice(who, chance.shape[0], (self.agents,), p=chance)
        own = self.coefficient_of(jax.random.normal(of, (self.agents, mean.shape[-1]), mean.dtype))
        worth = own_worth(own, jnp.asarray(self.design, own.dtype)[drawn])
        total = worth + jax.random.gumbel(error, worth.shape, worth.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)[drawn]
        values = self._values(total, jnp.asarray(self.available)[drawn], own)
        return Population(values, self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        """By so many tastes drawn with a key of its own; their error is about 0.01."""
        mean = jnp.asarray(self.mean)
        own = self.coefficient_of(jax.random.normal(jax.random.key(0), (NODES, mean.shape[-1]), mean.dtype))

        def one(beta):
            worth = jnp.asarray(self.design, beta.dtype) @ beta
            return weighted_sum(
                jax.nn.softmax(jnp.where(jnp.asarray(self.available), worth, -jnp.inf), -1).T, self.chance
            )

        return jnp.mean(jax.lax.map(one, own), 0)


class MixedSamePeople(AbstractLogitWorld):
    """The people in the data with the coefficients learned of each, their errors drawn given the last choice.

    As `SamePeople`. Built by `MixedLogit.worlds(same=True)`.

    Args:
        coefficient: `[agents, coefficients]`, in the units of the data.
        design, available, chosen, supply, kind, numeraire, outside, unit, options: as in `SamePeople`.

    Raises:
        ValueError: shapes that do not fit, somebody who likes to pay.
    """

    serves_the_sample: ClassVar[bool] = True

    coefficient: Float[Array | np.ndarray, "*draws agents coefficients"]
    design: Float[Array | np.ndarray, "agents options coefficients"]
    available: Bool[Array | np.ndarray, "agents options"]
    chosen: Int[Array | np.ndarray, " agents"]
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " agents"] | None = None
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        own, can = jnp.asarray(self.coefficient), jnp.asarray(self.available)
        total = given_choice(own_worth(own, self.design), can, jnp.asarray(self.chosen), key=key)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        return Population(self._values(total, can, own), self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        dtype = jnp.asarray(self.coefficient).dtype
        return jnp.mean(jax.nn.one_hot(jnp.asarray(self.chosen), self.design.shape[1], dtype=dtype), 0)


def standardised(
    taste: Float[Array, "*batch dims"], common: Any, sign: Any, sign_common: Any, place: Any
) -> Float[Array, "*batch coefficients"]:
    """Coefficients in standard units; a dim of `taste` beyond those of `sign` is the logarithm of scale."""
    random = np.shape(sign)[0]

    def signed(b, sign):
        sign = jnp.broadcast_to(jnp.asarray(sign, taste.dtype), b.shape)
        return jnp.where(sign == 0, b, sign * jnp.exp(jnp.where(sign == 0, 0.0, b)))

    found = signed(taste[..., :random], sign)
    if taste.shape[-1] > random:
        found = found * jnp.exp(taste[..., random:])
    if np.shape(sign_common)[0]:
        shared = signed(jnp.asarray(common, taste.dtype), sign_common)
        found = jnp.concatenate([found, jnp.broadcast_to(shared, (*found.shape[:-1], shared.shape[-1]))], -1)
    return found[..., jnp.asarray(place)]


def build_mixed_worlds(
    logit: ConditionalLogit, law: dict[str, Any], coefficient: Any, data: ChoiceData, **where: Any
) -> Draws:
    """The worlds of a mixed logit, draws in front.

    Args:
        logit: what utilities are made of. `law`: fields of `MixedStrangers` that say how people differ.
        coefficient: `[draws, people, coefficients]`, of the people in the data.
        data: who there was. `where`: as `ConditionalLogit.world` takes.
    """
    likely = -np.ones(np.shape(law["place"]))  # any will do: only the people and the menu are taken from it
    plain = logit.world(likely, data, **where)
    shared = ("design", "available", "supply", "kind", "numeraire", "outside", "unit", "options")
    same = {name: getattr(plain, name) for name in shared}
    if isinstance(plain, Strangers):
        world = MixedStrangers(**law, chance=plain.chance, agents=plain.agents, **same)
        return Draws.of(world, lambda w: [w.mean, w.root, w.common])
    assert isinstance(plain, SamePeople)
    seen = np.unique(data.person)
    world = MixedSamePeople(coefficient=np.asarray(coefficient)[:, seen], chosen=plain.chosen, **same)
    return Draws.of(world, lambda w: [w.coefficient])
