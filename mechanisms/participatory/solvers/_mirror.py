r"""The mirror map onto the duals: from accumulated utilities y to weights sigma in the base polytope Σ, in O(n log n).

With :math:`e = \alpha + \beta` and the ramp :math:`R(d) = \mathrm{clip}((d + 1) / 2, 0, 1)`,

.. math:: (n - 1)\, \sigma_i(y) = e_i \sum_{k \ne i} R(y_k - y_i) + \sum_{k \ne i} e_k R(y_k - y_i)
    - (n - 1) \beta_i - \sum_{k \ne i} \alpha_k

Each pair contributes a multiplier inside its interval, so sigma lies in Σ for *every* y, and so does every average of
sigmas [D]. It is minus the gradient of a convex function, a smoothed Q, with slope at most n / (n - 1) times the mean of the two
largest e; hence a mirror map: nothing is smoothed away, and ties inside a group (|y_i - y_k| < 1) reach the inside of a face.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

BLOCK = 64


class Mirror(eqx.Module):
    """What the mirror map needs to know of the people.

    Attributes:
        aversion: `[agents]`, e = alpha + beta.
        floor: `[agents]`, -(N - 1) beta_i - sum over the others of alpha.
        counts: `[agents]`, how many agents each row stands for; None for one each.
        others: N - 1, at least 1.
    """

    aversion: Float[Array | np.ndarray, " agents"]
    floor: Float[Array | np.ndarray, " agents"]
    counts: Float[Array | np.ndarray, " agents"] | None
    others: Float[Array | np.ndarray | np.generic, ""] | float

    def __call__(self, y: Float[Array, " agents"]) -> Float[Array, " agents"]:
        """Sigma of y >= 0, one member's."""
        n = y.shape[0]
        order = ascending(y)
        ys, es = y[order], self.aversion[order]
        gs = jnp.ones_like(ys) if self.counts is None else self.counts[order]
        sums = prefix_sums(jnp.stack([gs, gs * ys, gs * es, gs * es * ys]))
        low = jnp.searchsorted(ys, y - 1, side="right")
        high = jnp.searchsorted(ys, y + 1, side="right")
        below, above = sums[:, low], sums[:, high]
        size, total, weight, moment = above - below
        heads = 0.5 * (total + size * (1 - y)) + (sums[0, n] - above[0]) - 0.5
        mass = 0.5 * (moment + weight * (1 - y)) + (sums[2, n] - above[2]) - 0.5 * self.aversion
        return (self.aversion * heads + mass + self.floor) / self.others


def mirror(alpha: Any, beta: Any, counts: Any = None) -> Mirror:
    """The mirror map of people with these weights; NumPy or JAX arrays, `counts` as in `solve`."""
    if counts is None:
        size, total = alpha.shape[0], alpha.sum()
    else:
        counts = counts.astype(alpha.dtype)
        size, total = counts.sum(), (counts * alpha).sum()
    others = size - 1.0
    floor = -others * beta - (total - alpha)
    one = others == 0 if counts is None else None
    return Mirror(alpha + beta, floor, counts, 1.0 if one else others)


def ascending(y: Float[Array, " agents"]) -> Int[Array, " agents"]:
    """The order of y >= 0, up to ties closer than 2^-40 or so of the largest.

    A sort of plain integers that carry their index in the low bits is several times faster on CPUs than a sort of pairs.
    """
    n = y.shape[0]
    if y.dtype != jnp.float64:
        return jnp.argsort(y)
    bits = max(1, (n - 1).bit_length())
    _, exponent = jnp.frexp(jnp.max(y) + 1)
    keys = jnp.ldexp(y, 62 - bits - exponent).astype(jnp.int64)
    return jnp.sort((keys << bits) | jnp.arange(n)) & ((1 << bits) - 1)


def prefix_sums(rows: Float[Array, "rows n"]) -> Float[Array, "rows n+1"]:
    """Sums of the first 0, 1, ..., n entries of each row, block by block as products with a triangle of ones."""
    count, n = rows.shape
    if n <= BLOCK:
        return rows @ jnp.triu(jnp.ones((n, n + 1), rows.dtype), 1)
    blocks = jnp.pad(rows, ((0, 0), (0, -n % BLOCK))).reshape(count, -1, BLOCK)
    inside = blocks @ jnp.triu(jnp.ones((BLOCK, BLOCK + 1), rows.dtype), 1)
    before = prefix_sums(inside[:, :, -1])
    within = (inside[:, :, :-1] + before[:, :-1, None]).reshape(count, -1)[:, :n]
    return jnp.concatenate([within, before[:, -1:]], 1)
