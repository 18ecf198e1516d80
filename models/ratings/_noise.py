r"""Ratings that are a latent value with normal error, rounded to steps or cut off at the ends of the scale.

Integrals over the latent value split the scale into panels, at the edges of the steps or around the rating, so that an error
however small changes fast only at the ends of panels, which the tanh-sinh rule takes. Each panel has exactly the mass
that the law's own cdf gives it; the rule only averages within:

.. math:: \int g\,dF = \sum_p (F(e_{p+1}) - F(e_p)) \frac{\sum_q w_q f(x_q) g(x_q)}{\sum_q w_q f(x_q)}.

So without error the answer is the difference of the cdf, to the last digit.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Int

from ..laws import AbstractLaw
from ._density import log_between, log_density

REACH = 3.2  # of the rule, in t: the outermost nodes are 1e-17 of a panel away from its ends
SPAN = 8.0  # standard deviations of the error that a panel takes in
COARSE, FINE = 0.1, 0.025  # steps in t: to integrate, and to draw


class Nodes(NamedTuple):
    """Nodes `[panels, nodes]` of a law on [0, 1], and the log of their probabilities, which sum to 1."""

    x: Array
    log_mass: Array


def _rule(step: float) -> np.ndarray:
    count = round(REACH / step)
    return np.arange(-count, count + 1) * step


def _place(t: Any, start: Any, end: Any) -> Any:
    """Point t of the panel from `start` to `end`, precise near either end."""
    away = (end - start) / (1 + jnp.exp(np.pi * jnp.sinh(jnp.abs(t))))
    return jnp.where(t < 0, start + away, end - away)


def _panel_mass(law: AbstractLaw, edges: Float[Array, " edges"]) -> Float[Array, " panels"]:
    """Probability between neighbouring edges, from whichever tail is precise there."""
    below, above = law.cdf(edges), law.survival(edges)
    return jnp.where(below[1:] < 0.5, jnp.diff(below), -jnp.diff(above))


def nodes(law: Any, edges: Float[Array, " edges"], step: float = COARSE) -> Nodes:
    """Nodes in the panels between `edges`, which ascend from 0 to 1; a panel may have no width."""
    t = jnp.asarray(_rule(step), edges.dtype)[None, :]
    start, end = edges[:-1, None], edges[1:, None]
    info = jnp.finfo(edges.dtype)
    x = jnp.clip(_place(t, start, end), info.tiny, 1 - info.epsneg)
    # The rule's weight dx/dt is π cosh(t) d (1 − d), d the distance to the nearer end; constants fall out below.
    growth = np.pi * jnp.sinh(jnp.abs(t))
    weight = jnp.log(jnp.cosh(t)) - growth - 2 * jnp.log1p(jnp.exp(-growth))
    inner = jax.nn.log_softmax(log_density(law, x) + weight, -1)
    mass = _panel_mass(law, edges)[:, None]
    known = mass > 0
    return Nodes(x, jnp.where(known, jnp.log(jnp.where(known, mass, 1.0)) + inner, -jnp.inf))


def log_report(cuts: Float[Array, " edges"], sd: Any, x: Float[Array, "..."]) -> Float[Array, "steps ..."]:
    """Log-probability of each step, when the latent value is `x`; the outermost steps take all beyond them."""
    inner = cuts[1:-1].reshape(-1, *(1 for _ in range(x.ndim)))
    standard = (inner - x[None]) / sd
    between = log_between(standard[:-1], standard[1:])
    return jnp.concatenate([log_ndtr(standard[:1]), between, log_ndtr(-standard[-1:])])


def log_steps(law: AbstractLaw, cuts: Float[Array, " edges"], sd: Any) -> Float[Array, " steps"]:
    """Log-probability of each step; `sd` of the error, None for none."""
    if sd is None:
        mass = _panel_mass(law, cuts)
        return jnp.where(mass > 0, jnp.log(jnp.where(mass > 0, mass, 1.0)), -1e30)
    at = nodes(law, cuts)
    return jax.nn.logsumexp(at.log_mass[None] + log_report(cuts, sd, at.x), (1, 2))


def log_point(y: Float[Array, ""], sd: Any, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Log density of the rating `y` of a latent value `x`; at 0 and 1 log-probability, as what lies beyond is cut off."""
    z = (y - x) / sd
    inside = -0.5 * z * z - jnp.log(sd) - 0.5 * np.log(2 * np.pi)
    return jnp.where(y <= 0, log_ndtr(z), jnp.where(y >= 1, log_ndtr(-z), inside))


def edges_at(y: Float[Array, ""], sd: Any) -> Float[Array, " edges"]:
    """Panels that end at the rating and beyond the reach of its error; where they end does not change an integral."""
    y, sd = jax.lax.stop_gradient((y, jnp.asarray(sd, y.dtype)))
    return jnp.clip(jnp.stack([jnp.zeros_like(y), y - SPAN * sd, y, y + SPAN * sd, jnp.ones_like(y)]), 0, 1)


def log_points(law: AbstractLaw, y: Float[Array, " ratings"], sd: Any) -> Float[Array, " ratings"]:
    """Log density of ratings on the scale."""

    def one(y):
        at = nodes(law, edges_at(y, sd))
        return jax.nn.logsumexp(at.log_mass + log_point(y, sd, at.x))

    return jax.vmap(one)(y)


class _Inverse(NamedTuple):
    """Density `[panels, nodes]` at nodes, taken as linear in t between them, and its running mass up to each cell."""

    density: Array
    mass: Array


def _inverse(log_density: Float[Array, "panels nodes"]) -> _Inverse:
    density = jnp.exp(log_density - log_density.max())
    wide = jnp.pad(density, ((0, 0), (1, 1)))
    # Mass of a cell to fourth order: running sums of trapezia err by a term in the slope (Euler and Maclaurin).
    cell = (13 * (wide[:, 1:-2] + wide[:, 2:-1]) - wide[:, :-3] - wide[:, 3:]) / 24
    return _Inverse(density, jnp.cumsum(jnp.maximum(cell, 0.0).ravel()))


def _invert(inverse: _Inverse, edges: Float[Array, " edges"], u: Float[Array, ""]) -> Float[Array, ""]:
    """The value below which lies the share `u` of the mass."""
    density, mass = inverse
    t, cells = jnp.asarray(_rule(FINE), edges.dtype), density.shape[1] - 1
    level = u * mass[-1]
    k = jnp.minimum(jnp.searchsorted(mass, level), mass.size - 1)
    before = jnp.where(k > 0, mass[k - 1], 0.0)
    share = jnp.clip((level - before) / jnp.maximum(mass[k] - before, jnp.finfo(edges.dtype).tiny), 0, 1)
    panel, cell = k // cells, k % cells
    low, high = density[panel, cell], density[panel, cell + 1]
    root = low + jnp.sqrt(low * low + share * (high * high - low * low))
    inside = share * (low + high) / jnp.where(root > 0, root, 1.0)
    return _place(t[cell] + jnp.clip(inside, 0, 1) * FINE, edges[panel], edges[panel + 1])


def draw_steps(
    law: AbstractLaw, cuts: Float[Array, " edges"], sd: Any, step: Int[Array, " ratings"], u: Float[Array, " ratings"]
) -> Float[Array, " ratings"]:
    """Latent values given the steps they were rounded to, by uniform numbers `u`."""
    if sd is None:
        below = law.cdf(cuts)
        value = law.quantile(below[step] + u * (below[step + 1] - below[step]))
        return jnp.clip(value, cuts[step], cuts[step + 1])
    at = nodes(law, cuts, FINE)
    inverse = jax.vmap(_inverse)(at.log_mass[None] + log_report(cuts, sd, at.x))
    return jax.vmap(lambda k, u: _invert(jax.tree.map(lambda x: x[k], inverse), cuts, u))(step, u)


def draw_points(law: AbstractLaw, y: Float[Array, " ratings"], sd: Any, u: Float[Array, " ratings"]) -> Array:
    """Latent values given ratings on the scale, by uniform numbers `u`."""

    def one(y, u):
        edges = edges_at(y, sd)
        at = nodes(law, edges, FINE)
        return _invert(_inverse(at.log_mass + log_point(y, sd, at.x)), edges, u)

    return jax.vmap(one)(y, u)


def report(cuts: Float[Array, " edges"], sd: Any, x: Float[Array, "..."], error: Float[Array, "..."]) -> Array:
    """What is reported of latent values `x`: indices of steps, or numbers cut off at the ends where there are no cuts."""
    y = x if sd is None else x + sd * error
    if cuts.shape[0] == 0:
        return jnp.clip(y, 0, 1)
    return jnp.searchsorted(cuts[1:-1], y, side="right")
