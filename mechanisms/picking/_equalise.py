r"""The convex problem behind equalising weights, on laws and on samples, and the solvers of it.

With l = log w and scores :math:`l_k + \log v_k`,

.. math:: \Phi(l) = E \max_k (l_k + \log v_k) - \frac1n \sum_k l_k, \qquad \nabla \Phi = P(l) - \tfrac1n,

where :math:`P_i` is the chance that agent i has the best score. Adding one number to all of l changes nothing, and the
Hessian is the Laplacian of a graph: its weight on i–j is the density of a tie of i and j for the best score.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._panels import COARSE, FINE, on_panels

Logs = Float[Array, " agents"]


class Moments(eqx.Module):
    """Φ, the chances to win, and the Hessian of Φ."""

    phi: Float[Array, ""]
    wins: Float[Array, " agents"]
    hessian: Float[Array, "agents agents"]


def _kinds(laws: tuple) -> list[tuple[np.ndarray, Any]]:
    """Laws of one class stacked into one, with their places in `laws`."""
    kinds: dict[Any, list[int]] = {}
    for i, law in enumerate(laws):
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(law))
        kinds.setdefault((jax.tree.structure(law), shapes), []).append(i)
    stack = lambda *leaves: jnp.stack(leaves)
    return [(np.array(of), jax.tree.map(stack, *(laws[i] for i in of))) for of in kinds.values()]


def by_law(formula: Callable, laws: tuple, *args: Array) -> Array:
    """`formula(law, *arg)` for each law and its row of `args`, `[laws, ...]`; laws of one class are mapped over together."""
    kinds = _kinds(laws)
    parts = [jax.vmap(formula)(law, *(x[of] for x in args)) for of, law in kinds]
    return jnp.concatenate(parts)[np.argsort(np.concatenate([of for of, _ in kinds]))]


# Levels of the best score's law, and of each agent's own, between which integrands are smooth at the scale of a panel. They
# keep away from the ends: in a very short panel beside a moving kink, rounding loses the derivative.
_BEST = np.array([1e-12, 1e-6, 0.02, 0.5, 0.98])
_OWN = np.array([0.02, 0.5, 0.98])


def _log_best(laws: tuple, w: Array, y: Array) -> Array:
    """Log of the chance that no score exceeds y."""
    return jnp.sum(jnp.log(by_law(lambda law, w: law.cdf(y / w), laws, w)), 0)


def _edges(laws: tuple, w: Array, own: bool) -> Float[Array, " edges"]:
    """Where the scores of all laws have kinks, and at some quantiles, which only add precision and have no derivative."""
    kinks = [jax.vmap(lambda law, w: w * law._kinks())(law, w[of]).ravel() for of, law in _kinds(laws)]
    low = jnp.max(w * by_law(lambda law: law.support[0], laws))  # below it somebody is sure to score more
    high = jnp.max(w * by_law(lambda law: law.support[1], laws))
    fixed, fixed_w, ends = lax.stop_gradient((laws, w, (low, high)))
    levels = jnp.log(jnp.asarray(_OWN if own else _BEST, w.dtype))

    def halve(_, ends):
        middle = (ends[0] + ends[1]) / 2
        above = _log_best(fixed, fixed_w, middle) >= levels
        return jnp.where(above, ends[0], middle), jnp.where(above, middle, ends[1])

    hints = [lax.fori_loop(0, 40, halve, jax.tree.map(lambda end: jnp.full_like(levels, end), ends))[1]]
    if own:
        hints.append(by_law(lambda law, w: w * law.quantile(_OWN.astype(w.dtype)), fixed, fixed_w).ravel())
    return jnp.sort(jnp.maximum(jnp.concatenate([*kinks, *hints]), low))


def law_moments(logs: Logs, laws: tuple) -> Moments:
    r"""By quadrature over the best score y, with panels that end at every kink of every law.

    .. math:: P_i = \int \frac{g_i}{G_i} \prod_k G_k \, dy, \qquad
        \partial_j P_i = - \int y \frac{g_i}{G_i} \frac{g_j}{G_j} \prod_k G_k \, dy, \qquad G_k(y) = F_k(y / w_k)
    """
    n, w = logs.size, jnp.exp(logs)
    few = n <= 32
    rule = FINE if few else COARSE
    edges = _edges(laws, w, few)
    size = min(edges.size - 1, max(1, 2**20 // (n * rule[0].size)))
    blocks = -(-(edges.size - 1) // size)
    starts = jnp.append(edges, jnp.full(blocks * size + 1 - edges.size, edges[-1]))

    def block(total, b):
        y, weight = on_panels(lax.dynamic_slice_in_dim(starts, b * size, size + 1), rule)
        y, weight = y.ravel(), weight.ravel()
        below = by_law(lambda law, w: law.cdf(y / w), laws, w)
        some = below > 0
        hazard = by_law(lambda law, w: law.density(y / w) / w, laws, w) / jnp.where(some, below, 1.0)
        hazard = jnp.where(some, hazard, 0.0)
        best = weight * jnp.exp(jnp.sum(jnp.where(some, jnp.log(jnp.where(some, below, 1.0)), -jnp.inf), 0))
        # A panel of no width may sit at 0, where all supports begin.
        spent = jnp.sum(jnp.where(y > 0, best / jnp.where(y > 0, y, 1.0), 0.0))
        added = spent, hazard @ best, (hazard * (best * y)[None]) @ hazard.T
        return jax.tree.map(jnp.add, total, added), None

    zero = jnp.zeros((), logs.dtype), jnp.zeros(n, logs.dtype), jnp.zeros((n, n), logs.dtype)
    (spent, wins, ties), _ = lax.scan(block, zero, jnp.arange(blocks))
    ties = ties - jnp.diag(jnp.diag(ties))
    return Moments(jnp.log(edges[-1]) - spent - jnp.mean(logs), wins, jnp.diag(jnp.sum(ties, 1)) - ties)


def sample_moments(logs: Logs, data: tuple[Float[Array, "agents draws"], Float[Array, ""]]) -> Moments:
    """On log values drawn together, the best score softened at a temperature: everything is smooth, and still convex."""
    x, temperature = data
    scores = (logs[:, None] + x) / temperature
    share = jax.nn.softmax(scores, 0)
    wins = jnp.mean(share, 1)
    phi = temperature * jnp.mean(jax.nn.logsumexp(scores, 0)) - jnp.mean(logs)
    return Moments(phi, wins, (jnp.diag(wins) - share @ share.T / x.shape[1]) / temperature)


def sample_wins(logs: Logs, x: Float[Array, "agents draws"]) -> Float[Array, " agents"]:
    """How often each agent has the best score, the lowest index among equals."""
    winner = jnp.argmax(logs[:, None] + x, 0)
    return jnp.bincount(winner, length=x.shape[0]).astype(x.dtype) / x.shape[1]


def _towards(hessian: Float[Array, "agents agents"], excess: Logs) -> Logs:
    """The step −H⁺ excess, which sums to 0; agents whom no tie connects to the others stand still or move far."""
    n = excess.size
    scale = jnp.trace(hessian) / n
    scale = jnp.where(scale > 0, scale, 1.0)
    full = hessian + scale * (jnp.ones((n, n)) / n + 4 * jnp.finfo(excess.dtype).eps * jnp.eye(n)).astype(excess.dtype)
    step = jnp.linalg.solve(full, jnp.mean(excess) - excess)
    return step - jnp.mean(step)


class _Search(eqx.Module):
    """Where Newton's method stands: the best point so far, and the step it tries from there."""

    logs: Logs
    at: Moments
    step: Logs
    size: Float[Array, ""]
    going: Bool[Array, ""]
    count: Int[Array, ""]


def newton(
    moments: Callable[[Logs, Any], Moments], data: Any, start: Logs, tolerance: Any
) -> tuple[Logs, Float[Array, " agents"]]:
    """Minimise Φ by Newton's method with step halving, until chances are within `tolerance` of 1/n or cannot improve.

    Returns:
        The minimiser, and the chances there.
    """
    n = start.size
    miss = lambda at: jnp.max(jnp.abs(at.wins - 1 / n))

    def advance(now: _Search) -> _Search:
        logs = now.logs + now.size * now.step
        new, at = moments(logs, data), now.at
        slope = now.step @ (at.wins - 1 / n)
        noise = 64 * jnp.finfo(logs.dtype).eps * (1 + jnp.abs(new.phi))
        lower = new.phi <= at.phi + jnp.minimum(1e-4 * now.size * slope, -noise)
        # Near the end Φ is flat to rounding, and only its slope still tells (Hager and Zhang, 2005).
        level = (new.phi <= at.phi + noise) & (miss(new) <= 0.9 * miss(at))
        good, lost = lower | level, (-slope <= noise) | (now.size < 1e-6)
        step = _towards(new.hessian, new.wins - 1 / n)
        step = step * jnp.minimum(1.0, 2 / jnp.max(jnp.abs(step)))
        moved = _Search(logs, new, step, jnp.ones_like(slope), miss(new) > tolerance, now.count + 1)
        stayed = _Search(now.logs, at, now.step, now.size / 2, ~lost, now.count + 1)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), moved, stayed)

    blank = jnp.zeros_like(start)
    nowhere = Moments(jnp.asarray(jnp.inf, start.dtype), blank, jnp.zeros((n, n), start.dtype))
    first = _Search(start, nowhere, blank, jnp.ones((), start.dtype), jnp.ones((), bool), jnp.zeros((), jnp.int32))
    end = lax.while_loop(lambda now: now.going & (now.count < 200), advance, first)
    return end.logs, end.at.wins


def aligned(laws: tuple) -> Logs:
    """Weights that give all agents the same greatest score: everyone wins sometimes, and everyone ties with everyone."""
    return -jnp.log(by_law(lambda law: law.support[1], laws))


def by_newton(laws: tuple) -> tuple[Logs, Float[Array, " agents"]]:
    """The minimiser on laws, and the chances there."""
    start = aligned(laws)
    return newton(law_moments, laws, start - start[0], 8 * jnp.finfo(start.dtype).eps)


STEPS, BATCH = 4096, 256


def by_sgd(laws: tuple, key: PRNGKeyArray) -> Logs:
    """Stochastic gradient descent on Φ: a draw's gradient is 1{best} − 1/n, unbiased without softening.

    Steps fall like t^−0.6, and the result is the mean of the later half of the path (Polyak and Juditsky, 1992).
    """
    start, n = aligned(laws), len(laws)
    draw = lambda key: jnp.log(
        by_law(lambda law, key: law.sample((BATCH,), key=key), laws, jax.random.split(key, n)).astype(start.dtype)
    )
    # The size of steps, in logs, is that of the spread of log values, which is one over the Hessian's size.
    spread = jnp.mean(jnp.std(draw(jax.random.fold_in(key, STEPS)), 1))

    def step(state, t):
        logs, mean = state
        wins = sample_wins(logs, draw(jax.random.fold_in(key, t)))
        logs = logs - 2 * spread * (1.0 + t) ** -0.6 * (wins - 1 / n)
        late = jnp.maximum(t - STEPS // 2 + 1, 1).astype(logs.dtype)
        return (logs, mean + (logs - mean) / late), None

    (_, mean), _ = lax.scan(step, (start, start), jnp.arange(STEPS, dtype=jnp.int32))
    return mean


def by_cooling(x: Float[Array, "agents draws"]) -> tuple[Logs, Float[Array, ""]]:
    """The minimiser on samples, and the temperature at which it was found.

    Newton's method at ever lower temperatures, each starting from the last, until the chances of the hard maximum are as
    near to 1/n as whole draws allow.
    """
    n, draws = x.shape
    spread = jnp.maximum(jnp.mean(jnp.std(x, 1)), jnp.finfo(x.dtype).tiny)

    def cool(state):
        logs, temperature = state
        temperature = temperature / 2
        return newton(sample_moments, (x, temperature), logs, 0.01 / draws)[0], temperature

    uneven = lambda logs: jnp.max(jnp.abs(sample_wins(logs, x) - 1 / n)) * draws >= 1 - 1e-3
    going = lambda state: uneven(state[0]) & (state[1] > 64 * jnp.finfo(x.dtype).eps * spread)
    start = -jnp.mean(x, 1)
    return lax.while_loop(going, cool, (start, 2 * spread))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def implicit(moments: Callable[[Logs, Any], Moments], logs: Logs, data: Any) -> Logs:
    """The minimiser l itself, with the derivative in `data` that keeps all chances at 1/n."""
    del moments, data
    return logs


@implicit.defjvp
def _implicit_rule(moments, primals, tangents):
    logs = implicit(moments, *primals)
    data, data_dot = primals[1], tangents[1]
    wins_dot = jax.jvp(lambda data: moments(logs, data).wins, (data,), (data_dot,))[1]
    return logs, _towards(moments(logs, data).hessian, wins_dot)
