r"""The participatory program as one linear program, solved by HiGHS: the referee of every other solver.

With :math:`d = u_i - u_k`, the penalty of a pair is :math:`(\beta_i + \alpha_k)\, d^+ + (\beta_k + \alpha_i)\, d^-`. Since
:math:`d^+ = d + d^-`, one variable :math:`q \ge d^-` a pair is enough, and the rest is linear in utilities:

.. math::
    (\beta_i + \alpha_k)\, d + (\alpha_i + \beta_i + \alpha_k + \beta_k)\, q, \qquad q \ge -d,\ q \ge 0.

The paper's program (proof of lemma 3.3) has two variables for each of n - 1 others; this one has n (n - 1) / 2 in all [D].
Memory and time grow with the pairs: it is for up to some 150 kinds of agents.
"""

import numpy as np

from .._check import Answer, Problem
from ..measures import weighted_supergradient
from ._program import Program


def solve_lp(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    r"""An exact optimum of one checked instance, and the optimal multipliers of utilities.

    The dual of the row of a pair is :math:`y_{ik} \in [0, w_{ik}(e_i + e_k)]`, with e = alpha + beta and w the weight of the
    pair, so that :math:`t_{ik} = y_{ik} - w_{ik}(\beta_i + \alpha_k)` is the multiplier that is added to
    :math:`\sigma_i` and taken from :math:`\sigma_k`. Unlike an order of the utilities it is right where many are equal.

    Args:
        problem: without leading axes. Where rows stand for `counts` agents, pairs weigh g_k g_l / (N - 1), items total
            sum_k g_k x_kj, and shares are one member's.
        tol: not used: the answer is a vertex.
        max_steps: not used.

    Returns:
        Shares `[agents, items]` and sigma `[agents]`, both optimal.

    Source: Shirali, Finocchiaro and Abebe, proof of lemma 3.3 [P]; the form with one variable a pair, `counts` and the
    multipliers are ours [D].

    Example:
        >>> from fairhand.mechanisms.participatory.solvers.lp import solve_lp
        >>> from fairhand.mechanisms.participatory._check import check_problem
        >>> shares, sigma = solve_lp(check_problem([[1.0], [0.8]], alpha=0.3, beta=0.2))
        >>> shares.ravel().round(4).tolist(), sigma.round(4).tolist()
        ([0.4444, 0.5556], [-0.1111, 0.1111])
    """
    del tol, max_steps
    values, alpha, beta = problem.values, problem.alpha, problem.beta
    members = np.ones(len(values)) if problem.counts is None else problem.counts.astype(float)
    scale = float(values.max()) or 1.0
    weight = np.outer(members, members) / max(members.sum() - 1, 1)
    program = Program(values / scale, problem.caps, problem.disposal, members)
    program.reward(program.utilities, members)
    program.add_gaps(-weight * (beta[:, None] + alpha[None, :]))
    optimum = program.solve()
    if optimum is None:  # feasible on both sides all the same; the gap tells
        equal = np.full_like(values, 1 / members.sum())
        return equal, weighted_supergradient(np.sum(values * equal, 1), alpha, beta, members)
    return optimum.shares, program.worth(optimum) / members - 1
