r"""Sets of optima: which of several allocations an answer is about, and how far apart they are.

Both programs may have many optimal allocations. Loss depends only on which allocation is optimal for welfare, gain
only on which one is optimal for total utility. The latter is a face: an item goes whole to those who value it most,
each up to her cap, and those who value what is left of it alike may share that in any way.
"""

from typing import Any, NamedTuple

import numpy as np

from ....models._check import require
from .._check import ROUNDING, Problem
from ..measures import weighted_supergradient, weighted_welfare
from ._program import Optimum, Program
from .dual import fill
from .types import merge

#: Up to so many kinds of agents the ends are found by one linear program over pairs.
ROWS = 150
#: Up to so many pairs whose order is open the largest gain is found, by a search over their orders.
OPEN_PAIRS = 400


class Face(NamedTuple):
    """The allocations of greatest total utility: who may get some of an item, and how much of it is hers for sure."""

    some: np.ndarray  # [agents, items] bool
    sure: np.ndarray  # [agents, items]
    open: np.ndarray  # [items] bool, those that may be shared in several ways that matter


def utilitarian_face(p: Problem) -> Face:
    """Who may get what, where total utility is greatest; items worth nothing at the margin are given as `fill` does."""
    values, n = p.values, len(p.values)
    members = np.ones(n) if p.counts is None else p.counts.astype(float)
    start = fill(values, p.caps, p.disposal, p.counts)
    given = start > 0
    # what the least of those served values it at: what is left of it is shared at this value
    margin = np.where(given, values, np.inf).min(0)
    above, tied = values > margin, values == margin
    left = 1 - (members[:, None] * above).sum(0) * p.caps
    room = (members[:, None] * tied).sum(0) * p.caps
    open_ = (margin > 0) & np.isfinite(margin) & (left > ROUNDING) & (room > left + ROUNDING) & (tied.sum(0) > 1)
    return Face(np.where(open_, above | tied, given), np.where(open_, above * p.caps, start), open_)


def standard_shares(p: Problem, tol: float) -> np.ndarray:
    """The allocation of greatest total utility that people who mind inequality like best: of all, that with the largest W.

    Up to `ROWS` kinds of agents that leave something open by one linear program; beyond, by cuts, to `tol` of total
    utility.
    """
    start = fill(p.values, p.caps, p.disposal, p.counts)
    if not (p.alpha.any() or p.beta.any()) or ((p.caps >= 1).all() and not tied(p.values)):
        return start
    if not utilitarian_face(p).open.any():
        return start
    types = merge(p.values, p.alpha, p.beta, p.counts)
    q = p._replace(values=types.values, alpha=types.alpha, beta=types.beta, counts=types.counts)
    face = utilitarian_face(q)
    if not face.open.any():  # identical agents only: equal shares
        return fill(q.values, q.caps, q.disposal, q.counts)[types.kind]
    if len(q.values) <= ROWS:
        program = _on(q, face)
        program.add_gaps(_gaps(q))
        return _found(program)[0].shares[types.kind]
    return _by_cuts(q, types.counts, face, tol)[types.kind]


def standard_each(problem: Problem, tol: float) -> np.ndarray:
    """`standard_shares` of checked problems, `[..., agents, items]`; those without ties all at once where there are no caps."""
    if problem.batch and (problem.caps >= 1).all() and problem.counts is None:
        shares, open_ = np.zeros(problem.values.shape), tied(problem.values)
        np.put_along_axis(shares, problem.values.argmax(-2)[..., None, :], 1.0, -2)
    else:
        shares, open_ = np.empty(problem.values.shape), np.ones(problem.batch, bool)
    for at in np.ndindex(problem.batch):
        if open_[at]:
            p = problem._replace(values=problem.values[at], alpha=problem.alpha[at], beta=problem.beta[at])
            shares[at] = standard_shares(p, tol)
    return shares


def tied(values: np.ndarray) -> Any:
    """Whether several agents value some item most, and above nothing, `[...]`."""
    best = values.max(-2, keepdims=True)
    return (((values == best).sum(-2) > 1) & (best[..., 0, :] > 0)).any(-1)


def gain_ends(p: Problem, best: float) -> np.ndarray:
    """`[2]`, the least and the greatest gain over all allocations of greatest total utility; the optimum is worth `best`."""
    face = utilitarian_face(p)
    least = best - _welfare(p, standard_shares(p, 1e-9))
    if not face.open.any() or not (p.alpha.any() or p.beta.any()):
        return np.array([least, least])
    if p.counts is not None:  # the worst sharing may tell identical agents apart
        row = np.repeat(np.arange(len(p.values)), p.counts)
        p = p._replace(values=p.values[row], alpha=p.alpha[row], beta=p.beta[row], counts=None)
        face = utilitarian_face(p)
    return np.array([least, max(least, best - _worst(p, face))])


def loss_ends(p: Problem, best: float, standard: float) -> np.ndarray:
    """`[2]`, the least and the greatest loss over all allocations of greatest welfare `best`; a part in 1e9 is let go of it."""
    types = merge(p.values, p.alpha, p.beta, p.counts)
    counts = types.counts
    q = p._replace(values=types.values, alpha=types.alpha, beta=types.beta, counts=counts)
    rows = len(q.values)
    require(
        rows <= ROWS,
        f"`faces` needs linear programs over all pairs, for up to {ROWS} kinds of agents; here are {rows}. Pass faces=False.",
    )
    ends = []
    for side in (1.0, -1.0):
        scale = q.values.max() or 1.0
        program = Program(q.values / scale, q.caps, q.disposal, counts)
        i, k = np.triu_indices(rows, 1)
        gaps = _gaps(q)
        slope, bend = gaps[i, k], np.maximum(-gaps[i, k] - gaps[k, i], 0.0)
        linear = counts + np.bincount(i, slope, rows) - np.bincount(k, slope, rows)
        behind = program.variables(len(i), 0.0, program.most[k])
        u, pair = program.utilities, np.arange(len(i))
        program.at_most(pair, np.stack([u[k], u[i], behind]), [[1.0], [-1.0], [-1.0]], np.zeros(len(i)))
        columns, entries = np.concatenate([u, behind]), np.concatenate([-linear, bend])
        slack = 1e-9 * standard / scale
        program.at_most(np.zeros(len(columns), int), columns, entries, np.array([slack - best / scale]))
        program.reward(u, side * counts)
        total = counts @ (q.values * _found(program)[0].shares).sum(1)
        ends.append(standard - total)
    return np.array(ends)


def _gaps(p: Problem) -> np.ndarray:
    """`[agents, agents]`, what a util of i more than k costs; counts as in `solve`."""
    counts = np.ones(len(p.values)) if p.counts is None else p.counts
    weight = np.outer(counts, counts) / max(counts.sum() - 1, 1)
    return -weight * (p.beta[:, None] + p.alpha[None])


def _on(p: Problem, face: Face) -> Program:
    """A program over the face, with utilities in units of the greatest value."""
    program = Program(p.values / p.values.max(), p.caps, p.disposal, p.counts, face.some)
    sure = face.sure[program.agent, program.item]
    at = np.flatnonzero(sure > 0)
    program.at_most(np.arange(len(at)), program.shares[at], -1.0, -sure[at])
    if p.disposal == "free":  # nothing of what is shared is left over
        shared = np.flatnonzero(face.open[program.item])
        _, row = np.unique(program.item[shared], return_inverse=True)
        program.at_most(
            row, program.shares[shared], -program.members[program.agent[shared]], np.full(face.open.sum(), -1.0)
        )
    return program


def _found(program: Program) -> tuple[Optimum, Program]:
    optimum = program.solve()
    if optimum is None:
        raise RuntimeError(
            "HiGHS failed on the linear program over an optimal face. Pass faces=False, or rescale `values`."
        )
    return optimum, program


def _welfare(p: Problem, shares: np.ndarray) -> float:
    return float(weighted_welfare((p.values * shares).sum(1), p.alpha, p.beta, p.counts))


def _by_cuts(p: Problem, counts: np.ndarray, face: Face, tol: float, steps: int = 200) -> np.ndarray:
    """The best of the face by Kelley's method, without a variable for each pair."""
    start = fill(p.values, p.caps, p.disposal, counts)
    best, shares = -np.inf, start
    cuts, now = [], start
    for _ in range(steps):
        u = (p.values * now).sum(1)
        value = float(weighted_welfare(u, p.alpha, p.beta, counts))
        if value > best:
            best, shares = value, now
        cuts.append(weighted_supergradient(u, p.alpha, p.beta, counts) * counts)
        program = _on(p, face)
        program.reward(program.utilities, counts.astype(float))
        most = float(np.abs(cuts).max(0) @ program.most)
        penalty = program.variables(1, -most, most)
        program.reward(penalty, [-1.0])
        entries = -np.hstack([np.array(cuts), np.ones((len(cuts), 1))])
        program.at_most(
            np.arange(len(cuts))[:, None], np.append(program.utilities, penalty), entries, np.zeros(len(cuts))
        )
        optimum, _ = _found(program)
        now = optimum.shares
        if optimum.bound * p.values.max() - best <= tol * float(counts @ (p.values * start).sum(1)):
            break
    return shares


def _worst(p: Problem, face: Face) -> float:
    """The least welfare on the face. It is concave, so this is a search over who is richer, in every pair where that is open."""
    program, weights = _on(p, face), p.values / p.values.max()
    low = (weights * face.sure).sum(1)
    high = (weights * np.where(face.open & face.some, p.caps, face.sure)).sum(1)
    i, k = np.triu_indices(len(weights), 1)
    gaps = _gaps(p)
    slope, bend = -gaps[i, k], np.maximum(-gaps[i, k] - gaps[k, i], 0.0)  # maximise slope * d + bend * (-d)^+
    known = (high[i] <= low[k]) | (low[i] >= high[k])
    # where the order is known (-d)^+ is linear: -d if k is the richer one
    slope = slope - np.where(high[i] <= low[k], bend, 0.0)
    u, n = program.utilities, len(weights)
    program.reward(u, np.bincount(i, slope, n) - np.bincount(k, slope, n) - 1.0)
    i, k, bend = (x[~known & (bend > 0)] for x in (i, k, bend))
    require(
        len(i) <= OPEN_PAIRS,
        f"`faces` leave the order of {len(i)} pairs of agents open, where total utility is greatest; the largest gain is "
        f"searched for up to {OPEN_PAIRS}. Pass faces=False.",
    )
    if len(i):
        reach = np.maximum(high[i] - low[k], high[k] - low[i])
        behind = program.variables(len(i), 0.0, reach)
        richer = program.variables(len(i), 0.0, 1.0, whole=True)  # whether i is
        program.reward(behind, bend)
        pair = np.arange(len(i))
        program.at_most(np.tile(pair, 2), np.concatenate([behind, richer]), np.append(np.ones(len(i)), reach), reach)
        rows = [behind, u[i], u[k], richer]
        sides = np.stack([np.ones(len(i)), np.ones(len(i)), -np.ones(len(i)), -reach])
        program.at_most(pair, np.stack(rows), sides, np.zeros(len(i)))
    return _welfare(p, _found(program)[0].shares)
