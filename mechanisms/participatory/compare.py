"""What it costs to ask people, and what they gain: the two optima side by side."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ...models._check import require
from ._check import check_problem, check_tolerance
from .measures import weighted_welfare
from .solvers.faces import gain_ends, loss_ends, standard_each
from .solvers.solution import Solution, certified
from .solvers.solve import METHODS, solve_each

Number = Float[Any, "*batch"]


class Comparison(eqx.Module):
    """The allocation that ignores people's view of inequality, and the one that follows it.

    Attributes:
        standard: `Solution` of greatest total utility, x*; its primal and dual are total utility. Of several the one
            that people like best, so that `gain` is the smallest.
        participatory: `Solution` of greatest welfare, x^theta.
        loss: `[...]`, total utility given up, f(u(x*)) - f(u(x^theta)), in utils (equation 4).
        gain: `[...]`, welfare gained, W(x^theta) - W(x*), in utils (equation 5).
        tradeoff: `[...]`, the largest factor by which an agent's utility falls (equation 8): 0/0 counts as 1,
            positive/0 is inf.
        price_of_fairness: `[...]`, loss / f(u(x*)), after Bertsimas, Farias and Trichakis (equation 6).
        price_of_fairness_ratio: `[...]`, f(u(x*)) / f(u(x^theta)), after Caragiannis and others (equation 7).
        inequality_standard: `[...]`, Q(x*), in utils.
        inequality_participatory: `[...]`, Q(x^theta). Always loss + gain = Q(x*) - Q(x^theta) [D].
        loss_range: `[..., 2]`, least and greatest loss over all optimal x^theta; None unless asked for.
        gain_range: `[..., 2]`, least and greatest gain over all optimal x*; None unless asked for.
    """

    standard: Solution
    participatory: Solution
    loss: Number
    gain: Number
    tradeoff: Number
    price_of_fairness: Number
    price_of_fairness_ratio: Number
    inequality_standard: Number
    inequality_participatory: Number
    loss_range: Float[Any, "*batch 2"] | None = None
    gain_range: Float[Any, "*batch 2"] | None = None


MAX_STEPS = 20000


def compare(
    values: Any,
    alpha: Any,
    beta: Any,
    *,
    caps: Any = 1.0,
    disposal: Any = "forbidden",
    method: Any = "auto",
    tol: Any = 1e-6,
    faces: Any = False,
) -> Comparison:
    r"""What following people's view of inequality costs in total utility, and what it gains in their own terms.

    .. math:: \text{loss} = f(u(x^*)) - f(u(x^\theta)), \qquad \text{gain} = W(x^\theta) - W(x^*)

    with f the sum, x* of greatest f(u) and x^theta of greatest W. Loss, trade-off and prices depend on which optimum
    x^theta is found where there are several, gain on which x* is taken: `faces=True` gives their ranges. They are as
    exact as the solution: its gap bounds the error of `gain`.

    Args:
        values: `[..., agents, items]`, in utils, not negative.
        alpha: `[..., agents]` or a number: aversion to being behind.
        beta: `[..., agents]` or a number: aversion to being ahead.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" or "free".
        method: as in `solve`.
        tol: as in `solve`.
        faces: whether to find the ranges of loss (two linear programs) and gain (a search over who is richer, where
            total utility has several optima); for up to 150 distinct agents.

    Returns:
        `Comparison`.

    Raises:
        ValueError: as `solve`; or `faces` for too many agents or too many ties.
        RuntimeError: a gap above `tol`.

    Source: Shirali, Finocchiaro and Abebe (2024), equations 2 to 8 [P]; the choice of x* and the ranges are ours [D].

    Example:
        >>> found = compare([[1.0], [0.8]], alpha=0.3, beta=0.2)
        >>> round(float(found.loss), 4), round(float(found.gain), 4), round(float(found.tradeoff), 4)
        (0.1111, 0.3889, 2.25)
    """
    problem = check_problem(values, alpha, beta, caps, disposal)
    require(method in METHODS, f"`method` must be one of {', '.join(METHODS)}; got {method!r}.")
    require(isinstance(faces, bool | np.bool_), f"`faces` must be True or False; got {faces!r}.")
    tol, _ = check_tolerance(tol)
    p = problem
    none = np.zeros(p.alpha.shape)
    standard = certified(p._replace(alpha=none, beta=none), standard_each(p, tol), none, tol, "utilitarian")
    found = solve_each(p, method, tol, MAX_STEPS)
    if found.status:
        raise RuntimeError(
            f"{found.status} Loss and gain would be off by as much: loosen `tol` or try another `method`."
        )
    before = np.asarray(standard.utilities)
    worth = weighted_welfare(before, p.alpha, p.beta)
    if (better := worth > found.primal).any():  # within the gap of each other: then nothing needs to move
        shares = np.where(np.asarray(better)[..., None, None], standard.shares, found.shares)
        found = certified(p, shares, np.asarray(found.sigma), tol, found.method)
    after, best = np.asarray(found.utilities), found.primal
    total, kept = before.sum(-1), after.sum(-1)
    loss = total - kept
    ratio = np.divide(total, kept, out=np.where(total > 0, np.inf, 1.0), where=kept > 0)
    ends = {}
    if faces:
        each = list(zip(p.each(), np.ravel(best), np.ravel(total), strict=True))
        ends["loss_range"] = np.array([loss_ends(q, float(w), float(t)) for q, w, t in each]).reshape(*p.batch, 2)
        ends["gain_range"] = np.array([gain_ends(q, float(w)) for q, w, _ in each]).reshape(*p.batch, 2)
    return Comparison(
        standard,
        found,
        loss,
        best - worth,
        individual_tradeoff(before, after),
        np.divide(loss, total, out=np.zeros_like(total), where=total > 0)[()],
        ratio[()],
        total - worth,
        kept - best,
        **ends,
    )


def individual_tradeoff(before: np.ndarray, after: np.ndarray) -> Any:
    """The largest ratio of utilities, `[...]`; 0/0 is 1, and what is below a part in 1e12 of the largest is 0."""
    least = 1e-12 * before.max(-1, keepdims=True)
    had, has = before > least, after > least
    return np.divide(before, after, out=np.where(had, np.inf, 1.0), where=has).max(-1)
