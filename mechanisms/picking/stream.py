"""Rules on more values than fit in memory: one row at a time, memory of the size of one row."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ...models._check import dtype_of, require
from ..base import AbstractMechanism
from ._bids import SAID, tie
from ._laws import count
from ._types import Count
from .pick_r import PickR
from .quantile_threshold import QuantileThreshold, cuts
from .ranking import Ranking
from .welfare_max import WelfareMax

Row = Callable[[int], Any]


class Streamed(eqx.Module):
    """Who owns what.

    Attributes:
        owner: `[items]`, the agent who gets each item.
        utility: `[agents]`, each agent's value for her own items, summed in double precision.
    """

    owner: Int[np.ndarray, " items"]
    utility: Float[np.ndarray, " agents"]


def allocate_stream(mechanism: AbstractMechanism, row: Row, agents: Count, items: Count) -> Streamed:
    """The rule's allocation, `values` being asked for one agent at a time, at most twice each.

    Equals `mechanism.allocate(values)`, ties included; memory is a few arrays `[items]`, whatever the number of agents.
    Runs on the host, where rows may come from a file or a generator; a row is read in the precision that JAX computes in.

    Args:
        mechanism: `PickR`, `QuantileThreshold`, `Ranking` or `WelfareMax`.
        row: `row(i)` gives the bids of agent i, `[items]`, the same whenever asked.
        agents: how many agents there are.
        items: how many items there are.

    Returns:
        Owners and utilities.

    Raises:
        ValueError: another rule, a row of another length, bids that are negative, NaN or infinite, or a rule for
            another number of agents.

    Example:
        >>> values = np.array([[3.0, 2.0, 1.0], [1.0, 9.0, 8.0]])
        >>> found = allocate_stream(Ranking(), lambda i: values[i], agents=2, items=3)
        >>> found.owner.tolist(), found.utility.tolist()
        ([0, 1, 1], [3.0, 17.0])
    """
    agents, items = count(agents, "agents", 2), count(items, "items", 1)
    require(
        getattr(mechanism, "_temperature", None) is None,
        "`mechanism` is softened, and shares inside (0, 1) have no owner; stream `mechanism.harden()`.",
    )
    read = lambda i: _read(row, i, items)
    match mechanism:
        case PickR():
            _require_for(mechanism.agents, agents)
            return _in_turn(mechanism, read, items)
        case QuantileThreshold():
            _require_for(np.shape(mechanism.s)[-1], agents)
            return _by_threshold(mechanism, read, items)
        case Ranking():
            return _by_rank(read, agents, items)
        case WelfareMax():
            if mechanism.weights is not None:
                _require_for(np.shape(mechanism.weights)[-1], agents)
            return _by_value(mechanism, read, agents, items)
    raise ValueError(
        f"`mechanism` {type(mechanism).__name__} cannot be streamed; there are PickR, QuantileThreshold, Ranking and "
        "WelfareMax. Call its `allocate` on all values at once."
    )


def _require_for(made_for: int, agents: int) -> None:
    require(made_for == agents, f"`agents` is {agents}, but the rule is for {made_for} agents.")


def _read(row: Row, i: int, items: int) -> np.ndarray:
    bids = np.asarray(row(i))
    require(bids.shape == (items,), f"`row({i})` must have shape ({items},), got {bids.shape}.")
    require(bids.dtype.kind in "fiub", f"`row({i})` must be real numbers, got dtype {bids.dtype}.")
    bids = bids.astype(dtype_of(bids) if bids.dtype.kind == "f" else dtype_of(np.zeros(0)), copy=False)
    require(bool(np.min(bids) >= 0) and bool(np.max(bids) < np.inf), SAID.replace("values", f"row({i})"))
    return bids


def _sum(bids: np.ndarray) -> float:
    return float(np.sum(bids, dtype=np.float64))


def _in_turn(rule: PickR, read: Row, items: int) -> Streamed:
    counts = np.asarray(rule.counts(items))
    owner, utility = np.empty(items, np.int32), np.zeros(counts.size)
    left = np.arange(items, dtype=np.int32)
    for i, quota in zip(rule.order or range(counts.size), counts, strict=True):
        if quota == 0:
            continue
        bids = read(i)
        bids = bids if left.size == items else bids[left]
        taken = _top(bids, int(quota))
        owner[left[taken]] = i
        utility[i] = _sum(bids[taken])
        left = left[~taken]
    return Streamed(owner, utility)


def _top(bids: np.ndarray, count: int) -> np.ndarray:
    """Which are the `count` greatest; of those equal to the last one, the first."""
    if count == bids.size:
        return np.ones(count, bool)
    edge = np.partition(bids, bids.size - count)[bids.size - count]
    taken = bids > edge
    taken[np.flatnonzero(bids == edge)[: count - np.count_nonzero(taken)]] = True
    return taken


def _by_threshold(rule: QuantileThreshold, read: Row, items: int) -> Streamed:
    least = np.asarray(cuts(rule.s, rule.law))
    owner, utility = np.full(items, -1, np.int32), np.zeros(least.size)
    for i, cut in enumerate(least):
        bids = read(i)
        taken = (owner < 0) & (bids >= cut.astype(bids.dtype))
        owner[taken] = i
        utility[i] = _sum(bids[taken])
    return Streamed(owner, utility)


def _by_rank(read: Row, agents: Count, items: Count) -> Streamed:
    owner, best = np.zeros(items, np.int32), np.full(items, items, np.int32)
    places = np.arange(items, dtype=np.int32)
    for i in range(agents):
        mine = np.empty(items, np.int32)
        mine[np.argsort(-read(i), kind="stable")] = places
        better = mine < best
        owner[better], best[better] = i, mine[better]
    return Streamed(owner, np.array([_sum(read(i)[owner == i]) for i in range(agents)]))


def _by_value(rule: WelfareMax, read: Row, agents: Count, items: Count) -> Streamed:
    weights = np.ones(agents) if rule.weights is None else np.asarray(rule.weights)
    score = lambda i, bids: weights[i].astype(bids.dtype) * bids
    most = score(0, read(0))
    for i in range(1, agents):
        most = np.maximum(most, score(i, read(i)))
    enough = most if rule.weights is None else most - tie(most.dtype) * most
    owner, utility = np.full(items, -1, np.int32), np.zeros(agents)
    for i in range(agents):
        bids = read(i)
        taken = (owner < 0) & (score(i, bids) >= enough)
        owner[taken] = i
        utility[i] = _sum(bids[taken])
    return Streamed(owner, utility)
