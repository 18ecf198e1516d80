"""How often nobody envies anybody, with intervals, and how many items that takes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy import stats

from ...models._check import require
from ._batched import NUMBERS, Batched, Laws, count_of, draw, laws_of

_ROUND_OFF = 1e-12  # of an agent's value for all items


class Interval(eqx.Module):
    """A confidence interval, `low` to `high`."""

    low: float
    high: float


class EnvyReport(eqx.Module):
    """What `envy_report` found.

    Attributes:
        probability: share of the populations in which nobody envies anybody.
        interval: Wilson's score interval for it.
        no_envy: `[agents]`, share of the populations in which this agent envies nobody.
        worst: the greatest envy of all, max_k U_ik - U_ii, as a fraction of the agent's value for all items; 0 if none.
        populations: how many were drawn.
    """

    probability: float
    interval: Interval
    no_envy: Float[np.ndarray, " agents"]
    worst: float
    populations: int


def envy_report(
    mechanism: Any,
    law: Laws,
    agents: int,
    items: int,
    *,
    populations: int,
    key: PRNGKeyArray,
    confidence: float = 0.95,
) -> EnvyReport:
    r"""How often a rule is envy-free when everybody tells the truth: :math:`U_{ii} \ge U_{ik}` for all i, k.

    Utilities are added up in float64, and differences within 1e-12 of an agent's value for all items are ties. Populations
    are drawn and played a few million values at a time; the draws do not depend on how many.

    Args:
        mechanism: any rule, as in `audit_dsic`.
        law: of every value; or a list of one law an agent.
        agents: how many, at least two.
        items: how many, at least one.
        populations: how many to draw.
        key: all randomness.
        confidence: of the interval, in (0, 1).

    Returns:
        An `EnvyReport`: `probability`, `interval`, `no_envy`, `worst`, `populations`.

    Raises:
        ValueError: an argument is out of range, or the rule gives shares of a wrong shape.

    Source: Halpern, Psomas and Zhang, section 2 for envy-freeness; Wilson (1927) for the interval.

    Example:
        >>> from fairhand.mechanisms import picking
        >>> found = picking.envy_report(
        ...     picking.Ranking(), models.Uniform(), 3, 100, populations=200, key=jax.random.key(0)
        ... )
        >>> found.probability, round(found.interval.low, 3), found.worst
        (1.0, 0.981, 0.0)
    """
    agents, items = count_of("agents", agents, 2), count_of("items", items, 1)
    populations = count_of("populations", populations, 1)
    require(0 < confidence < 1, f"`confidence` must lie in (0, 1), got {confidence!r}.")
    laws, run = laws_of(law, agents), Batched(mechanism)
    peaceful, everyone, worst = np.zeros(agents), 0, 0.0
    with jax.enable_x64(True):
        keys = jax.random.split(key, populations)
        size = max(1, min(populations, NUMBERS // (agents * max(items, agents))))
        for start in range(0, populations, size):
            values = _draw(laws, keys[start : start + size], size, agents, items)
            envy = _envy(values, run(values))
            peaceful += np.sum(envy <= _ROUND_OFF, 0)
            everyone += int(np.sum(np.all(envy <= _ROUND_OFF, 1)))
            worst = max(worst, float(envy.max()))
    ends = stats.binomtest(everyone, populations).proportion_ci(confidence, method="wilson")
    return EnvyReport(
        everyone / populations,
        Interval(float(ends.low), float(ends.high)),
        peaceful / populations,
        worst if worst > _ROUND_OFF else 0.0,
        populations,
    )


def _draw(laws: tuple, keys: Array, size: int, agents: int, items: int) -> np.ndarray:
    """Values of one population a key; the last batch is filled up, so that nothing is compiled twice."""
    some = jnp.minimum(jnp.arange(size), len(keys) - 1)
    return np.asarray(draw(laws, keys[some], agents, items), np.float64)[: len(keys)]


def _envy(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """max_k U_ik - U_ii over the others, as a fraction of all, `[populations, agents]`; 0 for who values nothing."""
    worth = np.matmul(values, np.swapaxes(shares, 1, 2))
    own = np.diagonal(worth, axis1=1, axis2=2)
    rest = np.where(np.eye(worth.shape[1], dtype=bool), -np.inf, worth).max(2)
    total = values.sum(2)
    return (rest - own) / np.where(total > 0, total, 1.0)


class SmallestItems(eqx.Module):
    """What `smallest_items` found.

    Attributes:
        items: the least number of items tried whose interval lies above the level, None if none up to `limit` does.
        at_least: one more than the greatest number tried below `items` whose interval lies below it; between the two the sample
            does not say.
        tried: `[tried]`, numbers of items, ascending.
        probability: `[tried]`, share of envy-free populations at each.
    """

    items: int | None
    at_least: int
    tried: np.ndarray
    probability: Float[np.ndarray, " tried"]


def smallest_items(
    mechanism: Any | Callable[[int], Any],
    law: Laws,
    agents: int,
    *,
    eta: float = 0.05,
    populations: int = 1000,
    key: PRNGKeyArray,
    confidence: float = 0.95,
    start: int | None = None,
    limit: int = 2**14,
) -> SmallestItems:
    r"""The smallest number of items m at which :math:`P(\text{envy-free}) \ge 1 - \eta`, by doubling and bisection.

    A number passes if the lower end of its Wilson interval reaches :math:`1 - \eta`. The search takes P to rise with m, which
    it does only up to remainders of m in the quotas; the same key serves every m.

    Args:
        mechanism: a rule; or a function of the number of items that gives one, for rules that depend on it.
        law: of every value; or a list of one law an agent.
        agents: how many, at least two.
        eta: how often envy may occur, in (0, 1).
        populations: how many to draw for each number tried.
        key: all randomness.
        confidence: of each interval.
        start: where to begin, default `agents`.
        limit: the greatest number tried.

    Returns:
        A `SmallestItems`: `items`, `at_least`, `tried`, `probability`.

    Raises:
        ValueError: an argument is out of range, or even without any envy so few populations would not suffice.
    """
    start = agents if start is None else start
    require(0 < eta < 1, f"`eta` must lie in (0, 1), got {eta!r}.")
    require(1 <= start <= limit, f"`start` must be at least 1 and at most `limit` = {limit}, got {start!r}.")
    always = stats.binomtest(populations, populations).proportion_ci(confidence, method="wilson")
    require(
        always.low >= 1 - eta,
        f"`populations` is {populations}: even without any envy the interval would reach down to {always.low:.4f}, "
        f"below 1 - eta = {1 - eta}. Draw more.",
    )
    rule_at = mechanism if not hasattr(mechanism, "allocate") else lambda items: mechanism
    reports: dict[int, EnvyReport] = {}

    def passes(m: int) -> bool:
        reports[m] = envy_report(rule_at(m), law, agents, m, populations=populations, key=key, confidence=confidence)
        return reports[m].interval.low >= 1 - eta

    low, high = start - 1, start
    while not (found := passes(high)) and high < limit:
        low, high = high, min(2 * high, limit)
    while found and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    below = [m for m, r in reports.items() if r.interval.high < 1 - eta and (m < high or not found)]
    tried = np.array(sorted(reports))
    return SmallestItems(
        high if found else None,
        max(below, default=start - 1) + 1,
        tried,
        np.array([reports[m].probability for m in tried]),
    )
