r"""How likely it is that a set of tied items all come before the rest, in whatever order among themselves.

Let every item arrive after an exponential time with rate :math:`w = e^V`; the order of arrivals is the Plackett–Luce
ranking. A set A comes before the rest R, of total rate W, with probability

.. math::
    P = \int_0^\infty \prod_{a \in A} (1 - e^{-w_a t})\, W e^{-W t}\, dt
      = \int_0^1 \prod_{a \in A} \big(1 - u^{w_a/W}\big)\, du ,

the integral of J. DeLong, D. Guirguis and Y. So (1994), "Efficient computation of subset selection probabilities with
application to Cox regression", Biometrika 81. The integrand in u has a corner at each end when some :math:`w_a/W` is small
or large, which spoils Gauss–Legendre nodes. With :math:`Wt = e^y` and :math:`y = x - e^{-x}` it falls doubly exponentially
at both ends, and equal steps in x converge faster than any power (H. Takahasi and M. Mori 1974). [D]: leaving out
:math:`y < y_0` costs at most the share :math:`1 - \exp(-e^{y_0})` of P, since the product rises in y (Chebyshev's
association inequality). It is computed in logarithms, so that P may be tiny.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

BATCH = 2**22  # terms computed at once


def log_before(relative: Float[Array, "groups tied"], member: Bool[Array, "groups tied"]) -> Float[Array, " groups"]:
    r"""Log-probability that all members of a group precede the rest.

    Args:
        relative: :math:`V_a - \log W`, finite.
        member: False where a slot is empty; it then counts for nothing.
    """
    x = _nodes(relative.shape[1], relative.dtype)
    one = lambda pair: _integral(pair[0], pair[1], x)
    batch = max(1, BATCH // (x[0].size * max(relative.shape[1], 1)))
    if relative.shape[0] <= batch:
        return jax.vmap(lambda r, m: one((r, m)))(relative, member)
    return jax.lax.map(jax.checkpoint(one), (relative, member), batch_size=batch)


def log_before_without_each(
    relative: Float[Array, "groups tied"], member: Bool[Array, "groups tied"]
) -> Float[Array, "groups tied"]:
    """The same for the group less one member, for each member in turn."""
    y, density = _nodes(relative.shape[1], relative.dtype)

    def one(pair):
        r, m = pair
        each = _log_arrived(r, m, y)
        return jax.nn.logsumexp(each.sum(1)[:, None] - each + density[:, None], axis=0)

    batch = max(1, BATCH // (y.size * max(relative.shape[1], 1)))
    return jax.lax.map(one, (relative, member), batch_size=batch)


def _integral(relative, member, nodes):
    y, density = nodes
    return jax.nn.logsumexp(_log_arrived(relative, member, y).sum(1) + density)


def _log_arrived(relative: Array, member: Array, y: Array) -> Float[Array, "nodes tied"]:
    """log(1 − exp(−e^z)) at z = relative + y, by its series where e^z is tiny; 0 for empty slots."""
    z = jnp.minimum(
        jnp.where(member, relative, 0.0)[None, :] + y[:, None], 5.0
    )  # from there on it is 0 to the last bit
    low = z < -18.0
    rate = jnp.exp(jnp.where(low, -18.0, z))
    tiny = z - jnp.exp(jnp.where(low, z, -18.0)) / 2
    return jnp.where(member[None, :], jnp.where(low, tiny, jnp.log(-jnp.expm1(-rate))), 0.0)


def _nodes(tied: int, dtype) -> tuple[Array, Array]:
    """Places y of equal steps in x, and the log of each one's share of the density and of dy."""
    precision = -math.log(float(np.finfo(dtype).eps))
    low = -math.log(precision)  # y = −precision, about
    high = math.log(precision + tied + 9 * math.sqrt(tied + 1))
    num = max(64 if precision > 30 else 40, math.ceil(13 * math.sqrt(tied + 1)))
    x = np.linspace(low, high, num)
    y = x - np.exp(-x)
    density = y - np.exp(y) + np.log1p(np.exp(-x)) + np.log(x[1] - x[0])
    return jnp.asarray(y, dtype), jnp.asarray(density, dtype)
