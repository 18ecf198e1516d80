r"""The solver for many agents: first-order steps whose every round is certified.

Each round takes a hundred primal-dual steps (`_saddle.py`) on a few candidates an item (`_slab.py`), and judges what came out on
the whole problem: the welfare of the last and of the average shares, and the bound of the last and of the average sigma. The best
of each is kept, and the next round starts from the last point or from the average, whichever has the smaller gap. Candidates are
chosen anew once the steps have done most of what they can with those at hand. No array is larger than the values, and none is
agents by agents. `solve_in_program` is the same for few agents, inside a JAX program.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._check import Answer, Problem
from ..measures import weighted_welfare, welfare
from ._mirror import Mirror, mirror
from ._saddle import Ends, Iterate, Saddle, steps
from ._slab import Slab, choose, rows_for, spread
from .dual import bound, dual_value

#: Steps between two certificates.
ROUND = 100
#: Rounds at the start that choose candidates each, and the most rounds in a row with the same ones.
EARLY, SAME = 8, 5
#: Up to so many pairs of agent and item all of them are candidates.
PAIRS = 40_000
#: w, the balance of the two sides once values are counted in the item's largest; and others, tried in turn where the gap does
#: not halve in so many rounds.
WEIGHT, OTHERS, PATIENCE = 0.8, (0.1, 4.0, 0.8), 20


class Certified(NamedTuple):
    """What `solve_in_program` found.

    Attributes:
        shares: `[agents, items]`.
        sigma: `[agents]`, in the base polytope.
        primal: welfare of the shares.
        dual: a bound on that of all allocations.
    """

    shares: Float[Array, "agents items"]
    sigma: Float[Array, " agents"]
    primal: Float[Array, ""]
    dual: Float[Array, ""]


def solve_first_order(problem: Problem, tol: float = 1e-6, max_steps: int = 20000) -> Answer:
    r"""Primal-dual steps on a few candidates an item, until the gap is at most `tol` of the greatest total utility.

    Meant for hundreds to tens of thousands of agents: a step costs one sort of the agents and a pass over the candidates. Where
    many agents are exact copies, merge them first (`solve` does).

    Args:
        problem: without leading axes.
        tol: relative gap.
        max_steps: most steps; whole rounds of 100 are taken.

    Returns:
        Shares `[agents, items]` and sigma `[agents]`, one member's. Sigma lies in Σ whether or not the gap is reached.

    Source: [D]; steps as in Chambolle and Pock (2016), their length as in Applegate and others (2021).

    Example:
        >>> from fairhand.mechanisms.participatory._check import check_problem
        >>> shares, sigma = solve_first_order(check_problem([[1.0, 1.0], [0.9, 0.2]], alpha=0.2, beta=0.1))
        >>> shares.round(3).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    with jax.enable_x64(True):
        return _Search(problem).run(tol, max_steps)


class _Search:
    """One problem while it is being solved."""

    def __init__(self, problem: Problem):
        values, alpha, beta, caps, disposal, counts = problem
        n, m = values.shape
        self.values, self.caps, self.disposal, self.counts = values, caps, disposal, counts
        self.social = (alpha, beta)
        self.people = mirror(alpha, beta, counts)
        self.slope = _slope(self.people.aversion, n)
        self.rows = n if n * m <= PAIRS else rows_for(n, m, caps)
        self.columns = None if self.rows == n else np.ascontiguousarray(values.T)
        self.weight = np.asarray(WEIGHT)
        self.rng = np.random.default_rng(0)

    def run(self, tol: float, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        n, m = self.values.shape
        most = self.bound(np.zeros(n))
        sigma = np.asarray(_sigma(self.people, np.zeros(n)))
        slab, noise = self.candidates(sigma, 0.3, None), 0.3
        slab.shares[:] = 1 / self.rows
        start = Iterate(slab.shares, np.zeros(n), np.zeros(m), np.ones(()), np.zeros(()))
        saddle = self.saddle(slab)
        held, upper, best = -np.inf, np.inf, (slab, sigma)
        rounds = same = 0
        mark, since, tried = np.inf, 0, 0
        while rounds * ROUND < max_steps:
            at, last, mean = jax.tree.map(np.asarray, _steps(saddle, start, ROUND))
            rounds, same = rounds + 1, same + 1
            primal = [weighted_welfare(z.utilities, *self.social, self.counts) for z in (last, mean)]
            # The average of sigma bounds best; the sigma of the average y is where a restart would begin.
            duals = [last.sigma, mean.sigma, np.asarray(_sigma(self.people, mean.y))]
            dual = [self.bound(s) for s in duals]
            p, d = int(np.argmax(primal)), int(np.argmin(dual))
            if primal[p] > held:
                held, best = primal[p], (slab._replace(shares=(last, mean)[p].x), best[1])
            if dual[d] < upper:
                upper, best = dual[d], (best[0], duals[d])
            if upper - held <= tol * most:
                break
            if upper - held < mark / 2:
                mark, since = upper - held, rounds
            elif rounds - since >= PATIENCE:
                self.weight, tried, since = np.asarray(OTHERS[tried % 3]), tried + 1, rounds
                saddle = self.saddle(slab)
            again = dual[2] - primal[1] < dual[0] - primal[0]
            start = Iterate(mean.x if again else at.x, mean.y if again else at.y, at.multipliers, at.step, at.age)
            gap = min(dual[0] - primal[0], dual[1] - primal[1])
            if self.columns is not None and (
                rounds < EARLY
                or same >= SAME
                or min(self.inside(slab, z.sigma) for z in (last, mean)) - max(primal) < gap / 2
            ):
                same, noise = 0, float(np.clip(3 * gap / max(most, 1e-300), 1e-3, 0.3))
                slab = self.candidates(duals[d], noise, slab._replace(shares=start.x))
                start = eqx.tree_at(lambda s: s.x, start, slab.shares)
                saddle = self.saddle(slab)
        slab, sigma = best
        shares = slab.shares if self.columns is None else spread(slab, n)
        return (shares if self.counts is None else shares / self.counts[:, None]), sigma

    def bound(self, sigma: np.ndarray) -> float:
        return bound(sigma, self.values, self.caps, self.disposal, self.counts)

    def candidates(self, sigma: np.ndarray, noise: float, held: Slab | None) -> Slab:
        if self.columns is None:
            return Slab(np.empty(0, np.int32), self.values, np.empty_like(self.values))
        return choose(self.columns, sigma, self.rows, noise, self.rng, held)

    def inside(self, slab: Slab, sigma: np.ndarray) -> float:
        """The bound if nobody but the candidates existed."""
        weights = (1 + sigma[slab.agents]) * slab.values
        if (self.caps >= 1).all():
            return float(weights.max(0).sum())
        counts = None if self.counts is None else self.counts[slab.agents]
        return float(_fill_value(weights, self.caps, counts).sum())

    def saddle(self, slab: Slab) -> Saddle:
        """The problem on these candidates, with the lengths that make unit steps safe."""
        agents = None if self.columns is None else slab.agents
        counts = None if self.counts is None else (self.counts[:, None] if agents is None else self.counts[agents])
        caps = None
        if (self.caps < 1).any():
            caps = np.broadcast_to(self.caps, slab.values.shape)
            caps = caps if counts is None else np.minimum(1, caps * counts)
        scale = slab.values.max(0)
        scale = np.where(scale > 0, scale, 1.0)
        load = slab.values**2 / scale if counts is None else slab.values**2 / (scale * counts)
        load = load.sum(1) if agents is None else np.bincount(agents.ravel(), load.ravel())
        length = max(load.max() * self.slope, 1e-300)
        return Saddle(slab.values, agents, caps, scale, self.people, self.weight, length, self.disposal == "free")


def solve_in_program(
    values: Any, alpha: Any, beta: Any, caps: Any = None, steps: int = 2000, *, disposal: str = "forbidden"
) -> Certified:
    r"""The same steps inside a JAX program: all pairs are candidates, a fixed number of steps, batches by `vmap`.

    For up to some hundreds of agents. No derivative is meant to go through it: W* has the envelope rule (`optimal_welfare`).

    Args:
        values: `[agents, items]`, in utils.
        alpha: `[agents]`.
        beta: `[agents]`.
        caps: `[items]` in (0, 1], or None where nobody is capped.
        steps: how many, in rounds of 100.
        disposal: "forbidden" or "free".

    Returns:
        `Certified`: shares, sigma, primal and dual, in the dtype of `values`; the gap says how far it got.

    Source: [D].

    Example:
        >>> a = jnp.asarray([[1.0, 1.0], [0.9, 0.2]])
        >>> solve_in_program(a, jnp.full(2, 0.2), jnp.full(2, 0.1), steps=500).shares.round(2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    values = jnp.asarray(values)
    dtype, (n, m) = values.dtype, values.shape
    alpha, beta = (jnp.broadcast_to(jnp.asarray(x, dtype), (n,)) for x in (alpha, beta))
    people = mirror(alpha, beta)
    b = None if caps is None else jnp.broadcast_to(jnp.asarray(caps, dtype), (n, m))
    scale = values.max(0)
    scale = jnp.where(scale > 0, scale, 1)
    length = jnp.maximum((values**2 / scale[None]).sum(1).max() * _slope(people.aversion, n), 1e-30)
    saddle = Saddle(values, None, b, scale, people, WEIGHT, length, disposal == "free")
    limit = 1.0 if caps is None else caps

    def one_round(carry, _):
        start, best = carry
        at, last, mean = _run(saddle, start, ROUND)
        found = [_judged(saddle, z, alpha, beta, limit, disposal) for z in (last, mean)]
        for new in found:
            up, down = new.primal > best.primal, new.dual < best.dual
            best = Certified(
                jnp.where(up, new.shares, best.shares),
                jnp.where(down, new.sigma, best.sigma),
                jnp.where(up, new.primal, best.primal),
                jnp.where(down, new.dual, best.dual),
            )
        again = found[1].dual - found[1].primal < found[0].dual - found[0].primal
        pick = lambda a, b: jnp.where(again, a, b)
        start = Iterate(pick(mean.x, at.x), pick(mean.y, at.y), at.multipliers, at.step, at.age)
        return (start, best), None

    x, zero = jnp.full((n, m), 1 / n, dtype), jnp.zeros(n, dtype)
    first = Iterate(x, zero, jnp.zeros(m, dtype), jnp.ones((), dtype), jnp.zeros((), dtype))
    nothing = Certified(x, people(zero), jnp.asarray(-jnp.inf, dtype), jnp.asarray(jnp.inf, dtype))
    return jax.lax.scan(one_round, (first, nothing), length=-(-steps // ROUND))[0][1]


def _judged(saddle: Saddle, end: Ends, alpha: Array, beta: Array, caps: Any, disposal: str) -> Certified:
    primal = welfare(end.utilities, alpha, beta)
    dual = dual_value(end.sigma, saddle.values, caps=caps, disposal=disposal)
    return Certified(end.x, end.sigma, primal, dual)


def _slope(aversion: Any, agents: int) -> Any:
    """L, the slope of the mirror map."""
    xp = np if isinstance(aversion, np.ndarray) else jnp
    two = xp.sort(aversion)[-2:].mean()
    return xp.maximum(agents / max(agents - 1, 1) * two, 1e-3)


def _fill_value(weights: np.ndarray, caps: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    order = np.argsort(-weights, 0)
    room = np.broadcast_to(caps, weights.shape)
    room = room if counts is None else room * np.take_along_axis(counts, order, 0)
    got = np.clip(1 - (np.cumsum(room, 0) - room), 0, room)
    return (np.take_along_axis(weights, order, 0) * got).sum(0)


_run = steps
_steps = jax.jit(steps)


@jax.jit
def _sigma(people: Mirror, y: Array) -> Array:
    y = jnp.asarray(y)
    return people(y - y.min())
