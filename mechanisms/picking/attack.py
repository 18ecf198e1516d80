"""A search for the lie that pays, where there are too many reports to try them all."""

import itertools
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ...models._check import concrete, require
from ...models.population import Population
from ._batched import Batched, count_of, vectors_of
from ._types import Count

_SWAPS = 1225  # pairs tried a step: all of them up to 50 items
_CLAIMS = 100  # items tried on their own a step


class Attack(eqx.Module):
    """What `attack` found.

    Attributes:
        gain: the greatest gain over the truth that was found; 0.0 if none. In units of the values.
        report: `[items]`, the report that reaches it; the truth if none.
        truthful: utility of the truth.
        tried: how many reports were tried.
    """

    gain: float
    report: Float[np.ndarray, " items"]
    truthful: float
    tried: int


def attack(mechanism: Any, values: Any, agent: Count, *, key: PRNGKeyArray, steps: Count = 50) -> Attack:
    """Search for the report that gives `agent` most at one profile, the others truthful.

    A local search from the truth. Each step tries every swap of two claims (1,225 of them at random beyond 50 items), every
    single claim (100 at random beyond 100 items) raised to the greatest bid or lowered to 0, and all claims at the greatest
    bid; it moves to the best of them, of equals to a random one, so that it wanders over plateaus. A gain refutes
    dominant-strategy incentive compatibility; no gain proves nothing.

    Args:
        mechanism: any rule, as in `audit_dsic`.
        values: `[agents, items]`, true values of one profile, a `Population` or an array.
        agent: who lies.
        key: which of equals to move to.
        steps: how many moves.

    Returns:
        An `Attack`: `gain`, `report`, `truthful`, `tried`.

    Raises:
        ValueError: an argument has a wrong shape or entries.

    Example:
        >>> from fairhand.mechanisms import picking
        >>> values = np.random.default_rng(0).random((3, 20))
        >>> picking.attack(picking.PickR(quotas=[6, 7, 7]), values, 0, key=jax.random.key(0), steps=5).gain
        0.0
        >>> picking.attack(picking.Ranking(), values, 0, key=jax.random.key(0), steps=5).gain > 0
        True
    """
    v = vectors_of("values", values.values if isinstance(values, Population) else values)
    require(len(v) >= 2, f"`values` must have at least two agents, got {len(v)}.")
    agent, steps = count_of("agent", agent, 0), count_of("steps", steps, 1)
    require(agent < len(v), f"`agent` must be 0 to {len(v) - 1}, got {agent}.")
    require(concrete(jax.random.key_data(key)) is not None, "`key` must be known: `attack` runs on the host.")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    with jax.enable_x64(True):
        run = Batched(mechanism)

        def utility(reports: np.ndarray) -> np.ndarray:
            told = np.repeat(v[None], len(reports), 0)
            told[:, agent] = reports
            return np.einsum("rm,m->r", run(told)[:, agent], v[agent])

        truthful = best = float(utility(v[agent][None])[0])
        here = report = v[agent]
        tried = 0
        for _ in range(steps):
            moves = _moves(here, v.max(), rng)
            got = utility(moves)
            tried += len(moves)
            # Utilities of one bundle may differ by round-off only if they are summed differently: they are not.
            here = moves[rng.choice(np.flatnonzero(got == got.max()))]
            if got.max() > best:
                best, report = float(got.max()), here
    return Attack(best - truthful, report, truthful, tried)


def _moves(report: np.ndarray, top: float, rng: np.random.Generator) -> np.ndarray:
    items = report.size
    if items * (items - 1) // 2 <= _SWAPS:
        pairs = np.array(list(itertools.combinations(range(items), 2)), int).reshape(-1, 2)
    else:
        first = rng.integers(items, size=_SWAPS)
        pairs = np.stack([first, (first + rng.integers(1, items, size=_SWAPS)) % items], 1)
    swapped = np.repeat(report[None], len(pairs), 0)
    swapped[np.arange(len(pairs))[:, None], pairs] = report[pairs[:, ::-1]]
    some = rng.permutation(items)[:_CLAIMS]
    claimed = np.repeat(report[None], 2 * some.size, 0)
    claimed[np.arange(some.size), some] = top
    claimed[some.size + np.arange(some.size), some] = 0.0
    return np.concatenate([swapped, claimed, np.full((1, items), top)])
