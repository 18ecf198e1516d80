"""Promises: what a rule guarantees, as something that can be refuted.

`violation(runs)` is how far from kept and where; positive refutes. It is differentiable wherever the rule is, so the
same line may train as a Limit (`broken(promise) <= 0.0`). The audit brings its own populations, keys and lies.

Where the violation is estimated by sampling, the worst of many noisy numbers is biased upwards. So the audit first
searches for the worst lie, then calls `confirm` with that one lie on fresh runs, which is unbiased and has an error.
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..models.population import Population
from .base import AbstractMechanism
from .metrics import ef1_shortfall, ex_post
from .objective import OfRuns
from .play import Runs
from .policy import Repeated
from .reports import AbstractReports, Orders


class Violation(eqx.Module):
    """How far a promise is from kept.

    Attributes:
        amount: positive refutes (up to `error`); in the unit of the promise.
        witness: where: indices by name, and the numbers (or the state of a policy) that show it.
        error: standard error of `amount`; 0 where it is computed, not estimated.
    """

    amount: Float[Array | np.ndarray, ""]
    witness: dict[str, Any]
    error: Float[Array | np.ndarray, ""]


class AbstractPromise(eqx.Module):
    """A guarantee with a name; `about_incentives` says that tuning on the people served destroys it."""

    name: ClassVar[str] = "promise"
    about_incentives: ClassVar[bool] = False
    needs_coins: ClassVar[bool] = False

    @abc.abstractmethod
    def violation(self, runs: Runs) -> Violation:
        """The worst violation found on these runs."""

    def confirm(self, runs: Runs, witness: dict[str, Any]) -> Violation:
        """The violation at one witness on fresh runs, where `violation` was estimated; else the violation there."""
        del witness
        return self.violation(runs)

    @property
    def searched(self) -> str:
        """What was tried, in words."""
        return ""


def broken(promise: AbstractPromise) -> OfRuns:
    """The amount of a violation as an objective: `broken(DSIC()) <= 0.0` trains the promise."""
    return OfRuns(_Amount(promise))


class _Amount(eqx.Module):
    promise: AbstractPromise

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return jnp.asarray(self.promise.violation(runs).amount)

    @property
    def needs_coins(self) -> bool:
        return self.promise.needs_coins


def _argmax(x: Array | np.ndarray, *names: str) -> dict[str, Array]:
    where = jnp.unravel_index(jnp.argmax(jnp.where(jnp.isnan(x), jnp.inf, x)), x.shape)
    return dict(zip(names, where, strict=True))


def _kinds(runs: Runs) -> Array:
    if runs.population.kind is None:
        raise ValueError("`kind` is missing: this promise averages over types, so populations need each agent's type.")
    return jnp.asarray(runs.population.kind)


def _policy(runs: Runs) -> Any:
    if not isinstance(runs.mechanism, Repeated):
        raise ValueError(
            f"This promise is about policies: give `Repeated(policy)`, not {type(runs.mechanism).__name__}."
        )
    return runs.mechanism.policy


def _visited(runs: Runs) -> Any:
    assert runs.allocation.certificate is not None
    return runs.allocation.certificate["states"]


def _safe_error(error: Array, samples: Array | int) -> Array:
    """`error`, widened so that three of it cover as much as with many samples (Student); infinite for a single one.

    A type that few runs have must not be refuted, or seem certain, by them.
    """
    freedom = jnp.asarray(samples - 1, error.dtype)
    wider = jnp.interp(freedom, jnp.array([1, 2, 3, 5, 10, 30, 100]), jnp.array([78, 6.4, 3.1, 1.84, 1.32, 1.09, 1.02]))
    unbiased = jnp.sqrt(samples / jnp.maximum(freedom, 0.5))
    return jnp.where(freedom > 0.5, error * unbiased * wider, jnp.inf)


def gains_from_lying(
    mechanism: AbstractMechanism,
    truth: Population,
    key: Array | None,
    reports: AbstractReports,
    agents: Int[Array | np.ndarray, " some"],
    batch: int = 64,
) -> Float[Array, "some lies"]:
    """What each of `agents` gains in true utility by each lie, the others truthful.

    On expected shares where the rule has them; else on one realisation with the same coins for truth and lie.
    Lies are streamed in batches, so memory stays `batch * agents * options`.
    """
    coin = key if mechanism.needs_key else None
    honest = truth.utility(mechanism.allocate(truth, coin).shares)
    lies = reports.count(truth)

    def gain(pair):
        agent, index = pair
        told = reports.lie(truth, agent, index)
        got = truth.utility(mechanism.allocate(told, coin).shares)[agent]
        return jnp.where(got == honest[agent], 0.0, got - honest[agent])

    pairs = (jnp.repeat(agents, lies), jnp.tile(jnp.arange(lies), agents.shape[0]))
    return jax.lax.map(gain, pairs, batch_size=min(batch, agents.shape[0] * lies)).reshape(-1, lies)


class DSIC(AbstractPromise):
    """Dominant-strategy incentive compatibility: no lie ever pays, whatever the others report.

    Checked profile by profile on the runs' populations. For a rule without expected shares it is checked coin by coin
    (universal truthfulness, which is stronger).

    Args:
        reports: the lies tried.
        agents: how many agents of each population to try, spread evenly; None tries all.
    """

    name: ClassVar[str] = "DSIC"
    about_incentives: ClassVar[bool] = True
    reports: AbstractReports = Orders()
    agents: int | None = eqx.field(static=True, default=None)

    def _tried(self, runs: Runs) -> Int[Array, " some"]:
        n = runs.population.num_agents
        some = n if self.agents is None else min(self.agents, n)
        return jnp.round(jnp.linspace(0, n - 1, some)).astype(int)

    def violation(self, runs: Runs) -> Violation:
        tried = self._tried(runs)
        one = lambda p, k: gains_from_lying(runs.mechanism, p, k, self.reports, tried)
        gain = jax.lax.map(lambda x: one(*x), (runs.population, runs.key))
        found = _argmax(gain, "run", "agent", "lie")
        amount = gain[found["run"], found["agent"], found["lie"]]
        return Violation(amount, {**found, "agent": tried[found["agent"]]}, jnp.zeros_like(amount))

    @property
    def searched(self) -> str:
        who = "every agent" if self.agents is None else f"{self.agents} agents"
        return f"{who} of each population, reports {self.reports.label}"


class BIC(AbstractPromise):
    """Bayesian incentive compatibility: given one's own type, no lie pays on average over the others.

    Agents are told apart by `kind`; exact when the runs are the whole distribution.

    Args:
        reports: the lies tried, e.g. `Kinds(4)`.
        kinds: how many types there are.
    """

    name: ClassVar[str] = "BIC"
    about_incentives: ClassVar[bool] = True
    reports: AbstractReports
    kinds: int = eqx.field(static=True)

    def _gains(self, runs: Runs) -> Float[Array, "runs agents lies"]:
        everyone = jnp.arange(runs.population.num_agents)
        one = lambda p, k: gains_from_lying(runs.mechanism, p, k, self.reports, everyone)
        return jax.lax.map(lambda x: one(*x), (runs.population, runs.key))

    def violation(self, runs: Runs) -> Violation:
        gain = self._gains(runs)
        own = jax.nn.one_hot(_kinds(runs), self.kinds, dtype=gain.dtype)
        chance = jnp.einsum("b,bik->ik", runs.weight, own)
        interim = jnp.einsum("b,bik,bil->ikl", runs.weight, own, gain) / chance[..., None]
        found = _argmax(interim, "agent", "kind", "lie")
        amount = interim[found["agent"], found["kind"], found["lie"]]
        return Violation(amount, found, self.confirm(runs, found).error)

    def confirm(self, runs: Runs, witness: dict[str, Any]) -> Violation:
        agent, kind, index = witness["agent"], witness["kind"], witness["lie"]
        tried = jnp.asarray(agent)[None]
        one = lambda p, k: gains_from_lying(runs.mechanism, p, k, self.reports, tried)[0, index]
        gain = jax.lax.map(lambda x: one(*x), (runs.population, runs.key))
        weight = runs.weight * (_kinds(runs)[:, agent] == kind)
        weight = weight / weight.sum()
        mean = weight @ gain
        spread = _safe_error(jnp.sqrt(jnp.sum(weight**2 * (gain - mean) ** 2)), 1 / jnp.sum(weight**2))
        return Violation(mean, witness, jnp.zeros_like(mean) if runs.exact else spread)

    @property
    def searched(self) -> str:
        return f"every agent and type, reports {self.reports.label}, averaged over the others"


class OneShot(AbstractPromise):
    """No single lie pays at any state of a policy that promises utilities, the others truthful (one-shot deviation).

    At a visited state, the payoff of saying `v` when worth `u` is the mean over the others' draws of
    `(1 - gamma) * u * share + gamma * promise after`; it must be greatest at `v = u`.

    Args:
        points: reports and true values tried: a grid of this many quantiles of the values seen.
        states: how many visited states are tried, spread over runs and rounds.
    """

    name: ClassVar[str] = "one-shot incentive compatibility"
    about_incentives: ClassVar[bool] = True
    points: int = eqx.field(static=True, default=9)
    states: int = eqx.field(static=True, default=16)

    def _setting(self, runs: Runs):
        policy, values = _policy(runs), runs.population.values
        batch, agents, rounds = values.shape
        pick = jnp.round(jnp.linspace(0, batch * rounds - 1, self.states)).astype(int)
        visited = _visited(runs)
        states = jax.tree.map(lambda x: x[pick // rounds, (pick * 7919) % rounds], visited)
        others = jnp.moveaxis(values, 1, 2).reshape(-1, agents)
        others = others[:: max(1, others.shape[0] // 512)][:512]
        grid = jnp.quantile(others, jnp.linspace(0, 1, self.points), axis=0).T  # [agents, points]
        return policy, states, others, grid

    def _payoffs(self, policy, state, others, agent, said):
        """Immediate share and continuation promise of `agent` for each draw of the others, when saying `said`."""
        after, shares = jax.vmap(lambda v: policy.step(state, v.at[agent].set(said)))(others)
        return shares[:, agent], after.promise[:, agent]

    def violation(self, runs: Runs) -> Violation:
        policy, states, others, grid = self._setting(runs)

        def at(pair):
            state, agent = pair
            share, after = jax.vmap(lambda v: self._payoffs(policy, state, others, agent, v))(grid[agent])
            share, after = share.mean(1), after.mean(1)  # [points]
            now = grid[agent][:, None] * share[None]  # [true, said]
            payoff = (1 - policy.gamma) * now + policy.gamma * after[None]
            return payoff - jnp.diagonal(payoff)[:, None]

        agents = jnp.arange(grid.shape[0])
        gain = jax.lax.map(lambda s: jax.lax.map(lambda i: at((s, i)), agents), states)
        found = _argmax(gain, "state", "agent", "value", "report")
        agent = found["agent"]
        witness = {
            "state": jax.tree.map(lambda x: x[found["state"]], states),
            "agent": agent,
            "true value": grid[agent, found["value"]],
            "said": grid[agent, found["report"]],
        }
        return self.confirm(runs, witness)

    def confirm(self, runs: Runs, witness: dict[str, Any]) -> Violation:
        policy, _, others, _ = self._setting(runs)
        state, agent, u, v = (witness[name] for name in ("state", "agent", "true value", "said"))
        told, honest = (self._payoffs(policy, state, others, agent, x) for x in (v, u))
        gain = (1 - policy.gamma) * u * (told[0] - honest[0]) + policy.gamma * (told[1] - honest[1])
        error = _safe_error(jnp.std(gain) / jnp.sqrt(gain.shape[0]), gain.shape[0])
        return Violation(gain.mean(), witness, error)

    @property
    def searched(self) -> str:
        return f"{self.states} visited states, {self.points} true values by {self.points} reports, every agent"


class EF1(AbstractPromise):
    """Every realised allocation is envy-free up to one item (Lipton et al. 2004; Budish 2011)."""

    name: ClassVar[str] = "EF1"
    needs_coins: ClassVar[bool] = True

    def violation(self, runs: Runs) -> Violation:
        short = runs.each_coin(ex_post(ef1_shortfall))
        found = _argmax(short, "run", "coin")
        amount = short[found["run"], found["coin"]]
        return Violation(amount, found, jnp.zeros_like(amount))


class Feasible(AbstractPromise):
    """Shares stay inside the supply: in expectation, or in every realisation."""

    name: ClassVar[str] = "feasible"
    ex_post: bool = eqx.field(static=True, default=False)

    @property
    def label(self) -> str:
        """Which of the two."""
        return "feasible in every realisation" if self.ex_post else "feasible in expectation"

    def violation(self, runs: Runs) -> Violation:
        if self.ex_post and runs.realised_excess is not None:
            found = _argmax(runs.realised_excess, "run", "coin")
            amount = runs.realised_excess[found["run"], found["coin"]]
        else:
            found = _argmax(runs.excess, "run")
            amount = runs.excess[found["run"]]
        return Violation(amount, found, jnp.zeros_like(amount))


class SelfGenerating(AbstractPromise):
    """A policy with a region: no promise ever leaves it, by the policy's own certificate `escape() <= 0`."""

    name: ClassVar[str] = "promises stay in the certified region"

    def violation(self, runs: Runs) -> Violation:
        amount = _policy(runs).escape()
        return Violation(amount, {}, jnp.zeros_like(amount))


def label_of(promise: Any) -> str:
    """The promise's name for tables."""
    return getattr(promise, "label", promise.name)
