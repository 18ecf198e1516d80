"""Identical agents as one row that stands for many."""

from typing import NamedTuple

import numpy as np

from .._check import Answer, Problem


class Types(NamedTuple):
    """Distinct agents, how many of each there are, and which of them each agent is."""

    values: np.ndarray  # [types, items]
    alpha: np.ndarray  # [types]
    beta: np.ndarray  # [types]
    counts: np.ndarray  # [types]
    kind: np.ndarray  # [agents], index of the type

    def problem(self, whole: Problem) -> Problem:
        """The types' problem, with the items of the whole one."""
        return Problem(self.values, self.alpha, self.beta, whole.caps, whole.disposal, self.counts)


def merge(values: np.ndarray, alpha: np.ndarray, beta: np.ndarray, counts: np.ndarray | None = None) -> Types:
    """Agents with the same values, alpha and beta, to the last bit, merged.

    Identical agents have equal utilities at an optimum, since welfare is concave and does not know their names [D];
    so the types' problem, with pair weights g_k g_l / (n - 1) and caps g_k b_j on what a type gets, is the agents'
    problem.

    Types keep the order in which they first come.
    """
    n, m = values.shape
    # Equal rows have equal keys. Unequal ones with equal keys are told apart below, and are then at worst not merged.
    key = values @ np.random.default_rng(0).random(m)
    order = np.lexsort((beta, alpha, key))
    fresh = np.ones(n, bool)
    near = (key[order][1:] == key[order][:-1]) & (alpha[order][1:] == alpha[order][:-1])
    near &= beta[order][1:] == beta[order][:-1]
    at = np.flatnonzero(near) + 1
    fresh[at] = (values[order[at]] != values[order[at - 1]]).any(1)
    if fresh.all():
        return Types(values, alpha, beta, np.ones(n, np.int64) if counts is None else counts, np.arange(n))
    group = np.empty(n, int)
    group[order] = np.cumsum(fresh) - 1
    _, first, kind = np.unique(group, return_index=True, return_inverse=True)
    by_coming = np.argsort(first)
    rank = np.empty_like(by_coming)
    rank[by_coming] = np.arange(len(by_coming))
    kind, first = rank[kind], first[by_coming]
    weight = np.bincount(kind, None if counts is None else counts).round().astype(np.int64)
    return Types(values[first], alpha[first], beta[first], weight, kind)


def solve_types(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    """The linear program of the types, exact whatever the number of agents; its size grows with the square of the types [D]."""
    from .lp import solve_lp

    types = merge(problem.values, problem.alpha, problem.beta, problem.counts)
    shares, sigma = solve_lp(types.problem(problem), tol, max_steps)
    return shares[types.kind], sigma[types.kind]
