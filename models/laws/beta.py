"""The beta law."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from .._check import as_array, require
from ._derivatives import envelope_tail_integral, implicit_quantile
from ._incomplete_beta import beta_density, beta_quantile, beta_tails
from ._law import AbstractLaw
from ._quadrature import expected_max_by_quadrature
from ._regular import Strips, strip
from ._validate import numbers


class Beta(AbstractLaw):
    r"""Values between 0 and 1 with a flexible shape: `a` pulls towards 1, `b` towards 0.

    .. math::
        F(x) = I_x(a, b), \quad E (X - x)^+ = (m - x) (1 - F(x)) + \frac{x (1 - x) f(x)}{a + b}, \quad m = \frac{a}{a + b}

    Gradients in `a` and `b` are exact to quadrature everywhere, in the quantile by implicit differentiation [X]. The
    expected maximum is by quadrature.

    Args:
        a: scalar, first shape, positive.
        b: scalar, second shape, positive.

    Raises:
        ValueError: a shape is not finite and positive.

    Example:
        >>> law = Beta(2.0, 5.0)
        >>> round(float(law.cdf(0.5)), 4), round(float(jax.grad(lambda a: Beta(a, 5.0).cdf(0.5))(2.0)), 4)
        (0.8906, -0.1004)
    """

    a: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    b: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        for name in ("a", "b"):
            known = numbers(name, getattr(self, name))
            require(
                known is None or np.all(known > 0),
                f"`{name}` must be positive, got {known}; a shape near 0 puts all mass at an end, use `Discrete` for that.",
            )

    @property
    def distribution(self) -> dist.Beta:
        """The NumPyro distribution, to be observed in a model."""
        return dist.Beta(self.a, self.b)

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _solve(self, u: Float[Array, ""]) -> Float[Array, ""]:
        inside = (u > 0) & (u < 1)
        return jnp.where(inside, beta_quantile(self.a, self.b, jnp.where(inside, u, 0.5)), u)

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return implicit_quantile(self, u)

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        left, right = x <= 0, x >= 1
        below, above = beta_tails(self.a, self.b, jnp.where(left | right, 0.5, x))
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        outside = (x <= 0) | (x >= 1)
        inner = beta_density(self.a, self.b, jnp.where(outside, 0.5, x))
        # At an end with shape k there, the density is infinite, the other shape, or 0 as k is below, at or above 1.
        limit = lambda k, other: jnp.where(k < 1, jnp.inf, jnp.where(k > 1, 0.0, other))
        ends = jnp.where(x == 0, limit(self.a, self.b), jnp.where(x == 1, limit(self.b, self.a), 0.0))
        return jnp.where(outside, ends, inner)

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        # a / (a + b) (1 − I(a + 1, b)) = m (1 − I(a, b)) + x (1 − x) f / (a + b), NIST DLMF 8.17.20
        outside = (x <= 0) | (x >= 1)
        at = jnp.where(outside, 0.5, x)
        rest = jnp.where(outside, 0.0, at * (1 - at) * beta_density(self.a, self.b, at) / (self.a + self.b))
        above = self._tails(x)[1]
        return jnp.where(above == 0, 0.0, (self._mean() - x) * above) + rest

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return envelope_tail_integral(self, u)

    def _mean(self) -> Float[Array, ""]:
        return self.a / (self.a + self.b)

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return expected_max_by_quadrature(self, n)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jnp.zeros_like(self.a), jnp.ones_like(self.a)

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack(self._support())

    def _valid(self) -> bool:
        return True

    def _strips(self) -> Strips:
        limit = lambda k: jnp.where(k < 1, jnp.inf, jnp.where(k > 1, 0.0, 1.0))
        return strip(*self._support(), limit(self.a), limit(self.b))
