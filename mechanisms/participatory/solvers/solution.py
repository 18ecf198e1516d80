"""What every solver returns: an allocation, a bound on all others, and the gap between them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from .._check import Problem
from ..measures import weighted_welfare
from .dual import bound


class Solution(eqx.Module):
    """An allocation and the proof of how good it is.

    Attributes:
        shares: `[..., agents, items]`, what each agent gets of each item.
        utilities: `[..., agents]`, in utils.
        sigma: `[..., agents]`, a dual in the base polytope Σ, so that `dual_value(sigma, ...)` bounds every
            allocation; None where the objective is not Fehr and Schmidt's.
        primal: `[...]`, welfare of `shares`.
        dual: `[...]`, the bound: no allocation is worth more.
        gap: `[...]`, dual - primal. All three are recomputed from the shares and sigma that are returned.
        converged: `[...]`, whether the gap is at most `tol` times the greatest total utility.
        status: empty when all converged, else a sentence.
        method: the method used.
    """

    shares: Float[Any, "*batch agents items"]
    utilities: Float[Any, "*batch agents"]
    sigma: Float[Any, "*batch agents"] | None
    primal: Float[Any, "*batch"]
    dual: Float[Any, "*batch"]
    gap: Float[Any, "*batch"]
    converged: Bool[Any, "*batch"]
    status: str = eqx.field(static=True, default="")
    method: str = eqx.field(static=True, default="")


S = TypeVar("S", bound=Solution)


def certified(problem: Problem, shares: np.ndarray, sigma: np.ndarray, tol: float, method: str) -> Solution:
    """Answers to checked problems, judged: shares made feasible to the last bit, primal, dual and gap recomputed.

    Any leading axes, the same for all arrays but caps and counts. A sigma that is surely outside Σ proves nothing:
    then the dual is infinite, and the status says so.
    """
    values, alpha, beta, caps, disposal, counts = problem
    shares = feasible(shares, caps, disposal, counts)
    utilities = np.einsum("...ij,...ij->...i", values, shares)
    primal = weighted_welfare(utilities, alpha, beta, counts)
    sigma = centred(np.asarray(sigma, float), counts)
    off = outside(sigma, alpha, beta, counts)
    best = bound(np.zeros_like(sigma), values, caps, disposal, counts)
    dual = bound(sigma, values, caps, disposal, counts)
    dual = np.where(off <= 1e-9 * (1 + np.abs(sigma).max(-1)), dual, np.inf)[()]
    gap = dual - primal
    good = gap <= tol * best
    status = ""
    if not good.all():
        at = tuple(np.argwhere(~np.asarray(good))[0])
        here = lambda x: float(np.asarray(x)[at])
        status = _told(method, here(primal), here(dual), here(best), here(off), tol)
        if good.ndim:
            status = f"{(~good).sum()} of {good.size} problems did not converge; the first: {status}"
    return Solution(shares, utilities, sigma, primal, dual, gap, good, status, method)


def _told(method: str, primal: float, dual: float, best: float, off: float, tol: float) -> str:
    """What is wrong with an answer."""
    if not np.isfinite(primal):
        return f"`{method}` returned shares that are not finite."
    if not np.isfinite(dual):
        return f"`{method}` returned a dual outside the base polytope, by {off:.2g}: no bound."
    relative = (dual - primal) / best if best > 0 else np.inf
    return (
        f"`{method}` stopped at a relative gap of {relative:.2g}, above `tol` = {tol:.2g}: raise `max_steps`, loosen `tol`, or "
        "use the bound as it is."
    )


def stacked(solutions: Sequence[S], batch: tuple[int, ...]) -> S:
    """Answers to a batch as one answer with leading axes."""
    if not batch:
        return solutions[0]
    first = solutions[0]
    arrays = {}
    for field in dataclasses.fields(first):
        if field.name not in ("status", "method"):
            each = [getattr(s, field.name) for s in solutions]
            arrays[field.name] = None if each[0] is None else np.stack(each).reshape((*batch, *np.shape(each[0])))
    failed = [s.status for s in solutions if s.status]
    status = f"{len(failed)} of {len(solutions)} problems did not converge; the first: {failed[0]}" if failed else ""
    methods = ", ".join(dict.fromkeys(s.method for s in solutions))
    return type(first)(**arrays, status=status, method=methods)


def feasible(shares: np.ndarray, caps: np.ndarray, disposal: str, counts: np.ndarray | None = None) -> np.ndarray:
    """The shares without what rounding did to them: within caps, and column sums of 1 (at most 1 under free disposal)."""
    shares = np.clip(np.asarray(shares, float), 0, caps) + 0.0  # no minus zero
    members = (lambda x: x.sum(-2)) if counts is None else (lambda x: counts @ x)
    total = members(shares)
    scale = 1 / (np.where(total > 0, total, 1) if disposal == "forbidden" else np.maximum(total, 1))
    shares *= scale[..., None, :]
    if disposal == "forbidden":
        np.minimum(shares, caps, out=shares)
        short = 1 - members(shares)
        for *at, j in np.argwhere(short > 1e-14):  # what caps cut off goes where there is room
            column = shares[(*at, slice(None), j)]
            room = caps[j] - column
            column += room * min(1.0, short[(*at, j)] / members(room[:, None])[0])
    return shares


def centred(sigma: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Sigma without what rounding did to its sum, which is 0."""
    mean = sigma.mean(-1) if counts is None else sigma @ counts / counts.sum()
    return sigma - np.asarray(mean)[..., None]


def outside(sigma: np.ndarray, alpha: np.ndarray, beta: np.ndarray, counts: np.ndarray | None = None) -> Any:
    r"""By how much sigma is seen to leave the base polytope, `[...]`: its sum, single entries, the sets of its largest entries.

    .. math:: \sigma(S) \le F(S) = \frac{(n - |S|) \alpha(S) + |S| \beta(S^c)}{n - 1}

    Necessary for all weights, and sufficient where alpha + beta is the same for all [D].
    """
    g = np.ones(sigma.shape[-1]) if counts is None else counts.astype(float)
    n = g.sum()
    known = np.asarray(np.isfinite(sigma).all(-1))
    if n == 1:
        return np.where(known, np.abs(sigma).max(-1), np.inf)[()]
    sigma = np.where(known[..., None], sigma, 0)
    alpha, beta, g = np.broadcast_arrays(alpha, beta, g)
    alpha, beta, g = (np.broadcast_to(x, sigma.shape) for x in (alpha, beta, g))
    all_a, all_b = ((g * x).sum(-1, keepdims=True) for x in (alpha, beta))
    above = sigma - alpha - (all_b - beta) / (n - 1)
    below = -sigma - beta - (all_a - alpha) / (n - 1)
    worst = np.maximum(np.abs((g * sigma).sum(-1)) / n, np.maximum(above, below).max(-1))
    for score in (sigma, sigma - alpha):
        order = np.argsort(-score, -1)
        sums = lambda x, order=order: np.cumsum(np.take_along_axis(x, order, -1), -1)[..., :-1]
        size, mine, theirs = sums(g), sums(g * alpha), all_b - sums(g * beta)
        excess = sums(g * sigma) - ((n - size) * mine + size * theirs) / (n - 1)
        worst = np.maximum(worst, (excess / np.sqrt(size)).max(-1, initial=-np.inf))
    return np.where(known, worst, np.inf)[()]
