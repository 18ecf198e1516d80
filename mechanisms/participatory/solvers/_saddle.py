r"""The saddle point behind the solver, and steps towards it.

.. math:: \max_{x \in X} \min_{\sigma \in \Sigma} \sum_i (1 + \sigma_i) \langle a_i, x_i \rangle

Bregman primal-dual steps with the mirror map of `_mirror.py` [D]:

    x' = proj_X(x + tau (1 + sigma) a);   y += eta u(2 x' - x);   sigma = sigma(y);   x = x'

with :math:`\tau_j = s / (w c_j)`, c_j the item's largest value, and :math:`\eta = s w / \Lambda`. For s = 1 they converge by the
usual bound, :math:`\Lambda \ge L \max_i \sum_j a_{ij}^2 / c_j` with L the slope of the mirror map. The steps taken are longer: s
follows half of what the last step itself would have allowed, as in PDLP (Applegate and others, 2021), here with the Bregman
distance of the mirror map. That is outside the guarantee; the certificate is what counts, and it is exact whatever the steps.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ._capped_simplex import column_sums, project
from ._mirror import Mirror

Matrix = Any  # [rows, items], NumPy or JAX
Vector = Any
#: Shortest and longest steps, as multiples of the one that is sure to converge.
SHORT, LONG = 0.1, 1e2
#: How much of the step that the last one would have allowed is used.
SAFETY = 0.5


class Saddle(eqx.Module):
    """The problem on a support: for each item the agents who may get some of it, in rows.

    Attributes:
        values: `[rows, items]`.
        agents: `[rows, items]`, whose values they are; None where row i is agent i.
        caps: `[rows, items]`, or None where nobody is capped below 1; of a row's whole kind where rows are counted.
        scale: `[items]`, c_j.
        people: the mirror map.
        weight: w, the balance between the two sides.
        slope: Lambda.
        free: whether items may be thrown away.
    """

    values: Matrix
    agents: Any
    caps: Any
    scale: Vector
    people: Mirror
    weight: Any
    slope: Any
    free: bool = eqx.field(static=True)

    def utilities(self, x: Array) -> Array:
        """u, one member's."""
        terms = self.values * x
        none = jnp.zeros(self.people.aversion.shape, terms.dtype)
        u = terms.sum(1) if self.agents is None else none.at[self.agents].add(terms)
        return u if self.people.counts is None else u / self.people.counts

    def spread(self, q: Array) -> Array:
        """A number of each agent at each of her places."""
        return q[:, None] if self.agents is None else q[self.agents]


class Iterate(eqx.Module):
    """Where it stands: shares on the support, accumulated utilities, the projection's multipliers, s, and steps tried."""

    x: Matrix
    y: Vector
    multipliers: Vector
    step: Any
    age: Any


class Ends(eqx.Module):
    """What a round of steps leads to: its last point and its average."""

    x: Matrix
    y: Float[Array, " agents"]
    utilities: Float[Array, " agents"]
    sigma: Float[Array, " agents"]


def steps(saddle: Saddle, start: Iterate, count: Int[Array, ""] | int) -> tuple[Iterate, Ends, Ends]:
    """`count` steps from `start`: where it stands, its last point, and the average weighted by length of step."""
    w, people = saddle.weight, saddle.people
    over = jnp.asarray(1 / (w * saddle.scale))[None] * saddle.values
    dot = lambda p, q: jnp.vdot(p, q) if people.counts is None else jnp.vdot(people.counts * p, q)

    def body(k, carry):
        at, sigma, u, mean, total = carry
        s = at.step
        x, multipliers = project(at.x + s * over * saddle.spread(1 + sigma), saddle.caps, at.multipliers, saddle.free)
        v = saddle.utilities(x)
        ahead = 2 * v - u
        y = at.y + (s * w / saddle.slope) * ahead
        y = y - jnp.min(y)
        new = people(y)
        # What the usual proof needs: <v - u, new - sigma> at most the two distances moved, over s.
        moved = 0.5 * w * (saddle.scale * column_sums((x - at.x) ** 2)[0]).sum() + 0.5 * s * dot(ahead, sigma - new)
        # Where nothing moves, rounding is no reason to shorten the step.
        still = 1e-13 * jnp.abs(dot(v, jnp.ones_like(v))) + 1e-300
        allowed = (SAFETY * moved + 2 * still * s) / (jnp.abs(dot(v - u, new - sigma)) + still)
        age = at.age + 1
        longer = jnp.clip(jnp.minimum((1 - (age + 1) ** -0.3) * allowed, (1 + (age + 1) ** -0.6) * s), SHORT, LONG)
        ok = (s <= allowed) | (s <= SHORT)
        keep = lambda a, b: jnp.where(ok, a, b)
        x, y, multipliers = keep(x, at.x), keep(y, at.y), keep(multipliers, at.multipliers)
        new, v = keep(new, sigma), keep(v, u)
        s = jnp.where(ok, s, 0)
        mean = Ends(mean.x + s * x, mean.y + s * (y - y.mean()), mean.utilities + s * v, mean.sigma + s * new)
        return Iterate(x, y, multipliers, longer, age), new, v, mean, total + s

    x, y = jnp.asarray(start.x), jnp.asarray(start.y) - jnp.min(jnp.asarray(start.y))
    start = Iterate(
        x, y, jnp.asarray(start.multipliers), jnp.asarray(start.step, x.dtype), jnp.asarray(start.age, x.dtype)
    )
    zero = Ends(jnp.zeros_like(x), jnp.zeros_like(y), jnp.zeros_like(y), jnp.zeros_like(y))
    first = (start, people(y), saddle.utilities(x), zero, jnp.zeros((), x.dtype))
    at, sigma, u, mean, total = lax.fori_loop(0, count, body, first)
    mean = Ends(mean.x / total, mean.y / total, mean.utilities / total, mean.sigma / total)
    return at, Ends(at.x, at.y, u, sigma), mean
