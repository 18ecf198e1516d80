"""The two incentive promises of this room, with lies that can find a rule out.

`audit_dsic` and `audit_bic` are the same two judgments with an audience of one rule; here they take the form that an audit of
any world asks for. Rules promise `dominant()` or `bayesian()`.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ...models.population import Population
from ...models.world import Draws, Independent
from ..play import Runs
from ..promises import DSIC, AbstractPromise, Violation, _safe_error, gains_from_lying
from ..reports import AbstractReports, Either, Orders
from .audit_bic import ranks_only


class Swaps(AbstractReports):
    """For rules of ranks: two ranks of one's own order trade their bids, every pair, or `limit` pairs beyond.

    A rule that reads nothing but one's ranks, and wins the t-th of them with a chance that somewhere rises in t, is found out
    by one of them.
    """

    limit: int = eqx.field(static=True, default=60)

    def pairs(self, options: int) -> Int[np.ndarray, "lies two"]:
        """The pairs of ranks tried."""
        if options * (options - 1) // 2 <= self.limit:
            return np.stack(np.triu_indices(options, 1), 1)
        draw = np.random.default_rng(0)
        first = draw.integers(options, size=self.limit)
        return np.stack([first, (first + draw.integers(1, options, size=self.limit)) % options], 1)

    def count(self, truth: Population) -> int:
        return len(self.pairs(truth.num_options))

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        row = jnp.asarray(truth.values)[agent]
        pair = jnp.argsort(-row, stable=True)[jnp.asarray(self.pairs(truth.num_options))[index]]
        return _say(truth, agent, row.at[pair].set(row[pair[::-1]]))


class Claims(AbstractReports):
    """For rules of sizes: everything at once, or one item (of `limit`, spread evenly), claimed `factor` times its value."""

    factors: tuple[float, ...] = eqx.field(static=True, default=(0.0, 10.0))
    limit: int = eqx.field(static=True, default=30)

    def _items(self, options: int) -> Int[np.ndarray, " tried"]:
        return np.linspace(0, options - 1, min(options, self.limit)).round().astype(int)

    def count(self, truth: Population) -> int:
        return len(self.factors) * (len(self._items(truth.num_options)) + 1)

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        row = jnp.asarray(truth.values)[agent]
        tried = jnp.asarray(np.append(self._items(row.size), -1))[index // len(self.factors)]
        here = (jnp.arange(row.size) == tried) | (tried < 0)
        factor = jnp.asarray(self.factors, row.dtype)[index % len(self.factors)]
        return _say(truth, agent, jnp.where(here, factor * row, row))


def _say(truth: Population, agent: Any, row: Array) -> Population:
    return eqx.tree_at(lambda p: p.values, truth, jnp.asarray(truth.values).at[agent].set(row))


class BayesianTruth(AbstractPromise):
    r"""Truth is best on average over the others, for each value vector of one's own: Bayesian incentive compatibility.

    Where values are independent over items and without atoms, `Ranking` and `WeightedRanking` are judged exactly: with
    :math:`p_t` the probability to win the item ranked t-th (`interim`), the truth is a best report for all values if and only
    if p does not rise, and the amount is what the best order of reporting gains on the values of the runs,
    :math:`\sum_t p_{(t)} v_{(t)} - \sum_t p_t v_{(t)}`.

    Any other rule, or world, is attacked: each lie is averaged over `draws` populations a run, drawn anew from the world, own
    values included, since a lie that pays on average pays at some values. Exact if the runs are the whole distribution.

    Args:
        reports: the lies tried.
        agents: how many agents to try, spread evenly; None tries all.
        draws: populations drawn for each run.

    Source: Halpern, Psomas and Zhang, theorems 4.1 and A.1 [P]; that the condition on p is exact at every number of items is
    [D].
    """

    name: ClassVar[str] = "BIC"
    about_incentives: ClassVar[bool] = True
    reports: AbstractReports = Either((Swaps(), Claims()))
    agents: int | None = eqx.field(static=True, default=4)
    draws: int = eqx.field(static=True, default=32)

    def violation(self, runs: Runs) -> Violation:
        if ranks_only(runs.mechanism) and _independent(runs.world):
            return _exact(runs)
        people, keys, weight = self._people(runs)
        agents = runs.population.num_agents
        some = agents if self.agents is None else min(self.agents, agents)
        tried = jnp.round(jnp.linspace(0, agents - 1, some)).astype(int)
        gain = jax.lax.map(lambda x: gains_from_lying(runs.mechanism, x[0], x[1], self.reports, tried), (people, keys))
        mean, error = _mean(gain, weight, runs.exact)
        # The lie that surely pays most, not the luckiest.
        where = jnp.unravel_index(jnp.argmax(mean - 2 * error), mean.shape)
        return Violation(mean[where], {"agent": tried[where[0]], "lie": where[1]}, error[where])

    def confirm(self, runs: Runs, witness: dict[str, Any]) -> Violation:
        people, keys, weight = self._people(runs)

        def one(x):
            truth, key = x
            coin, agent = key if runs.mechanism.needs_key else None, witness["agent"]
            told = self.reports.lie(truth, agent, witness["lie"])
            got = (truth.utility(runs.mechanism.allocate(p, coin).shares)[agent] for p in (told, truth))
            return jnp.subtract(*got)

        mean, error = _mean(jax.lax.map(one, (people, keys)), weight, runs.exact)
        return Violation(mean, witness, error)

    def _people(self, runs: Runs):
        """Populations to average over, their coins and weights."""
        if runs.exact:
            return runs.population, runs.key, jnp.asarray(runs.weight)
        keys = jax.vmap(lambda k: jax.random.split(jax.random.fold_in(k, 2), self.draws))(runs.key).reshape(-1)
        people = jax.vmap(runs.world.population)(keys)
        return people, keys, jnp.full(keys.shape, 1 / keys.size, people.values.dtype)

    @property
    def searched(self) -> str:
        """What was tried."""
        who = "every agent" if self.agents is None else f"up to {self.agents} agents"
        return (
            f"exact interim probabilities where known; else {who}, {self.draws} populations a run, "
            f"reports {self.reports.label}"
        )


def _independent(world: Any) -> bool:
    """Whether all values of an agent are independent draws of one law without atoms, perhaps of a law that is itself drawn."""
    world = world.one(0) if isinstance(world, Draws) else world
    return isinstance(world, Independent) and world.law.atoms.size == 0


def _exact(runs: Runs) -> Violation:
    from .interim import interim

    people = runs.population
    chance = jnp.asarray(interim(runs.mechanism, people.num_agents, people.num_options))
    values = -jnp.sort(-jnp.asarray(people.values), -1)
    gain = jnp.sum(values * (-jnp.sort(-chance, -1) - chance)[None], -1)
    run, agent = jnp.unravel_index(jnp.argmax(gain), gain.shape)
    rise = jnp.argmax(jnp.diff(chance[agent])) if people.num_options > 1 else jnp.zeros((), int)
    return Violation(gain[run, agent], {"run": run, "agent": agent, "rank": rise}, jnp.zeros_like(gain[run, agent]))


def _mean(gain: Array, weight: Array, exact: bool) -> tuple[Array, Array]:
    """Weighted mean over the first axis, and its standard error; 0 where exact."""
    weight = weight / weight.sum()
    mean = jnp.tensordot(weight, gain, 1)
    spread = jnp.sqrt(jnp.tensordot(weight**2, (gain - mean[None]) ** 2, 1))
    return mean, jnp.zeros_like(mean) if exact else _safe_error(spread, 1 / jnp.sum(weight**2))


def dominant() -> DSIC:
    """The promise that no lie ever pays, attacked with other orders, other sizes and traded ranks."""
    return DSIC(Either((Orders(limit=120), Swaps(), Claims())), agents=4)


def bayesian() -> BayesianTruth:
    """The promise that no lie pays on average over the others."""
    return BayesianTruth()
