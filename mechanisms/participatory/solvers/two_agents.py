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

from ....models._check import require
from .._check import Answer, Problem, check_problem
from .solution import Solution, certified


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
    shares, interval = cut(problem)
    found = certified(problem, shares, middle(interval), 1e-6, "two_agent")
    return TwoAgents(**{name: getattr(found, name) for name in Solution.__dataclass_fields__}, threshold=interval)


def solve_two(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    """`two_agents` as a back end of `solve`, which takes caps too: then what they leave open is cut."""
    del tol, max_steps
    require(
        problem.counts is None or (problem.counts == 1).all(),
        "`counts` must be 1 for method='two_agent': more agents stand behind the rows. Use method='types'.",
    )
    shares, interval = cut(problem)
    return shares, middle(interval)


def applies(alpha: np.ndarray, beta: np.ndarray) -> bool:
    """Whether there are two agents, and A and B are below 1, so that no weight is negative."""
    return alpha.shape[-1] == 2 and bool((alpha + beta[..., ::-1] < 1).all())


def middle(interval: np.ndarray) -> np.ndarray:
    """Sigma `[..., 2]` in the middle of an interval of Δ."""
    delta = interval.mean(-1)
    return np.stack([-delta, delta], -1)


def cut(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Shares `[..., 2, items]` and the interval of optimal Δ `[..., 2]`.

    Weights are not negative, so that nothing is thrown away under either disposal.
    """
    values, alpha, beta = problem.values, problem.alpha, problem.beta
    n, m = values.shape[-2:]
    require(n == 2, f"`values` must have two agents here, got {n}: use `solve`.")
    top, low = beta[..., 0] + alpha[..., 1], -(beta[..., 1] + alpha[..., 0])
    require(
        applies(alpha, beta),
        f"`alpha` and `beta` give A = beta_1 + alpha_2 = {top.max():.4g} and B = beta_2 + alpha_1 = {-low.min():.4g}; the "
        "two-agent method needs both below 1. Use `solve` with method='lp'.",
    )
    low = np.minimum(low, top)  # by rounding, where A + B = 0
    most = np.minimum(problem.caps, 1.0)
    least = np.minimum(1 - most, most)  # what is left when the other is full
    room = most - least
    first, second = values[..., 0, :], values[..., 1, :]
    largest = np.maximum(first, second)
    closed = (room <= 0) | (largest <= 0)
    # (a1 - a2) / (a1 + a2) without overflow, and exact where both are alike; what is closed comes last and moves nothing
    largest = np.where(closed, 1, largest)
    sum_, difference = first / largest, second / largest
    sum_, difference = sum_ + difference, sum_ - difference
    rho = np.divide(difference, sum_, out=np.full(sum_.shape, np.inf), where=~closed)
    order = np.argsort(rho, -1)
    sort = lambda x: np.take_along_axis(x, order, -1)
    rho, gain, loss = sort(rho), sort(room * second), sort(room * first)

    base = second @ least - first @ least
    none = np.zeros_like(rho[..., :1])
    # excess[k] = u_2 - u_1 when the k lowest go to the second agent; it rises with k
    excess = np.concatenate([none, np.cumsum(gain, -1)], -1)
    excess -= np.concatenate([np.cumsum(loss[..., ::-1], -1)[..., ::-1], none], -1)
    excess += base[..., None]
    slack = 64 * np.finfo(float).eps * (np.abs(excess[..., :1]) + np.abs(excess[..., -1:]))
    rising = (excess < -slack).sum(-1)  # the first k with u_2 >= u_1
    still = (excess <= slack).sum(-1)  # one past the last k with u_2 <= u_1
    pick = lambda x, k: np.take_along_axis(x, np.clip(k, 0, x.shape[-1] - 1)[..., None], -1)[..., 0]
    place = lambda k: np.where(k == 0, -np.inf, np.where(k > m, np.inf, pick(rho, k - 1)))
    start = place(rising)
    end = np.maximum(place(still), start)
    interval = np.clip(np.stack([start, end], -1), low[..., None], top[..., None])

    richer, poorer = start >= top, start <= low  # the first agent stays so; else item `rising` is split
    whole = (rho < top[..., None]).sum(-1), (rho <= low[..., None]).sum(-1)
    whole = np.where(richer, whole[0], np.where(poorer, whole[1], rising - 1))
    before, after = pick(excess, rising - 1), pick(excess, rising)
    split = ~richer & ~poorer
    part = np.divide(-before, after - before, out=np.zeros(before.shape), where=split & (after > before))
    to_second = (np.arange(m) < whole[..., None]).astype(float)
    at = np.clip(whole, 0, m - 1)[..., None]
    here = np.take_along_axis(to_second, at, -1)
    np.put_along_axis(to_second, at, np.where(split[..., None], np.clip(part, 0, 1)[..., None], here), -1)
    moved = np.empty_like(rho)
    np.put_along_axis(moved, order, to_second, -1)
    moved *= room
    return np.stack([most - moved, least + moved], -2), interval
