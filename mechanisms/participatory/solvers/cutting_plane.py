r"""The participatory program by cutting planes: linear programs without a variable for each pair.

.. math:: \max_x \sum_i u_i - q, \qquad q \ge -\langle \sigma, u \rangle \quad \sigma \in \Sigma \text{ found so far}.

The multipliers of the cuts are a convex combination, so their mean is in Sigma and certifies a bound at every step. Only
shares that were a best response to some sigma so far are variables: what is left out is found by the same bound.
"""

import numpy as np
from jaxtyping import Float

from .._check import Answer, Problem
from ..measures import weighted_supergradient, weighted_welfare
from ._ordered import into_polytope, solve_in_order
from ._program import Program
from .dual import fill

# Gaps within which a cut is blunt, in mean utilities; and parts of the way to the program's answer that are tried.
_WIDTHS = (0.3, 0.03, 0.003)
_PARTS = tuple(0.5 ** np.arange(10))
# Steps after which a cut without weight is dropped.
_PATIENCE = 10


def solve_cuts(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    r"""An optimum of one checked instance to a relative gap, with the multipliers that certify it.

    Kelley's method, with help on either side. Each step cuts at the program's own utilities and at the best ones so far, by
    their order and by blunt cuts, which are exact where a whole group is equal; and it solves for the best shares that have the
    order found (`_ordered.py`), which ends the search as soon as the order is right. Good to some 500 kinds of agents.

    Args:
        problem: without leading axes.
        tol: stops at a gap of `tol` times the utilitarian optimum.
        max_steps: programs solved at most.

    Returns:
        Shares `[agents, items]` and sigma `[agents]`, the best of all steps on either side.

    Source: J. E. Kelley (1960), "The cutting-plane method for solving convex programs"; multipliers and blunt cuts ours [D].

    Example:
        >>> from fairhand.mechanisms.participatory.solvers.cutting_plane import solve_cuts
        >>> from fairhand.mechanisms.participatory._check import check_problem
        >>> shares, sigma = solve_cuts(check_problem([[1.0], [0.8]], alpha=0.3, beta=0.2))
        >>> shares.ravel().round(4).tolist(), sigma.round(4).tolist()
        ([0.4444, 0.5556], [-0.1111, 0.1111])
    """
    state = _Search(problem)
    for shares in (state.start, np.full_like(state.start, 1 / state.members.sum())):
        state.propose(shares)
        state.cut(state.utilities(shares))
    for _ in range(max_steps):
        if state.dual - state.primal <= tol * state.utilitarian or not state.step():
            break
    return state.shares, state.sigma


class _Search:
    """Cuts and shares in play, and the best of both sides so far, for utilities of about 1."""

    def __init__(self, problem: Problem):
        p = problem
        self.values = p.values / (float(p.values.max()) or 1.0)
        self.members = np.ones(len(p.values)) if p.counts is None else p.counts.astype(float)
        self.weights = p.alpha, p.beta, self.members
        self.problem = p._replace(values=self.values, counts=self.members)
        self.caps, self.disposal = p.caps, p.disposal
        self.start = fill(self.values, p.caps, p.disposal, self.members)
        self.utilitarian = float(self.members @ self.utilities(self.start))
        self.support = self.start > 0
        self.cuts: list[np.ndarray] = []
        self.idle: list[int] = []
        self.primal, self.dual = -np.inf, np.inf

    def utilities(self, shares):
        return np.sum(self.values * shares, 1)

    def propose(self, shares):
        """Shares may be the best so far."""
        welfare = float(weighted_welfare(self.utilities(shares), *self.weights))
        if welfare > self.primal:
            self.primal, self.shares = welfare, shares

    def certify(self, sigma):
        """Multipliers may give the best bound so far; what answers them best becomes a variable."""
        best = fill((1 + sigma)[:, None] * self.values, self.caps, self.disposal, self.members)
        self.support |= best > 0
        bound = float((self.members * (1 + sigma)) @ self.utilities(best))
        if bound < self.dual:
            self.dual, self.sigma = bound, sigma

    def cut(self, u):
        """Add the cuts at utilities `u`."""
        mean = float(self.members @ u / self.members.sum()) or 1.0
        found = [
            weighted_supergradient(u, *self.weights),
            *(blunt(u, *self.weights, width * mean) for width in _WIDTHS),
        ]
        for sigma in found:
            self.certify(sigma)
        self.cuts += found
        self.idle += [0] * len(found)

    def step(self):
        """Solve the program, look at its two answers, add cuts. False if it failed."""
        program = Program(self.values, self.caps, self.disposal, self.members, self.support)
        cuts = np.stack(self.cuts)
        most = float(np.abs(cuts * self.members).max(0) @ program.most)
        program.reward(program.utilities, self.members)
        penalty = program.variables(1, -most, most)
        program.reward(penalty, [-1.0])
        entries = -np.hstack([cuts * self.members, np.ones((len(cuts), 1))])
        columns = np.append(program.utilities, penalty)
        place = program.at_most(np.arange(len(cuts))[:, None], columns, entries, np.zeros(len(cuts)))
        optimum = program.solve()
        if optimum is None:
            return False
        share = optimum.duals[place] / (optimum.duals[place].sum() or 1.0)
        before = self.shares
        for part in _PARTS:
            self.propose(before + part * (optimum.shares - before))
        self.certify(share @ cuts)
        self._forget(share)
        there, here = self.utilities(optimum.shares), self.utilities(self.shares)
        self.cut(there)
        self.cut(here)
        # The order of the best so far, or on the way to the program's answer where that one was tried.
        self.sort(here if self.shares is not before else (here + there) / 2)
        return True

    def sort(self, like):
        """The best shares with the order of utilities `like`, and their multipliers."""
        found = solve_in_order(self.problem, like, self.support)
        if found is None:
            return
        shares, worth, self.support = found
        self.propose(shares)
        sigma = into_polytope(worth, self.utilities(shares), *self.weights)
        if sigma is not None:
            self.certify(sigma)
            self.cuts.append(sigma)
            self.idle.append(0)

    def _forget(self, share):
        """Drop cuts that had no weight for long."""
        idle = np.where(share > 0, 0, np.array(self.idle) + 1)
        keep = np.flatnonzero(idle < _PATIENCE)
        self.cuts, self.idle = [self.cuts[k] for k in keep], list(idle[keep])


def blunt(
    u: Float[np.ndarray, " agents"],
    alpha: Float[np.ndarray, " agents"],
    beta: Float[np.ndarray, " agents"],
    members: Float[np.ndarray, " agents"],
    width: float,
) -> Float[np.ndarray, " agents"]:
    r"""Multipliers where the kink of each pair is spread over gaps up to `width`: inside the face of a tied group.

    .. math:: (N - 1)\, \sigma_i = \sum_{k \ne i} (e_i + e_k)\, R\Bigl(\frac{u_k - u_i}{\text{width}}\Bigr) - \beta_i - \alpha_k,
        \qquad R(d) = \mathrm{clip}\Bigl(\frac{d + 1}{2}, 0, 1\Bigr), \quad e = \alpha + \beta

    Always in Sigma [D]. One sort and two searches, as R is constant outside a window and linear inside.
    """
    y = (u - u.min()) / width
    order = np.argsort(y)
    low, high = (np.searchsorted(y[order], y + side) for side in (-1.0, 1.0))

    def ramp(x):
        """Sum over all k of x_k R(y_k - y_i)."""
        total, moment = (np.append(0.0, np.cumsum(z[order])) for z in (x, x * y))
        return (moment[high] - moment[low] + (1 - y) * (total[high] - total[low])) / 2 + total[-1] - total[high]

    g, e = members, alpha + beta
    sigma = e * (ramp(g) - g / 2) + ramp(g * e) - g * e / 2 - beta * (g.sum() - g) - (g @ alpha - g * alpha)
    return sigma / max(g.sum() - 1, 1)
