r"""[X] Caring about the bad draws: how an allocation fares in the worst share of them, and the one that fares best there.

With welfare :math:`W_s = W(x; \theta_s)` of S draws and a level c,

.. math:: \mathrm{CVaR}_c = \max_t\; t - \frac{1}{c S} \sum_s (t - W_s)^+

is the mean of the worst c of all draws: c = 1 is their mean, c -> 0 the worst draw. At fixed draws each W_s is concave piecewise
linear in x with the *same* gaps, so the best x is one linear program with a row for each draw.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, hstack, identity, vstack

from ....models._check import require
from .._check import check_caps, check_concave, check_disposal, check_room, numbers
from ..measures import welfare
from .decide import draws_of

#: Largest program over pairs of agents.
MOST_AGENTS = 60


class TailDecision(eqx.Module):
    """The allocation whose worst draws are the least bad.

    Attributes:
        shares: `[agents, items]`.
        tail: CVaR of its welfare at `level`, in utils, recomputed from the shares.
        bound: the optimum of the program: no allocation has a greater CVaR, up to the program's tolerance.
        expected_welfare: its mean welfare; never above that of `decide`.
        welfare: `[draws]`, of these shares.
    """

    shares: Float[np.ndarray, "agents items"]
    tail: Float[Any, ""]
    bound: Float[Any, ""]
    expected_welfare: Float[Any, ""]
    welfare: Float[np.ndarray, " draws"]


def tail_welfare(utilities: Any, alpha: Any, beta: Any, *, level: float = 0.1) -> Any:
    """Mean welfare in the worst `level` of all draws, of one allocation.

    Args:
        utilities: `[agents]`, in utils.
        alpha: draws `[draws, agents]`. `beta`: the same.
        level: in (0, 1]; 1 is the mean.

    Returns:
        CVaR, in utils. The draw on the edge counts in part.

    Raises:
        ValueError: `level` outside (0, 1], or shapes that do not fit.

    Source: Rockafellar and Uryasev (2000) [X].

    Example:
        >>> round(float(tail_welfare([1.0, 0.0], np.array([[0.0, 0.0], [0.0, 0.5]]), 0.0, level=0.5)), 6)
        0.5
    """
    u = numbers(utilities, "utilities")
    _, alpha, beta = draws_of(np.zeros((u.shape[-1], 1)), alpha, beta)
    return _cvar(np.asarray(welfare(np.broadcast_to(u, alpha.shape), alpha, beta)), _level(level))


def decide_cvar(
    values: Any, alpha: Any, beta: Any, *, level: float = 0.1, caps: Any = 1.0, disposal: str = "forbidden"
) -> TailDecision:
    """The one allocation whose welfare in the worst `level` of all draws is greatest: for those who fear being wrong.

    Args:
        values: `[agents, items]`, in utils.
        alpha: draws `[draws, agents]`, concave each. `beta`: the same.
        level: in (0, 1]; 1 gives an allocation as good as that of `decide`.
        caps: as in `solve`. `disposal`: as in `solve`.

    Returns:
        `TailDecision`.

    Raises:
        ValueError: bad input, a draw that is not concave, or more than 60 agents.
        RuntimeError: the linear program was not solved.

    Source: [X], a linear program after Rockafellar and Uryasev (2000).

    Example:
        >>> draws = np.array([[0.0, 0.0], [0.9, 0.9]])
        >>> decide_cvar([[1.0], [0.8]], draws, 0.0, level=0.5).shares.round(4).tolist()
        [[0.4444], [0.5556]]
    """
    values, alpha, beta = draws_of(values, alpha, beta)
    level, disposal = _level(level), check_disposal(disposal)
    n, m = values.shape
    require(n <= MOST_AGENTS, f"`values` has {n} agents; the program over pairs takes up to {MOST_AGENTS}.")
    caps = check_caps(caps, m)
    check_room(caps, disposal, n)
    check_concave(alpha, beta)
    first, second = np.triu_indices(n, 1)
    pairs, draws = first.size, len(alpha)
    # shares, then how much the first of each pair is ahead, how much behind, then t, then how far each draw is below t
    size = n * m + 2 * pairs + 1 + draws
    own = csr_array(coo_array((values.ravel(), (np.repeat(np.arange(n), m), np.arange(n * m))), shape=(n, n * m)))
    split = hstack([own[first] - own[second], -identity(pairs), identity(pairs), csr_array((pairs, 1 + draws))])
    others = max(n - 1, 1)
    ahead = (beta[:, first] + alpha[:, second]) / others
    behind = (beta[:, second] + alpha[:, first]) / others
    worth = np.tile(values.ravel(), (draws, 1))
    short = hstack([csr_array(-worth), csr_array(ahead), csr_array(behind), np.ones((draws, 1)), -identity(draws)])
    given = hstack([csr_array(np.tile(np.eye(m), n)), csr_array((m, size - n * m))])
    cost = np.zeros(size)
    cost[n * m + 2 * pairs] = -1.0
    cost[n * m + 2 * pairs + 1 :] = 1 / (level * draws)
    low = np.zeros(size)
    low[n * m + 2 * pairs] = -np.inf
    high = np.full(size, np.inf)
    high[: n * m] = np.tile(caps, n)
    free = disposal == "free"
    found = linprog(
        cost,
        A_ub=vstack([short, given]) if free else short,
        b_ub=np.append(np.zeros(draws), np.ones(m)) if free else np.zeros(draws),
        A_eq=split if free else vstack([split, given]),
        b_eq=np.zeros(pairs) if free else np.append(np.zeros(pairs), np.ones(m)),
        bounds=np.stack([low, high], 1),
        method="highs",
    )
    if found.status != 0:
        raise RuntimeError(f"The linear program over draws was not solved: {found.message}")
    shares = np.clip(found.x[: n * m].reshape(n, m), 0, caps)
    u = (values * shares).sum(1)
    each = np.asarray(welfare(np.broadcast_to(u, alpha.shape), alpha, beta))
    return TailDecision(shares, np.float64(_cvar(each, level)), np.float64(-found.fun), each.mean(), each)


def _cvar(each: np.ndarray, level: float) -> float:
    worst = np.sort(each)
    weight = np.clip(level * worst.size - np.arange(worst.size), 0, 1)
    return float(weight @ worst / weight.sum())


def _level(level: Any) -> float:
    known = numbers(level, "level")
    require(known.shape == () and 0 < known <= 1, f"`level` must be a number in (0, 1], got {level!r}.")
    return float(known)
