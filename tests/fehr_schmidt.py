"""An independent referee for the participatory room: the paper's own linear program, and inequality by a double loop."""

from typing import Any, NamedTuple

import numpy as np
import scipy.optimize


class Optimum(NamedTuple):
    """What the linear program says."""

    shares: np.ndarray
    utilities: np.ndarray
    welfare: float


def penalty(utilities: Any, alpha: Any, beta: Any) -> float:
    """Q, pair by pair."""
    u = np.asarray(utilities)
    n = len(u)
    alpha, beta = np.broadcast_to(alpha, n), np.broadcast_to(beta, n)
    total = 0.0
    for i in range(n):
        for k in range(n):
            if i != k:
                total += alpha[i] * max(u[k] - u[i], 0.0) + beta[i] * max(u[i] - u[k], 0.0)
    return total / (n - 1)


def optimum(values: Any, alpha: Any, beta: Any, caps: Any = 1.0, disposal: str = "forbidden") -> Optimum:
    """The participatory optimum by HiGHS, in variables x_ij and one z for each unordered pair; weights may be negative."""
    a = np.asarray(values, float)
    n, m = a.shape
    alpha, beta = np.broadcast_to(alpha, n), np.broadcast_to(beta, n)
    pairs = [(i, k) for i in range(n) for k in range(i)]
    cost = np.concatenate([-a.ravel(), np.ones(len(pairs))])
    rows = []
    for at, (i, k) in enumerate(pairs):
        gap = np.zeros((n, m))
        gap[i], gap[k] = a[i], -a[k]
        for weight in (beta[i] + alpha[k], -(beta[k] + alpha[i])):
            row = np.zeros(n * m + len(pairs))
            row[: n * m] = weight * gap.ravel() / (n - 1)
            row[n * m + at] = -1.0
            rows.append(row)
    totals = np.hstack([np.tile(np.eye(m), n), np.zeros((m, len(pairs)))])
    ends = [(0.0, c) for _ in range(n) for c in np.broadcast_to(caps, m)] + [(None, None)] * len(pairs)
    free = disposal == "free"
    answer = scipy.optimize.linprog(
        cost,
        A_ub=np.vstack([*rows, totals]) if free else np.array(rows),
        b_ub=np.concatenate([np.zeros(len(rows)), np.ones(m)]) if free else np.zeros(len(rows)),
        A_eq=None if free else totals,
        b_eq=None if free else np.ones(m),
        bounds=ends,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert answer.status == 0, answer.message
    shares = answer.x[: n * m].reshape(n, m)
    utilities = (a * shares).sum(1)
    return Optimum(shares, utilities, float(utilities.sum() - penalty(utilities, alpha, beta)))


def standard(values: Any, caps: Any = 1.0) -> np.ndarray:
    """Shares of a utilitarian optimum, item by item: the best agents to the cap."""
    a = np.asarray(values, float)
    n, m = a.shape
    caps = np.broadcast_to(caps, m)
    out = np.zeros((n, m))
    for j in range(m):
        left = 1.0
        for i in np.argsort(-a[:, j], kind="stable"):
            out[i, j] = min(left, caps[j])
            left -= out[i, j]
    return out


def loss_of(values: Any, found: Optimum, caps: Any = 1.0) -> float:
    """How much total utility the optimum gives up."""
    return float((np.asarray(values) * standard(values, caps)).sum() - found.utilities.sum())
