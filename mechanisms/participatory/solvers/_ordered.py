r"""The best allocation among those with one order of utilities: a small program that is exact where the order is right.

While utilities keep an order, ties included, welfare is linear, :math:`W(u) = \langle 1 + \sigma_\pi, u \rangle`, and the
order is n - 1 rows of two entries. An optimum whose equal groups and whose other agents are sorted alike is found exactly,
however large the groups. So a solver that is near, and whose order is right, is made exact on the side of shares. The
multipliers of the rows lead to the dual; moved into the base polytope by the flows between tied agents, they prove it [D].
"""

import numpy as np
from jaxtyping import Bool, Float

from .._check import Problem
from ..measures import weighted_supergradient
from ._program import Program
from .dual import fill

Vector = Float[np.ndarray, " agents"]
Matrix = Float[np.ndarray, "agents items"]
#: Rounds of adding shares that the multipliers ask for.
ROUNDS = 8


def solve_in_order(
    problem: Problem, like: Vector, support: Bool[np.ndarray, "agents items"]
) -> tuple[Matrix, Vector, Bool[np.ndarray, "agents items"]] | None:
    """The best shares whose utilities have the order of `like`, what a unit of each utility is worth, and a larger support.

    Values are of order 1, `counts` are given. The support grows by what the multipliers ask for;
    it must hold some feasible shares of that order.
    """
    values, alpha, beta, caps, disposal, members = problem
    assert members is not None
    order = np.argsort(like, kind="stable")
    slope = members * (1 + weighted_supergradient(like, alpha, beta, members))
    found = None
    for _ in range(ROUNDS):
        program = Program(values, caps, disposal, members, support)
        program.reward(program.utilities, slope)
        pairs = program.utilities[np.stack([order[:-1], order[1:]])]
        place = program.at_most(np.arange(order.size - 1), pairs, [[1.0], [-1.0]], np.zeros(order.size - 1))
        optimum = program.solve()
        if optimum is None:
            return found
        worth = slope.copy()
        worth[order[:-1]] -= optimum.duals[place]
        worth[order[1:]] += optimum.duals[place]
        asked = fill((worth / members)[:, None] * values, caps, disposal, members) > 0
        found = optimum.shares, worth / members - 1, support | asked
        if not (asked & ~support).any():
            break
        support = support | asked
    return found


def into_polytope(sigma: Vector, u: Vector, alpha: Vector, beta: Vector, members: Vector) -> Vector | None:
    """The nearest multipliers in Sigma that fit utilities `u`: pairs that differ are at their ends, tied ones between.

    One variable a tied pair. The result is a sum of pair multipliers within their bounds, so it is in Sigma whatever `sigma` was.
    """
    import scipy.optimize
    import scipy.sparse as sp

    n = u.size
    i, k = np.triu_indices(n, 1)
    weight = members[i] * members[k] / max(members.sum() - 1, 1)
    low, high = -weight * (beta[i] + alpha[k]), weight * (alpha[i] + beta[k])
    high = np.maximum(low, high)  # where rounding made a pair that is linear nonconcave
    tied = np.abs(u[i] - u[k]) <= 1e-8 * max(float(u.max()), 1e-300)
    ends = np.where(tied, 0.0, np.where(u[i] > u[k], low, high))
    base = np.bincount(i, ends, n) - np.bincount(k, ends, n)
    i, k, low, high = (x[tied] for x in (i, k, low, high))
    columns = np.arange(i.size)
    flow = sp.csr_array((np.repeat([1.0, -1.0], i.size), (np.append(i, k), np.tile(columns, 2))), shape=(n, i.size))
    answer = scipy.optimize.linprog(
        np.append(np.zeros(i.size), np.ones(2 * n)),
        A_eq=sp.hstack([flow, sp.eye_array(n), -sp.eye_array(n)]).tocsr(),
        b_eq=members * sigma - base,
        bounds=np.stack([np.append(low, np.zeros(2 * n)), np.append(high, np.full(2 * n, np.inf))], 1),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if answer.status != 0:
        return None
    return (base + flow @ np.clip(answer.x[: i.size], low, high)) / members
