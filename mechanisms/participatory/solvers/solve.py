"""One door to all solvers: check, choose, solve, certify."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....models._check import require
from .._check import Answer, Problem, check_problem, check_tolerance
from .dual import fill
from .one_item import scales
from .solution import Solution, certified, stacked
from .two_agents import applies, cut, middle
from .types import merge

METHODS = ("auto", "two_agent", "one_item", "aligned", "types", "lp", "cutting_plane", "first_order")
#: `auto` takes the linear program, whose size grows with the square of the rows, up to so many of them and so many shares;
#: and up to `LP_AT_MOST` rows where the first-order method did not reach `tol`.
LP_ROWS, LP_AT_MOST, LP_SHARES = 100, 400, 100_000
#: Up to so many agents `auto` takes the closed form of one item, where they mind inequality differently, and where alike.
SOME, MANY = 1000, 10_000_000

#: One checked problem, `tol` and `max_steps`.
BackEnd = Callable[[Problem, float, int], Answer]


def solve(
    values: Any,
    alpha: Any,
    beta: Any,
    *,
    caps: Any = 1.0,
    disposal: Any = "forbidden",
    counts: Any = None,
    method: Any = "auto",
    tol: Any = 1e-6,
    max_steps: Any = 20000,
    throw: Any = True,
) -> Solution:
    r"""The allocation that people who mind inequality would choose together, with a proof of how good it is.

    .. math:: x^\theta \in \arg\max_{x \in X} \sum_i u_i(x) - \alpha_i I^+_i(x) - \beta_i I^-_i(x), \qquad
        u_i(x) = \sum_j a_{ij} x_{ij}

    where I+ and I- are those of `inequality`, shares of an item sum to 1 (at most 1 under free disposal), and nobody
    gets more than the cap. Whatever the method, the answer carries a dual and the gap to it, recomputed from what is
    returned.

    Args:
        values: `[..., agents, items]`, in utils, not negative. Any number of leading axes, solved one by one.
        alpha: `[..., agents]` or a number: aversion to being behind, dimensionless; may be negative where
            `is_concave`.
        beta: `[..., agents]` or a number: aversion to being ahead.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" or "free".
        counts: `[agents]`, whole numbers: row k stands for that many identical agents, and every field of the result
            is one member's.
        method: "auto" merges identical agents and takes the cheapest exact method that applies, else "first_order".
            Or one of "two_agent", "one_item", "aligned", "types", "lp", "cutting_plane", "first_order".
        tol: relative gap: converged iff gap <= tol * (greatest total utility).
        max_steps: most iterations, where the method iterates.
        throw: whether to raise where the gap stays above `tol`.

    Returns:
        `Solution`. Of several optimal allocations any may come.

    Raises:
        ValueError: bad input, by the name of the argument; nonconcave pairs; a method that does not apply.
        RuntimeError: a gap above `tol`, if `throw`.

    Source: the program is equation 3 of Shirali, Finocchiaro and Abebe (2024) [P]; the dual and the gap are [D].

    Example:
        >>> found = solve([[1.0, 1.0], [0.9, 0.2]], alpha=0.2, beta=0.1)
        >>> found.shares.round(3).tolist(), found.method
        ([[0.0, 1.0], [1.0, 0.0]], 'two_agent')
    """
    problem = check_problem(values, alpha, beta, caps, disposal, counts)
    require(method in METHODS, f"`method` must be one of {', '.join(METHODS)}; got {method!r}.")
    tol, max_steps = check_tolerance(tol, max_steps)
    found = solve_each(problem, method, tol, max_steps)
    if throw and found.status:
        raise RuntimeError(f"{found.status} Pass throw=False to take it as it is.")
    return found


def solve_each(problem: Problem, method: str, tol: float, max_steps: int) -> Solution:
    """The solutions of checked problems: pairs of agents all at once, others one by one; some may not have converged."""
    p = problem
    # Where nobody minds, `auto` fills items one by one, and breaks ties otherwise: a batch must do as its loop does.
    minded = ((p.alpha != 0) | (p.beta != 0)).any(-1).all()
    pairs = method == "two_agent" or (method == "auto" and minded)
    if p.batch and pairs and p.counts is None and applies(p.alpha, p.beta):
        shares, interval = cut(p)
        return certified(p, shares, middle(interval), tol, "two_agent")
    return stacked([solve_checked(one, method, tol, max_steps) for one in p.each()], p.batch)


def solve_checked(p: Problem, method: str, tol: float, max_steps: int) -> Solution:
    """One checked problem's `Solution`; it may not have converged."""
    if method == "auto":
        return _auto(p, tol, max_steps)
    shares, sigma = _back_end(method)(p, tol, max_steps)
    return certified(p, shares, sigma, tol, method)


def _auto(p: Problem, tol: float, max_steps: int) -> Solution:
    if not (p.alpha.any() or p.beta.any()) or (p.counts is None and len(p.values) == 1):
        shares = fill(p.values, p.caps, p.disposal, p.counts)
        return certified(p, shares, np.zeros(len(shares)), tol, "utilitarian")
    if special := _special(p):
        return solve_checked(p, special, tol, max_steps)
    types = merge(p.values, p.alpha, p.beta, p.counts)
    rows = len(types.values)
    merged = types.counts.max() > 1
    kinds = types.problem(p) if merged else types.problem(p)._replace(counts=None)
    small = rows * p.values.shape[1] <= LP_SHARES
    methods = (
        ["lp"]
        if small and rows <= LP_ROWS
        else ["first_order", "lp"]
        if small and rows <= LP_AT_MOST
        else ["first_order"]
    )
    for method in methods:
        shares, sigma = _back_end(method)(kinds, tol, max_steps)
        name = "types" if merged and method == "lp" else method
        if rows < len(types.kind):
            shares, sigma = shares[types.kind], sigma[types.kind]
        found = certified(p, shares, sigma, tol, name)
        if found.converged:
            break
    return found


def _special(p: Problem) -> str | None:
    """The closed form that applies, if any."""
    if (p.caps < 1).any() and len(p.values) != 2:
        return None
    single = p.counts is None or p.counts.max() == 1
    if single and applies(p.alpha, p.beta):
        return "two_agent"
    alike = (p.alpha == p.alpha[0]).all() and (p.beta == p.beta[0]).all()
    agents = len(p.values) if p.counts is None else p.counts.sum()
    if (p.caps < 1).any() or (agents > (MANY if alike else SOME)) or scales(p.values) is None:
        return None
    return "one_item" if p.values.shape[1] == 1 else "aligned"


def _back_end(method: str) -> BackEnd:
    if method == "two_agent":
        from .two_agents import solve_two as back_end
    elif method == "one_item":
        from .one_item import solve_one as back_end
    elif method == "aligned":
        from .one_item import solve_aligned as back_end
    elif method == "types":
        from .types import solve_types as back_end
    elif method == "lp":
        from .lp import solve_lp as back_end
    elif method == "cutting_plane":
        from .cutting_plane import solve_cuts as back_end
    else:
        from .first_order import solve_first_order as back_end
    return back_end
