"""What every solver returns: an allocation, a bound on all others, and the gap between them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from .dual import bound
from .measures import weighted_welfare


class Solution(eqx.Module):
    """An allocation and the proof of how good it is.

    Attributes:
        shares: `[..., agents, items]`, what each agent gets of each item.
        utilities: `[..., agents]`, in utils.
        sigma: `[..., agents]`, a dual in the base polytope Σ, so that `dual_value(sigma, ...)` bounds every allocation; None
            where the objective is not Fehr and Schmidt's.
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


def certified(
    values: np.ndarray,
    alpha: np.ndarray,
    beta: np.ndarray,
    caps: np.ndarray,
    disposal: str,
    counts: np.ndarray | None,
    shares: np.ndarray,
    sigma: np.ndarray,
    tol: float,
    method: str,
) -> Solution:
    """One checked problem's answer, judged: shares made feasible to the last bit, primal, dual and gap recomputed.

    A sigma that is surely outside Σ proves nothing: then the dual is infinite, and the status says so.
    """
    shares = feasible(shares, caps, disposal, counts)
    utilities = np.einsum("ij,ij->i", values, shares)
    primal = float(weighted_welfare(utilities, alpha, beta, counts))
    sigma = centred(np.asarray(sigma, float), counts)
    off = outside(sigma, alpha, beta, counts)
    best = bound(np.zeros_like(sigma), values, caps, disposal, counts)
    dual = bound(sigma, values, caps, disposal, counts) if off <= 1e-9 * (1 + np.abs(sigma).max()) else np.inf
    gap = dual - primal
    good = bool(gap <= tol * best)
    status = ""
    if not np.isfinite(primal):
        status = f"`{method}` returned shares that are not finite."
    elif not np.isfinite(dual):
        status = f"`{method}` returned a dual outside the base polytope, by {off:.2g}: no bound."
    elif not good:
        relative = gap / best if best > 0 else np.inf
        status = (
            f"`{method}` stopped at a relative gap of {relative:.2g}, above `tol` = {tol:.2g}: raise `max_steps`, loosen "
            "`tol`, or use the bound as it is."
        )
    primal, dual, gap = np.float64(primal), np.float64(dual), np.float64(gap)
    return Solution(shares, utilities, sigma, primal, dual, gap, np.bool_(good), status, method)


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
    shares = np.clip(np.asarray(shares, float), 0, caps)
    members = (lambda x: x.sum(0)) if counts is None else (lambda x: counts @ x)
    total = members(shares)
    scale = np.where(total > 1, 1 / np.where(total > 1, total, 1), 1.0)
    if disposal == "forbidden":
        scale = 1 / np.where(total > 0, total, 1)
    shares *= scale
    if disposal == "forbidden":
        np.minimum(shares, caps, out=shares)
        short = 1 - members(shares)
        for j in np.flatnonzero(short > 1e-14):  # what caps cut off goes where there is room
            room = caps[j] - shares[:, j]
            shares[:, j] += room * min(1.0, short[j] / members(room))
    return shares


def centred(sigma: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Sigma without what rounding did to its sum, which is 0."""
    return sigma - (sigma.mean() if counts is None else counts @ sigma / counts.sum())


def outside(sigma: np.ndarray, alpha: np.ndarray, beta: np.ndarray, counts: np.ndarray | None = None) -> float:
    r"""By how much sigma is seen to leave the base polytope: its sum, single entries, and the sets of its largest entries.

    .. math:: \sigma(S) \le F(S) = \frac{(n - |S|) \alpha(S) + |S| \beta(S^c)}{n - 1}

    Necessary for all weights, and sufficient where alpha + beta is the same for all [D].
    """
    if not np.isfinite(sigma).all():
        return np.inf
    g = np.ones(len(sigma)) if counts is None else counts.astype(float)
    n = g.sum()
    if n == 1:
        return float(np.abs(sigma).max())
    all_a, all_b = g @ alpha, g @ beta
    worst = np.maximum(
        sigma - alpha - (all_b - beta) / (n - 1),
        -sigma - beta - (all_a - alpha) / (n - 1),
    ).max()
    for order in (np.argsort(-sigma), np.argsort(-sigma + alpha)):
        size, mine = np.cumsum(g[order]), np.cumsum((g * alpha)[order])
        theirs = all_b - np.cumsum((g * beta)[order])
        excess = np.cumsum((g * sigma)[order]) - ((n - size) * mine + size * theirs) / (n - 1)
        worst = max(worst, float((excess / np.sqrt(size))[:-1].max(initial=-np.inf)))
    return float(max(worst, abs(g @ sigma) / n))
