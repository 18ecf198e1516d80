"""What the classic rules guarantee beside incentives: no envy, efficiency, stability and ownership, each refutable."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models._check import as_array
from ...models.population import Population
from ..play import Runs
from ..promises import AbstractPromise, Violation
from ._choice import Choices, as_indices, places
from ._priorities import Market, choice_of, ranks


def _worst(amount: Array, *names: str) -> Violation:
    """The greatest entry and where it is; NaN counts as infinite."""
    amount = jnp.where(jnp.isnan(amount), jnp.inf, amount)
    where = jnp.unravel_index(jnp.argmax(amount), amount.shape)
    return Violation(amount[where], dict(zip(names, where, strict=True)), jnp.zeros((), amount.dtype))


def _each_outcome(runs: Runs, one, ex_post: bool) -> Array:
    """`one(population, shares)` of every run and coin, `[runs, coins]`; without coins, of what is expected."""
    coins = runs.realised if ex_post else None
    shares = runs.allocation.shares[:, None] if coins is None else coins.shares
    return jax.lax.map(lambda x: jax.lax.map(lambda s: one(x[0], s), x[1]), (runs.population, shares))


class SDEnvyFree(AbstractPromise):
    r"""Everybody's lottery first-order dominates every other's in one's own ranking, whatever the utilities behind it.

    The amount is the greatest of :math:`\sum_{p \succeq_i o} (x_{jp} - x_{ip})` over agents i, j and options o, in
    shares. Implies that nobody envies for any values that fit the ranking. Ties in values go to the lowest index.
    Streams over the others, so memory stays agents times options.

    Source: Bogomolnaia and Moulin (2001).
    """

    name: ClassVar[str] = "envy-free by stochastic dominance"

    def violation(self, runs: Runs) -> Violation:
        def one(population: Population, shares: Array) -> Float[Array, " agents"]:
            choices = Choices.of(population)
            order, held = choices.order(), choices.with_nothing(shares)

            def ranked(x):
                return jnp.cumsum(jnp.take_along_axis(x, order, -1), -1)

            own = ranked(held)

            def against(worst, other):
                return jnp.maximum(worst, jnp.max(ranked(jnp.broadcast_to(other, held.shape)) - own, -1)), None

            return jax.lax.scan(against, jnp.zeros(held.shape[0], held.dtype), held)[0]

        return _worst(_each_outcome(runs, one, ex_post=False)[:, 0], "run", "agent")


class Efficient(AbstractPromise):
    """No trade of shares is liked by all who take part: ordinal efficiency of lotteries, Pareto efficiency ex post.

    Option a leads to b if somebody holds a and prefers b. Shares are wasted if b has room, and can be traded if the
    arrows close a cycle; if neither, they are efficient (for one option each, with strict rankings). The amount is the
    greatest number of shares that everybody along one cycle, or one agent into room, would rather exchange; it can
    only refute for menus whose options share goods. Ties in values go to the lowest index.

    Args:
        ex_post: judge realisations, in whole seats, instead of expected shares.

    Source: Bogomolnaia and Moulin (2001), Lemma 3.
    """

    name: ClassVar[str] = "efficient"
    ex_post: bool = eqx.field(static=True, default=False)

    @property
    def label(self) -> str:
        """Which of the two."""
        return "Pareto efficient in every realisation" if self.ex_post else "ordinally efficient in expectation"

    def violation(self, runs: Runs) -> Violation:
        def one(population: Population, shares: Array) -> Float[Array, ""]:
            choices = Choices.of(population)
            held = choices.with_nothing(shares)
            room = choices.room(held)
            room = jnp.floor(room * (1 + 1e-6)) if self.ex_post else room
            place = places(choices.order())

            def leads(a):  # the greatest holding of `a` by anybody who prefers each other choice
                prefers = place < jnp.take_along_axis(place, jnp.full((place.shape[0], 1), a), 1)
                return jnp.max(jnp.where(prefers, jnp.take(held, a, 1)[:, None], 0.0), 0)

            arrows = jax.lax.map(leads, jnp.arange(held.shape[1]))
            wasted = jnp.max(jnp.minimum(arrows, jnp.maximum(room, 0)[None]))

            def through(arrows, b):  # Floyd and Warshall for the widest path
                return jnp.maximum(arrows, jnp.minimum(arrows[:, b][:, None], arrows[b][None])), None

            arrows, _ = jax.lax.scan(through, arrows, jnp.arange(held.shape[1]))
            return jnp.maximum(wasted, jnp.max(jnp.diagonal(arrows)))

        return _worst(_each_outcome(runs, one, self.ex_post), "run", "coin")


class Stable(AbstractPromise):
    """No agent and option would both rather have each other: no justified envy, no wasted seat.

    The amount is the number of blocking pairs of the worst outcome.

    Args:
        priorities: `[options, agents]`, as in `DeferredAcceptance`.
        quotas: `[options]`, whole seats; default the supply's.

    Source: Gale and Shapley (1962).
    """

    name: ClassVar[str] = "stable"
    priorities: Float[Array | np.ndarray, "... options agents"] = eqx.field(converter=as_array)
    quotas: Float[Array | np.ndarray, "... options"] | None = eqx.field(default=None, converter=as_array)

    def violation(self, runs: Runs) -> Violation:
        def one(population: Population, shares: Array) -> Float[Array, ""]:
            market = Market.of(population, ranks(self.priorities), self.quotas)
            choice = choice_of(market.choices.with_nothing(shares))
            return market.blocking(choice).sum().astype(shares.dtype)

        return _worst(_each_outcome(runs, one, ex_post=True), "run", "coin")


class IndividuallyRational(AbstractPromise):
    """Nobody ends with less than what she owns.

    Args:
        endowment: `[agents]`, the option each owns, −1 for none, which is worth 0.
    """

    name: ClassVar[str] = "individually rational"
    endowment: Int[Array | np.ndarray, "... agents"] = eqx.field(converter=as_indices)

    def violation(self, runs: Runs) -> Violation:
        def one(population: Population, shares: Array) -> Float[Array, " agents"]:
            owned = jnp.asarray(self.endowment)
            values = jnp.asarray(population.values)
            worth = values[jnp.arange(owned.shape[0]), jnp.maximum(owned, 0)]
            worth = jnp.where(owned < 0, 0.0, worth)
            return jnp.where(jnp.isneginf(worth), 0.0, worth - population.utility(shares))

        return _worst(_each_outcome(runs, one, ex_post=True), "run", "coin", "agent")
