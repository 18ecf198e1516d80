"""Metrics: plain functions of one population and one allocation, written once and batched by `play`.

Judged ex ante on expected shares, or ex post on one realisation: wrap in `ex_post(metric)` for the second. Factories
(`worst_group(3)`) return small hashable Modules, so that equal metrics reuse compiled programs.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..models._check import dtype_of
from ..models.population import Population
from ..models.supply import Menu
from ._pareto import ParetoFactor as ParetoFactor
from ._pareto import pareto_factor as pareto_factor
from .base import Allocation

Metric = Callable[[Population, Allocation], Array]


class AbstractMetric(eqx.Module):
    """A metric with settings."""

    @abc.abstractmethod
    def __call__(self, population: Population, allocation: Allocation) -> Array:
        """The number, or a vector of numbers, of one run."""


def utility(p: Population, a: Allocation) -> Float[Array, " agents"]:
    """Each agent's own expected utility, in the population's unit."""
    return p.utility(a.shares)


def welfare(p: Population, a: Allocation) -> Float[Array, ""]:
    """Sum of utilities. Only meaningful where the unit is common to all (never bare logit units)."""
    return p.utility(a.shares).sum()


def mean_utility(p: Population, a: Allocation) -> Float[Array, ""]:
    """Utility per agent."""
    return p.utility(a.shares).mean()


def first_best(p: Population, a: Allocation) -> Float[Array, ""]:
    """The greatest welfare that any feasible shares reach, `sum(values * supply.best(values))`."""
    del a
    return p.utility(p.supply.best(p.values)).sum()


def nash(p: Population, a: Allocation) -> Float[Array, ""]:
    """Mean log utility (log of the Nash welfare per agent); −inf when somebody gets nothing."""
    u = p.utility(a.shares)
    return jnp.mean(jnp.where(u > 0, jnp.log(jnp.where(u > 0, u, 1.0)), -jnp.inf))


def egalitarian(p: Population, a: Allocation) -> Float[Array, ""]:
    """The least utility of any agent."""
    return p.utility(a.shares).min()


class GroupMeans(AbstractMetric):
    """Mean utility of each group, `[groups]`; groups are the population's `kind`. An empty group gives NaN."""

    groups: int = eqx.field(static=True)

    def __call__(self, p: Population, a: Allocation) -> Float[Array, " groups"]:
        u = p.utility(a.shares)
        member = jax.nn.one_hot(p.kind, self.groups, dtype=u.dtype)
        size = member.sum(0)
        return jnp.where(size > 0, member.T @ u / jnp.maximum(size, 1), jnp.nan)


def group_means(groups: int) -> GroupMeans:
    """Mean utility by group."""
    return GroupMeans(groups)


class WorstGroup(AbstractMetric):
    """Mean utility of the group that fares worst in this population; empty groups are left out."""

    groups: int = eqx.field(static=True)

    def __call__(self, p: Population, a: Allocation) -> Float[Array, ""]:
        means = GroupMeans(self.groups)(p, a)
        return jnp.min(jnp.where(jnp.isnan(means), jnp.inf, means))


def worst_group(groups: int) -> WorstGroup:
    """Mean utility of the worst group."""
    return WorstGroup(groups)


def envy_of_each(p: Population, a: Allocation) -> Float[Array, " agents"]:
    """How much each agent would gain by holding another's shares, at least 0, in the population's unit.

    Streams over the other agents, so memory stays `agents * options`; an infeasible option is worth −inf to hold.
    """
    feasible = jnp.isfinite(p.values)
    values = jnp.where(feasible, p.values, 0.0)
    own = p.utility(a.shares)

    everyone = jnp.arange(own.shape[0])

    def against(best, other):
        who, shares = other
        worth = values @ shares
        forbidden = (~feasible).astype(worth.dtype) @ (shares > 0).astype(worth.dtype) > 0
        # One's own bundle is not tried: summed in another order, it may come out as worth more than itself.
        return jnp.maximum(best, jnp.where(forbidden | (everyone == who), -jnp.inf, worth)), None

    best, _ = jax.lax.scan(jax.checkpoint(against), own, (everyone, a.shares))
    return jnp.where(best == own, 0.0, best - own)


def envy(p: Population, a: Allocation) -> Float[Array, ""]:
    """Mean over agents of the greatest gain from holding another's shares."""
    return envy_of_each(p, a).mean()


def envy_free(p: Population, a: Allocation, tolerance: float = 1e-9) -> Float[Array, ""]:
    """1 when no agent prefers another's shares to their own by more than `tolerance` and round-off, else 0.

    Round-off is 32 units in the last place of one's own utility.
    """
    each, own = envy_of_each(p, a), p.utility(a.shares)
    room = tolerance + 32 * jnp.finfo(own.dtype).eps * jnp.where(jnp.isfinite(own), jnp.abs(own), 0.0)
    return jnp.where(jnp.isnan(each).any(), jnp.nan, jnp.all(each <= room))


def ef1_shortfall(p: Population, a: Allocation) -> Float[Array, ""]:
    """Greatest envy left after removing the envious agent's favourite item from the other's bundle; 0 means EF1.

    For realised item allocations (Budish 2011; Lipton et al. 2004), options being items. Streams over agents.
    """
    own = p.utility(a.shares)
    values = jnp.where(jnp.isfinite(p.values), p.values, 0.0)

    def against(worst, other):
        held = other > 0.5
        favourite = jnp.max(jnp.where(held, values, 0.0), -1)
        return jnp.maximum(worst, jnp.max(values @ other - favourite - own)), None

    worst, _ = jax.lax.scan(against, jnp.zeros((), own.dtype), a.shares)
    return worst


def ef1(p: Population, a: Allocation, tolerance: float = 1e-9) -> Float[Array, ""]:
    """1 when the realised allocation is envy-free up to one item, else 0."""
    short = ef1_shortfall(p, a)
    return jnp.where(jnp.isnan(short), short, short <= tolerance)


def gini(p: Population, a: Allocation) -> Float[Array, ""]:
    """Gini coefficient of utilities, by sorting; NaN when their sum is not positive."""
    u = jnp.sort(p.utility(a.shares))
    n = u.size
    rank = jnp.arange(1, n + 1, dtype=u.dtype)
    total = u.sum()
    return jnp.where(total > 0, jnp.sum((2 * rank - n - 1) * u) / (n * jnp.where(total > 0, total, 1.0)), jnp.nan)


def excess(p: Population, a: Allocation) -> Float[Array, ""]:
    """How far the shares lie outside the supply, in units of shares; 0 when feasible."""
    return p.supply.excess(a.shares)


def oversubscribed(p: Population, a: Allocation, tolerance: float = 1e-6) -> Float[Array, ""]:
    """1 when any capacity is exceeded, else 0. Ex post this is the event people care about."""
    return (p.supply.excess(a.shares) > tolerance).astype(dtype_of(p.values))


class Certified(AbstractMetric):
    """A named part of the certificate, for instance the prices; NaN for rules that certify no such thing."""

    name: str = eqx.field(static=True)

    def __call__(self, p: Population, a: Allocation) -> Array:
        if a.certificate is None or self.name not in a.certificate.parts:
            return jnp.full((), jnp.nan, dtype_of(p.values))
        return a.certificate[self.name]


def certified(name: str) -> Certified:
    """The part `name` of the certificate."""
    return Certified(name)


class ExPost(AbstractMetric):
    """`metric`, judged on realisations instead of expected shares."""

    metric: Any

    def __call__(self, population: Population, allocation: Allocation) -> Array:
        return self.metric(population, allocation)


def ex_post(metric: Metric) -> ExPost:
    """Judge `metric` on one realisation under the rule's coins; `play` must be given `coins`."""
    return metric if isinstance(metric, ExPost) else ExPost(metric)


def name_of(metric: Any) -> str:
    """A short name for tables."""
    if isinstance(metric, ExPost):
        return f"ex post {name_of(metric.metric)}"
    if isinstance(metric, Certified):
        return metric.name
    if isinstance(metric, eqx.Module):
        return "".join("_" + c.lower() if c.isupper() else c for c in type(metric).__name__).strip("_")
    return getattr(metric, "__name__", type(metric).__name__)


def chance_oversubscribed(p: Population, a: Allocation) -> Float[Array, ""]:
    """Chance that some capacity is exceeded when agents draw independently from their shares [D].

    A normal approximation, to train on and never to report: each good's use has the mean and variance of the
    independent draws (continuity-corrected), and goods are taken as independent. What is judged is
    `ex_post(oversubscribed)`.
    """
    if not isinstance(p.supply, Menu):
        raise ValueError(f"`supply` must be a `Menu` with capacities, got {type(p.supply).__name__}.")
    chance = jnp.clip(a.shares @ p.supply.uses, 0, 1)
    mean, variance = chance.sum(0), (chance * (1 - chance)).sum(0)
    room = jnp.floor(p.supply.capacity + 1e-9) + 0.5 - mean
    fine = jax.scipy.stats.norm.cdf(room / jnp.sqrt(variance + 1e-6))
    return 1 - jnp.prod(fine)
