r"""Two agents exactly, by sorting the items once.

With :math:`A = \beta_1 + \alpha_2` and :math:`B = \beta_2 + \alpha_1` welfare is the least of linear functions, and
the dual has one variable, Δ, which moves weight from the first agent to the second:

.. math:: W^* = \min_{\Delta \in [-B, A]} g(\Delta), \qquad
    g(\Delta) = \sum_j \max\{(1 - \Delta) a_{1j}, (1 + \Delta) a_{2j}\}

Its slope is :math:`u_2 - u_1`, and it breaks at :math:`\rho_j = (a_{1j} - a_{2j}) / (a_{1j} + a_{2j})`: the item goes
to the first agent if :math:`\rho_j > \Delta`, to the second if less, and is split if equal.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from ...models._check import require
from ._check import check_problem
from .solution import Solution, certified, stacked


class TwoAgents(Solution):
    """A `Solution` for two agents.

    Attributes:
        threshold: `[..., 2]`, the lowest and the highest optimal Δ, dimensionless: the first agent keeps what she
            values by more than (1 + Δ) / (1 - Δ) times as much.
    """

    threshold: Float[Any, "*batch 2"] | None = None


def two_agents(values: Any, alpha: Any, beta: Any) -> TwoAgents:
    r"""The best allocation for two people who mind inequality, exactly, in O(items log items).

    Items are sorted by how much more the first agent values them, relative to the sum, and cut at a threshold Δ: at A
    where she stays richer, at -B where he does, and else where both are equally well off, splitting one item. All
    optimal Δ are returned. If she is strictly richer at the optimum then Δ = A, if he is then Δ = -B; where they are
    equal, Δ may have either sign, whoever was richer without inequality aversion.

    Args:
        values: `[..., 2, items]`, in utils, not negative. An item that is worth nothing to both goes to the first.
        alpha: `[..., 2]` or a number, aversion to being behind.
        beta: `[..., 2]` or a number, aversion to being ahead.

    Returns:
        `Solution` with, in addition, `threshold` `[..., 2]`, the lowest and highest optimal Δ.

    Raises:
        ValueError: not two agents, A or B at least 1 (use `solve(..., method="lp")`), A + B < 0, or bad numbers.

    Source: Shirali, Finocchiaro and Abebe (2024), lemma 3.1 and equation 13 [P]. The one-dimensional dual and the
        interval are [D].

    Example:
        >>> found = two_agents([[1.0, 1.0], [0.9, 0.2]], alpha=0.2, beta=0.1)
        >>> found.threshold.round(4).tolist(), found.utilities.round(4).tolist()
        ([0.3, 0.3], [1.0, 0.9])
    """
    problem = check_problem(values, alpha, beta)
    found = []
    for p in problem.each():
        data = (p.values, p.alpha, p.beta, p.caps, p.disposal, None)
        shares, interval = _cut(*data[:5])
        middle = interval.mean()
        one = certified(*data, shares, np.array([-middle, middle]), 1e-6, "two_agent")
        found.append(
            TwoAgents(**{name: getattr(one, name) for name in Solution.__dataclass_fields__}, threshold=interval)
        )
    return stacked(found, problem.batch)


def solve_two(
    values: np.ndarray,
    alpha: np.ndarray,
    beta: np.ndarray,
    caps: np.ndarray,
    disposal: str,
    counts: np.ndarray | None = None,
    tol: float = 1e-6,
    max_steps: int = 20000,
) -> tuple[np.ndarray, np.ndarray]:
    """`two_agents` as a back end of `solve`, which takes caps too: then what they leave open is cut."""
    del tol, max_steps
    require(
        counts is None or (counts == 1).all(),
        "`counts` must be 1 for method='two_agent': more agents stand behind the rows. Use method='types'.",
    )
    shares, interval = _cut(values, alpha, beta, caps, disposal)
    middle = interval.mean()
    return shares, np.array([-middle, middle])


def applies(alpha: np.ndarray, beta: np.ndarray) -> bool:
    """Whether A and B are below 1, so that no weight is negative."""
    return len(alpha) == 2 and bool(max(beta[0] + alpha[1], beta[1] + alpha[0]) < 1)


def _cut(
    values: np.ndarray, alpha: np.ndarray, beta: np.ndarray, caps: np.ndarray, disposal: str
) -> tuple[np.ndarray, np.ndarray]:
    """Shares and the interval of optimal Δ. Weights are not negative, so that nothing is thrown away either way."""
    del disposal
    require(len(values) == 2, f"`values` must have two agents here, got {len(values)}: use `solve`.")
    top, low = beta[0] + alpha[1], -(beta[1] + alpha[0])
    require(
        applies(alpha, beta),
        f"`alpha` and `beta` give A = beta_1 + alpha_2 = {top:.4g} and B = beta_2 + alpha_1 = {-low:.4g}; the two-agent method "
        "needs both below 1. Use `solve` with method='lp'.",
    )
    low = min(low, top)  # by rounding, where A + B = 0
    most = np.minimum(caps, 1.0)
    least = np.minimum(1 - most, most)  # what is left when the other is full
    first, second = values
    open_ = np.flatnonzero((most > least) & (first + second > 0))
    a1, a2, room = first[open_], second[open_], (most - least)[open_]
    # (a1 - a2) / (a1 + a2) without overflow, and exact where both are alike
    largest = np.maximum(a1, a2)
    both, apart = a1 / largest, a2 / largest
    both, apart = both + apart, both - apart
    rho = apart / both
    order = np.argsort(rho)
    rho, a1, a2 = rho[order], (room * a1)[order], (room * a2)[order]

    base = least @ second - least @ first
    # excess[k] = u_2 - u_1 when the k lowest go to the second agent; it rises with k
    excess = base + np.concatenate([[0.0], np.cumsum(a2)]) - np.concatenate([np.cumsum(a1[::-1])[::-1], [0.0]])
    slack = 64 * np.finfo(float).eps * (np.abs(excess[0]) + np.abs(excess[-1]))
    breaks = np.concatenate([[-np.inf], rho, [np.inf]])
    rising = int(np.searchsorted(excess, -slack, side="left"))  # first with u_2 >= u_1
    still = int(np.searchsorted(excess, slack, side="right"))  # one past the last with u_2 <= u_1
    interval = np.clip([breaks[rising], max(breaks[still], breaks[rising])], low, top)

    to_second = np.zeros(len(rho))
    if breaks[rising] >= top:  # she stays richer
        to_second[: np.searchsorted(rho, top, side="left")] = 1
    elif breaks[rising] <= low:  # he does
        to_second[: np.searchsorted(rho, low, side="right")] = 1
    else:  # equally well off: item `rising` is split
        to_second[:rising] = 1
        before, after = excess[rising - 1], excess[rising]
        to_second[rising - 1] = np.clip(-before / (after - before), 0, 1)
    moved = np.zeros(len(first))
    moved[open_[order]] = to_second
    moved *= most - least
    return np.stack([most - moved, least + moved]), interval
