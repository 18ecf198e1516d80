"""How much an agent can gain by lying, inequality and payments included, and the lie that shows it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ...models._check import require
from ...models.population import Population
from ..base import AbstractMechanism
from ._check import check_problem, numbers
from ._promises import net
from .externality_pricing import ExternalityPricing
from .society import society

#: Multiples of the truth to claim, first round.
FACTORS = (0.0, 0.25, 0.5, 0.6, 0.7, 0.76, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.2, 1.4, 2.0, 5.0)
#: Levels of alpha and beta to claim, first round.
LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 2.0)
#: Rounds of halving steps round the best lie, and most lies tried in each.
ROUNDS, TRIED = 12, 16


class Deviation(eqx.Module):
    """What an agent gains by the best lie found, the others truthful.

    Attributes:
        regret: `[...]`, best - truthful, at least 0, in utils. A search can miss a lie: it is a lower bound.
        truthful: `[...]`, her true valuation less her payment when she tells the truth.
        best: `[...]`, the same at the best report tried, the truth among them.
        report: that report, `[..., items]` or `[..., 2]`; the truth where no lie pays.
    """

    regret: Float[Any, "*batch"]
    truthful: Float[Any, "*batch"]
    best: Float[Any, "*batch"]
    report: Float[Array | np.ndarray, "*batch entries"]


def deviation_regret(
    values: Any,
    alpha: Any,
    beta: Any,
    agent: int,
    *,
    reports: Any = None,
    space: str = "values",
    rule: Any = None,
) -> Deviation:
    r"""How much one agent can gain by lying about her values, or about how she minds inequality.

    .. math:: \max_r v_i(x(r)) - p_i(r) - \bigl( v_i(x(\text{truth})) - p_i(\text{truth}) \bigr)

    with v her true valuation of the shares, others' utilities at their true values. Under `ExternalityPricing` no lie about alpha
    and beta pays; lies about values do, since what the others mind depends on what she says she has.

    Args:
        values: true values `[..., agents, items]`, in utils.
        alpha: true `[..., agents]` or a number. `beta`: the same.
        agent: who lies, counted from 0.
        reports: lies to try, `[r, items]` or `[r, 2]` (alpha, beta); None searches: a grid, then halving steps round the best.
            Reports that make welfare nonconcave are not taken by any rule, and skipped.
        space: "values" or "social".
        rule: any mechanism; default `ExternalityPricing()`.

    Returns:
        `Deviation`.

    Raises:
        ValueError: bad input, or reports of another width.

    Source: the counterexample to truthfulness in values [D]; the paper's claim is in appendix C of Shirali, Finocchiaro and
        Abebe (2024).

    Example:
        >>> found = deviation_regret([[1.0], [0.5]], 0.1, 0.1, agent=0, reports=[[0.76]])
        >>> round(float(found.truthful), 3), round(float(found.best), 3), round(float(found.regret), 3)
        (0.3, 0.324, 0.024)
    """
    p = check_problem(values, alpha, beta)
    n, m = p.values.shape[-2:]
    whole = isinstance(agent, int | np.integer) and not isinstance(agent, bool)
    require(whole and 0 <= agent < n, f"`agent` must be a whole number from 0 to {n - 1}, got {agent!r}.")
    require(space in ("values", "social"), f"`space` must be 'values' or 'social', got {space!r}.")
    width = m if space == "values" else 2
    if reports is not None:
        reports = numbers(reports, "reports")
        require(
            reports.ndim == 2 and reports.shape[1] == width and len(reports) > 0,
            f"`reports` must be [r, {width}] for space={space!r}, at least one; got shape {reports.shape}.",
        )
        require(space == "social" or bool((reports >= 0).all()), "`reports` of values must not be negative.")
    rule = ExternalityPricing() if rule is None else rule
    require(isinstance(rule, AbstractMechanism), f"`rule` must be a mechanism, got {type(rule).__name__}.")
    found = [_one(society(q.values, q.alpha, q.beta), int(agent), reports, space, rule) for q in p.each()]
    join = lambda i: np.reshape(np.array([f[i] for f in found]), (*p.batch, *np.shape(found[0][i])))
    truthful, best = join(0)[()], join(1)[()]
    return Deviation(best - truthful, truthful, best, join(2))


def _one(
    truth: Population, agent: int, reports: Any, space: str, rule: AbstractMechanism
) -> tuple[float, float, np.ndarray]:
    own = _own(truth, agent, space)
    honest = _net(rule, truth, truth, agent)
    best, witness = honest, own
    lies = iter(reports) if reports is not None else _grid(truth, agent, space, own)
    for lie in lies:
        got = _net(rule, truth, _told(truth, agent, space, lie), agent)
        if got > best:
            best, witness = got, np.array(lie)
    if reports is None:
        best, witness = _refine(truth, agent, space, rule, best, witness)
    return honest, best, witness


def _refine(
    truth: Population, agent: int, space: str, rule: AbstractMechanism, best: float, at: np.ndarray
) -> tuple[float, np.ndarray]:
    """Steps along coordinates and all together, halved until they are small."""
    step = 0.25 * np.maximum(np.abs(at), 0.2 * max(np.abs(at).max(), 0.1))
    draw = np.random.default_rng(0)
    for _ in range(ROUNDS):
        axes = draw.permutation(at.size)[: TRIED // 2]
        ways = [np.eye(at.size)[j] for j in axes] + ([np.ones(at.size)] if at.size > 1 else [])
        moved = False
        for way in ways:
            for sign in (1.0, -1.0):
                lie = at + sign * step * way
                lie = np.maximum(lie, 0.0) if space == "values" else lie
                got = _net(rule, truth, _told(truth, agent, space, lie), agent)
                if got > best:
                    best, at, moved = got, lie, True
        if not moved:
            step = step / 2
    return best, at


def _grid(truth: Population, agent: int, space: str, own: np.ndarray) -> Iterator[np.ndarray]:
    if space == "social":
        yield from (np.array([a, b]) for a in LEVELS for b in LEVELS)
        return
    yield from (factor * own for factor in FACTORS)
    others = np.delete(np.asarray(truth.values), agent, 0)
    rival = others.max(0) if len(others) else own
    items = np.argsort(-np.abs(own))[:TRIED]
    for j in items:
        if own.size > 1:
            for factor in FACTORS[::3]:
                yield np.where(np.arange(own.size) == j, factor * own, own)
        for factor in (0.9, 1.0, 1.1):
            yield np.where(np.arange(own.size) == j, factor * rival, own)


def _own(truth: Population, agent: int, space: str) -> np.ndarray:
    if space == "values":
        return np.array(np.asarray(truth.values)[agent])
    return np.array([np.asarray(x)[agent] for x in (truth.alpha, truth.beta)])


def _told(truth: Population, agent: int, space: str, lie: np.ndarray) -> Population:
    if space == "values":
        values = np.array(truth.values)
        values[agent] = lie
        return dataclasses.replace(truth, values=values)
    alpha, beta = np.array(truth.alpha), np.array(truth.beta)
    alpha[agent], beta[agent] = lie
    return dataclasses.replace(truth, alpha=alpha, beta=beta)


def _net(rule: AbstractMechanism, truth: Population, told: Population, agent: int) -> float:
    """The agent's true valuation less her payment; minus infinity where the rule refuses the report."""
    try:
        return float(np.asarray(net(rule, truth, told))[agent])
    except ValueError:
        if told is truth:
            raise
        return -np.inf
