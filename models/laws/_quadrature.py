r"""Expected maxima of laws that have no closed form, by quadrature between atoms and kinks of the cdf.

.. math:: E \max_n X = l + \int_l^h (1 - F(x)^n)\,dx
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_TAU = np.arange(-32, 33) * 0.1
# Tanh-sinh rule on [0, 1] (Takahasi and Mori 1974): distance of a node to the nearer end, and its weight. It takes
# algebraic singularities at the ends of a panel, and features near them at any scale.
_DISTANCE = 1 / (1 + np.exp(np.pi * np.sinh(np.abs(_TAU))))
_WEIGHT = 0.1 * np.pi * np.cosh(_TAU) * _DISTANCE * (1 - _DISTANCE)


def _not_all_below(law: Any, x: Float[Array, ""], n: Float[Array, ""]) -> Float[Array, ""]:
    """1 − F(x)^n, precise where the upper tail is small and n large."""
    below, above = law._tails(x)
    # A panel of no width may sit on an atom, which both tails count; there the upper one would be too large.
    rare = (above < 0.5) & (above + below - 1 < 16 * jnp.finfo(x.dtype).eps)
    power = jnp.where(rare, 0.5, below) ** n
    return jnp.where(rare, -jnp.expm1(n * jnp.log1p(-jnp.where(rare, above, 0.5))), 1 - power)


# Between these levels of the law of the maximum, and of each part of a mixture, the integrand is smooth at the scale
# of a panel. With them a beta law's expected maximum is good to 1e-14 up to a million draws; with the median alone, to 1e-6.
_LEVELS = np.array([1e-6, 0.02, 0.5, 0.98, 1 - 1e-6])


def _hints(law: Any, n: Float[Array, ""]) -> Float[Array, " hints"]:
    law = lax.stop_gradient(law)  # where panels end does not change the integral
    levels = jnp.asarray(_LEVELS, n.dtype)
    parts = getattr(law, "laws", ())
    own = jax.vmap(law._quantile)(levels ** (1 / n))
    return jnp.concatenate([own, *(jax.vmap(part._quantile)(levels) for part in parts)])


def expected_max_by_quadrature(law: Any, n: Float[Array, ""]) -> Float[Array, ""]:
    """E of the largest of n draws of a bounded law.

    Panels end at atoms and kinks, whose own derivatives count (an atom moves the integral by moving its panel), and at
    some quantiles, which add precision and have no derivative.

    Args:
        law: a law with finite `atoms` and `_kinks()`.
        n: number of draws, at least 1.

    Returns:
        The expectation; 65 nodes a panel.
    """
    # Atoms come first: the sort is stable, and of equal edges the one that carries a jump must be the left one.
    edges = jnp.sort(jnp.concatenate([law.atoms, law._kinks(), _hints(law, lax.stop_gradient(n))]))
    start, end = edges[:-1, None], edges[1:, None]
    width, distance = end - start, jnp.asarray(_DISTANCE, edges.dtype)[None, :]
    x = jnp.where((_TAU < 0)[None, :], start + width * distance, end - width * distance)
    height = jax.vmap(lambda v: _not_all_below(law, v, n))(x.ravel()).reshape(x.shape)
    return edges[0] + jnp.sum(height * width * jnp.asarray(_WEIGHT, edges.dtype)[None, :])
