"""Slow and plain answers to participatory programs, written from the definitions and nothing else."""

import itertools

import numpy as np
from scipy.optimize import linprog


def inequality_by_pairs(u):
    """I+ and I-, one pair after another."""
    n = len(u)
    behind = [sum(max(u[k] - u[i], 0) for k in range(n)) / max(n - 1, 1) for i in range(n)]
    ahead = [sum(max(u[i] - u[k], 0) for k in range(n)) / max(n - 1, 1) for i in range(n)]
    return np.array(behind), np.array(ahead)


def welfare_by_pairs(u, alpha, beta):
    behind, ahead = inequality_by_pairs(u)
    return float(sum(u[i] - alpha[i] * behind[i] - beta[i] * ahead[i] for i in range(len(u))))


def set_bound(members, alpha, beta):
    """F(S) of the base polytope, for a bool array of members."""
    n, size = len(alpha), members.sum()
    return ((n - size) * alpha[members].sum() + size * beta[~members].sum()) / (n - 1)


def best_welfare(values, alpha, beta, caps=1.0, disposal="forbidden"):
    """W* by the paper's own linear program: two variables for every ordered pair (proof of lemma 3.3)."""
    n, m = values.shape
    if n == 1:
        return float(values.sum() if disposal == "forbidden" else (values * caps).sum())
    pairs = list(itertools.combinations(range(n), 2))
    size = n * m + 2 * len(pairs)
    cost = np.zeros(size)
    cost[: n * m] = -values.ravel()
    equal = np.zeros((len(pairs), size))
    for row, (i, k) in enumerate(pairs):
        over, under = n * m + row, n * m + len(pairs) + row
        cost[over], cost[under] = (beta[i] + alpha[k]) / (n - 1), (beta[k] + alpha[i]) / (n - 1)
        equal[row, i * m : (i + 1) * m], equal[row, k * m : (k + 1) * m] = values[i], -values[k]
        equal[row, over], equal[row, under] = -1, 1
    total = np.zeros((m, size))
    for j in range(m):
        total[j, j : n * m : m] = 1
    bounds = [(0, b) for _ in range(n) for b in np.broadcast_to(caps, (m,))] + [(0, None)] * (2 * len(pairs))
    if disposal == "free":
        found = linprog(cost, total, np.ones(m), equal, np.zeros(len(pairs)), bounds)
    else:
        rows, right = np.vstack([equal, total]), np.append(np.zeros(len(pairs)), np.ones(m))
        found = linprog(cost, A_eq=rows, b_eq=right, bounds=bounds)
    assert found.status == 0, found.message
    return -found.fun


def concave_weights(rng, n, negative=True):
    """Alpha and beta of all sorts, some altruists among them, with a concave welfare."""
    while True:
        alpha, beta = rng.normal(0.3, 0.4, n), rng.normal(0.25, 0.3, n)
        if not negative:
            alpha, beta = np.abs(alpha), np.abs(beta)
        total = np.sort(alpha + beta)
        if n == 1 or total[0] + total[1] >= 0:
            return alpha, beta
