"""The power law on the unit interval."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from .._check import as_array, require
from ._law import AbstractLaw
from ._regular import Strips, strip
from ._series import not_all_below
from ._validate import numbers


class Power(AbstractLaw):
    r"""Values between 0 and 1 whose cdf is a power of the value: the best of `exponent` uniform draws.

    .. math::
        F(x) = x^a, \quad Q(u) = u^{1/a}, \quad T(u) = \frac{a}{a + 1} \left(1 - u^{1 + 1/a}\right), \quad
        E \max_n X = \frac{n a}{n a + 1}

    It is Beta(a, 1) with every formula closed. Minus the logarithm of a draw is exponential with rate a, so with a gamma
    prior on `exponent` the posterior is a gamma law: a referee for samplers.

    Source: Halpern, Psomas and Zhang, "Truthful Fair Division under Stochastic Valuations", section 2: a valid law [P];
    the formulas are elementary [D].

    Args:
        exponent: scalar a, positive; above 1 values crowd at 1, below 1 at 0.

    Raises:
        ValueError: `exponent` is not finite and positive.

    Example:
        >>> law = Power(2.0)
        >>> float(law.cdf(0.5)), float(law.quantile(0.25)), round(float(law.expected_max(2)), 4), law.is_regular
        (0.25, 0.5, 0.8, False)
    """

    exponent: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        known = numbers("exponent", self.exponent)
        require(
            known is None or np.all(known > 0),
            f"`exponent` must be positive, got {known}; near 0 all mass is at 0, use `Discrete` for that.",
        )

    @property
    def distribution(self) -> dist.Kumaraswamy:
        """The NumPyro distribution, to be observed in a model: Kumaraswamy(a, 1), for data strictly inside (0, 1)."""
        return dist.Kumaraswamy(self.exponent, jnp.ones_like(self.exponent))

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return u ** (1 / self.exponent)

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        left, right = x < 0, x > 1
        at = jnp.where(left | right, 0.5, x)
        positive = at > 0
        above = -jnp.expm1(self.exponent * jnp.log(jnp.where(positive, at, 0.5)))
        above = jnp.where(positive, above, 1.0)
        below = at**self.exponent
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        outside = (x < 0) | (x > 1)
        return jnp.where(outside, 0.0, self.exponent * jnp.where(outside, 0.5, x) ** (self.exponent - 1))

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        left, right = x <= 0, x > 1
        inner = not_all_below(self.exponent, 1 - jnp.where(left | right, 0.5, x))
        return jnp.where(left, self._mean() - x, jnp.where(right, 0.0, inner))

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        some = u > 0
        rest = -jnp.expm1((1 + 1 / self.exponent) * jnp.log(jnp.where(some, u, 0.5)))
        return self._mean() * jnp.where(some, rest, 1.0)

    def _mean(self) -> Float[Array, ""]:
        return self.exponent / (self.exponent + 1)

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return n * self.exponent / (n * self.exponent + 1)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jnp.zeros_like(self.exponent), jnp.ones_like(self.exponent)

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack(self._support())

    def _valid(self) -> Bool[Array, ""]:
        return self.exponent > 0

    def _strips(self) -> Strips:
        at_zero = jnp.where(self.exponent < 1, jnp.inf, jnp.where(self.exponent > 1, 0.0, 1.0))
        return strip(*self._support(), at_low=at_zero)
