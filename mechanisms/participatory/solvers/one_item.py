r"""One item, or items that all agents rank and weigh alike: exact for any number of agents.

Shares of one item are utilities up to scale, and welfare is homogeneous and linear while the order of utilities stays
the same. So an optimum makes a set S of agents equally well off and leaves nothing to the others:

.. math:: W^* = \max_S \frac{g(S)}{\sum_{i \in S} 1 / s_i}, \qquad
    g(S) = W(1_S) = k - \frac{(n - k) \beta(S) + k \alpha(S^c)}{n - 1}, \quad k = |S|

g is supermodular, and 1 + σ ranges over its base polytope. The dual that proves the optimum is the base whose entries
:math:`(1 + \sigma_i) s_i` are as level as can be: constant on S, and lower steps on the others [D].
"""

import numpy as np

from ....models._check import require
from .._check import Answer, Problem

#: Numbers looked at in one pass.
BLOCK = 1 << 22
#: An agent who values the item by less than this part of the highest value is never given any.
NOTHING = 1e-150


def solve_one(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    """One item without a cap, exactly.

    O(n log n) where all have the same alpha and beta; else Dinkelbach's method on the ratio, O(n^2 log n) a step.

    Args:
        problem: one item, its cap 1; either disposal, as nothing is gained by throwing away an uncapped item.
        tol: not used: the answer is exact.
        max_steps: not used.

    Returns:
        Shares `[agents, 1]` and sigma `[agents]`.

    Raises:
        ValueError: more than one item, or a cap below 1.

    Source: [D]; Dinkelbach (1967), Management Science 13(7).
    """
    items = problem.values.shape[1]
    require(items == 1, f"`values` must have one item for method='one_item', got {items}.")
    return solve_aligned(problem, tol, max_steps)


def solve_aligned(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    """Items that all weigh alike, values_ij = s_i w_j, without caps: as one item, of which everybody gets the same share.

    Arguments and result as in `solve_one`, with any number of items.

    Raises:
        ValueError: values that are not of this form, or a cap below 1.

    Source: [D].
    """
    del tol, max_steps
    values, alpha, beta, counts = problem.values, problem.alpha, problem.beta, problem.counts
    require((problem.caps >= 1).all(), "`caps` must be 1 for methods 'one_item' and 'aligned'; use method='lp'.")
    s = scales(values)
    if s is None:
        raise ValueError("`values` must be s_i w_j, the same up to one factor an agent, for method='aligned'.")
    row = np.arange(len(s)) if counts is None else np.repeat(np.arange(len(s)), counts)
    share, sigma = one_item(s[row], alpha[row], beta[row])
    if counts is not None:  # identical agents may be told apart by a tie: their average is as good
        share, sigma = (np.bincount(row, x) / counts for x in (share, sigma))
    return np.repeat(share[:, None], values.shape[1], 1), sigma


def scales(values: np.ndarray) -> np.ndarray | None:
    """S with values_ij = s_i w_j up to rounding, or None where there is none."""
    if values.shape[1] == 1:
        return values[:, 0]
    w = values[np.argmax(values.max(1))]
    if not w.any():
        return np.zeros(len(values))
    w = w / w.max()
    s = values @ w / (w @ w)
    near = 1e-14 * len(w) ** 0.5 * s.max()
    block = max(1, BLOCK // len(w))
    for i in range(0, len(s), block):
        if (np.abs(values[i : i + block] - s[i : i + block, None] * w) > near).any():
            return None
    return s


def one_item(s: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares `[agents]` and sigma `[agents]`, both optimal, for one item of worth `s` `[agents]`."""
    n = len(s)
    share = np.zeros(n)
    highest = s.max()
    if highest == 0 or n == 1:
        share[0] = 1.0
        return share, np.zeros(n) if n == 1 else _steps(np.arange(n), alpha, beta, 0) - 1
    s = s / highest
    order = np.argsort(-s, kind="stable")
    some = order[s[order] > NOTHING]
    if (alpha == alpha[0]).all() and (beta == beta[0]).all():
        chosen, z = _alike(s, some, float(alpha[0] + beta[0]))
    else:
        chosen, z = _unlike(s, some, alpha, beta)
    if chosen is None:  # better with somebody who does not want it than with those who do
        share[order[-1]] = 1.0
    else:
        share[chosen] = 1 / s[chosen]
        share /= share.sum()
    return share, z - 1


def _alike(s: np.ndarray, some: np.ndarray, e: float) -> tuple[np.ndarray | None, np.ndarray]:
    """The set and 1 + sigma where all have the same alpha + beta: the richest k, by running sums and one hull."""
    from scipy.optimize import isotonic_regression

    n, p = len(s), len(some)
    k = np.arange(1, p + 1)
    g = k - k * (n - k) * e / (n - 1)
    weight = 1 / s[some]
    ratio = g / np.cumsum(weight)
    best = int(np.argmax(ratio))
    # The least concave majorant of g over the running sums of 1/s: its slopes are the level steps of the dual.
    level = np.asarray(isotonic_regression(np.diff(g, prepend=0) / weight, weights=weight, increasing=False).x)
    z = np.full(n, (n - g[-1]) / (n - p) if n > p else 0.0)
    z[some] = level * weight
    return (None if ratio[best] < 0 and p < n else some[: best + 1]), z


def _unlike(
    s: np.ndarray, some: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """The set and 1 + sigma for any weights: Dinkelbach's method, then the others split into level steps."""
    n = len(s)
    none = np.zeros(0, int)
    weight = np.zeros(n)
    weight[some] = 1 / s[some]
    ratio = np.cumsum(_steps(some, alpha, beta, 0)) / np.cumsum(weight[some])
    chosen = some[: int(np.argmax(ratio)) + 1]
    level = ratio.max()
    for _ in range(100):
        found, value = _best_set(none, some, level, weight, alpha, beta)
        if value <= 1e-13 * (1 + abs(level) * weight[found].sum()):
            break
        chosen, level = found, _worth(found, alpha, beta) / weight[found].sum()

    z = np.zeros(n)
    z[chosen] = level * weight[chosen]
    rest = np.setdiff1d(some, chosen)
    blocks = [(chosen, rest[np.argsort(weight[rest], kind="stable")])]
    while blocks:
        lower, block = blocks.pop()
        if not len(block):
            continue
        vertex = _steps(np.concatenate([lower, block]), alpha, beta, len(lower))
        if (vertex <= level * weight[block]).all():  # proof enough
            z[block] = vertex
            continue
        step = vertex.sum() / weight[block].sum()
        part, value = _best_set(lower, block, step, weight, alpha, beta)
        base = _worth(lower, alpha, beta)
        if len(part) == len(block) or value - base <= 1e-13 * (1 + abs(base)):
            z[block] = step * weight[block]
        else:
            mine = np.isin(block, part)
            blocks += [(lower, block[mine]), (np.concatenate([lower, block[mine]]), block[~mine])]
    last = np.setdiff1d(np.arange(n), some)
    z[last] = _steps(np.concatenate([some, last]), alpha, beta, len(some))
    return (None if level < 0 and len(last) else chosen), z


def _worth(chosen: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> float:
    """g(S), welfare when the members of S have one util each."""
    n, k = len(alpha), len(chosen)
    return k - ((n - k) * beta[chosen].sum() + k * (alpha.sum() - alpha[chosen].sum())) / (n - 1)


def _steps(order: np.ndarray, alpha: np.ndarray, beta: np.ndarray, start: int) -> np.ndarray:
    """What each agent of `order` adds to g of those before her, from place `start` on."""
    n, a, b = len(alpha), alpha[order], beta[order]
    k = np.arange(len(order))
    before_a, before_b = np.cumsum(a) - a, np.cumsum(b) - b
    z = 1 + (a * k - b * (n - 1 - k) - (alpha.sum() - before_a - a) + before_b) / (n - 1)
    return z[start:]


def _best_set(
    lower: np.ndarray, block: np.ndarray, level: float, weight: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, float]:
    """The S within `block`, not empty, that maximises g(lower and S) - level * weight(S), and that value.

    Given how many they are, k with `lower`, g is a sum over members: so the q of the highest scores, for each q.
    """
    n, e = len(alpha), alpha + beta
    fixed_e, fixed_b = e[lower].sum(), beta[lower].sum()
    best, which = -np.inf, (1, 0.0)
    width = max(1, BLOCK // len(block))
    for start in range(1, len(block) + 1, width):
        q = np.arange(start, min(start + width, len(block) + 1))
        k = len(lower) + q
        score = (k[:, None] * e[block] - n * beta[block]) / (n - 1) - level * weight[block]
        top = np.cumsum(-np.sort(-score, 1), 1)[np.arange(len(q)), q - 1]
        value = k - (k * alpha.sum() - k * fixed_e + n * fixed_b) / (n - 1) + top
        at = int(np.argmax(value))
        if value[at] > best:
            best, which = float(value[at]), (int(q[at]), float(k[at]))
    q, k = which
    score = (k * e[block] - n * beta[block]) / (n - 1) - level * weight[block]
    return block[np.argsort(-score, kind="stable")[:q]], best
