"""Trying every lie against every profile of a grid: exhaustive, so what it does not find is not there."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from ._batched import NUMBERS, Batched, count_of, vectors_of
from ._types import Count

GAIN = 1e-9  # what counts as a gain, in units of the values
_TABLE = 2**26  # shares of all profiles kept at once, in numbers (512 MB)


class Witness(eqx.Module):
    """A lie that pays.

    Attributes:
        values: `[agents, items]`, what everybody truly values; `[items]`, the liar's own, where the others are averaged over.
        agent: who lies.
        report: `[items]`, what she says instead.
    """

    values: Float[np.ndarray, "*agents items"]
    agent: int
    report: Float[np.ndarray, " items"]


class DSICAudit(eqx.Module):
    """What `audit_dsic` found.

    Attributes:
        checked: how many (profile, agent, report) triples were tried, k^agents x agents x reports.
        profitable: in how many of them the lie gains more than 1e-9.
        max_gain: the greatest gain over the truth, which is itself always a choice; 0 if nothing pays. In units of the values.
        witness: the lie that gains most, the first of equals; None if nothing pays.
    """

    checked: int
    profitable: int
    max_gain: float
    witness: Witness | None


def audit_dsic(mechanism: Any, vectors: Any, agents: Count = 2, reports: Any = None) -> DSICAudit:
    """Does any agent, at any profile of the grid, gain by any of the reports?

    Every profile of `vectors`^agents, every agent and every report: a proof on the grid, and a search off it. Put ties on it,
    such as {0, 1, 2, 3}^items, since ties are where rules break. Utilities are added up in float64, and JAX runs in 64 bit.
    The work grows as k^agents; memory does not.

    Args:
        mechanism: any rule; or any object whose `allocate(values)` takes values `[profiles, agents, items]` and returns
            something with `.shares` of that shape, NumPy inside allowed.
        vectors: `[k, items]`, the true values tried, not negative.
        agents: how many agents, at least two.
        reports: `[reports, items]`, the lies tried; default `vectors`, in which case each profile is allocated only once.

    Returns:
        A `DSICAudit`: `checked`, `profitable`, `max_gain`, `witness`.

    Raises:
        ValueError: an argument has a wrong shape or entries, or the rule gives shares of a wrong shape.

    Source: the definition of dominant-strategy incentive compatibility in section 2 of Halpern, Psomas and Zhang.

    Example:
        >>> import itertools
        >>> from fairhand.mechanisms import picking
        >>> grid = list(itertools.product(range(3), repeat=2))
        >>> picking.audit_dsic(picking.PickR(quotas=[1, 1]), grid).profitable
        0
        >>> found = picking.audit_dsic(picking.WelfareMax(), grid)
        >>> found.checked, found.profitable > 0, found.max_gain
        (1458, True, 2.0)
    """
    vectors = vectors_of("vectors", vectors)
    items = vectors.shape[1]
    agents = count_of("agents", agents, 2)
    lies = vectors if reports is None else vectors_of("reports", reports, items)
    with jax.enable_x64(True):
        bundles = _bundles(Batched(mechanism), vectors, agents, None if reports is None else lies)
        return _search(bundles, vectors, lies, agents)


def _search(bundles: Callable, vectors: np.ndarray, lies: np.ndarray, agents: int) -> DSICAudit:
    k = len(vectors)
    others = k ** (agents - 1)
    block = max(1, NUMBERS // max(k * len(lies), (k + len(lies)) * agents * vectors.shape[1]))
    profitable, best, where = 0, 0.0, (0, 0, 0, 0)
    for agent in range(agents):
        for start in range(0, others, block):
            honest, lied = bundles(agent, np.arange(start, min(start + block, others)))
            truth = np.einsum("am,acm->ac", vectors, honest)
            # Not by BLAS, which may round equal sums differently in different columns.
            gain = np.einsum("am,bcm->abc", vectors, lied) - truth[:, None]
            profitable += int(np.count_nonzero(gain > GAIN))
            if gain.max() > best:
                best = float(gain.max())
                own, lie, other = np.unravel_index(np.argmax(gain), gain.shape)
                where = agent, int(own), int(lie), start + int(other)
    checked = k * others * agents * len(lies)
    if not profitable:
        return DSICAudit(checked, 0, best, None)
    agent, own, lie, other = where
    profile = _with(vectors[own][None], vectors[_others(k, agents, np.array([other]))], agent)[0, 0]
    return DSICAudit(checked, profitable, best, Witness(profile, agent, lies[lie]))


def _bundles(run: Batched, vectors: np.ndarray, agents: int, lies: np.ndarray | None) -> Callable:
    """What the agent gets at her truths and at her lies against some profiles of the others, `[own, others, items]` each."""
    (k, items), rows = vectors.shape, vectors if lies is None else np.concatenate([vectors, lies])
    if lies is None and k**agents * agents * items <= _TABLE:
        everyone = np.stack(np.unravel_index(np.arange(k**agents), (k,) * agents), 1)
        table = run(vectors[everyone]).reshape(*(k,) * agents, agents, items)

        def looked_up(agent: int, others: np.ndarray):
            own = np.moveaxis(table[..., agent, :], agent, 0).reshape(k, -1, items)[:, others]
            return own, own

        return looked_up

    def allocated(agent: int, others: np.ndarray):
        profiles = _with(rows, vectors[_others(k, agents, others)], agent)
        own = run(profiles.reshape(-1, agents, items)).reshape(profiles.shape)[:, :, agent]
        return own[:k], own if lies is None else own[k:]

    return allocated


def _others(k: int, agents: int, index: np.ndarray) -> np.ndarray:
    """Which vector each of the others has, `[index, agents - 1]`."""
    return np.stack(np.unravel_index(index, (k,) * (agents - 1)), 1)


def _with(rows: np.ndarray, others: np.ndarray, agent: int) -> np.ndarray:
    """Profiles `[rows, others, agents, items]` in which `agent` has each row against each profile of the others."""
    shape = (len(rows), len(others), 1, rows.shape[1])
    own = np.broadcast_to(rows[:, None, None], shape)
    rest = np.broadcast_to(others[None], (len(rows), *others.shape))
    return np.concatenate([rest[:, :, :agent], own, rest[:, :, agent:]], 2)
