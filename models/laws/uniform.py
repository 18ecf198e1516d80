"""The uniform law."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from .._check import as_array, require
from ._law import AbstractLaw
from ._regular import Strips, strip
from ._validate import numbers


class Uniform(AbstractLaw):
    r"""Every value between `low` and `high` is as likely as any other.

    .. math::
        F(x) = \frac{x - l}{h - l}, \quad Q(u) = (1 - u) l + u h, \quad
        T(u) = (1 - u) \frac{Q(u) + h}{2}, \quad E \max_n X = \frac{l + n h}{n + 1}

    Source: Halpern, Psomas and Zhang, "Truthful Fair Division under Stochastic Valuations"; U[0, 1] is a valid law of
    section 2 [P], the formulas are elementary [D].

    Args:
        low: scalar, least value, in units of the values.
        high: scalar, greatest value, above `low`.

    Raises:
        ValueError: an end is not finite, or `low` is not below `high`.

    Example:
        >>> law = Uniform(1.0, 3.0)
        >>> float(law.mean), float(law.expected_max(3)), float(law.tail_integral(0.5))
        (2.0, 2.5, 1.25)
    """

    low: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array, default=0.0)
    high: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array, default=1.0)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        low, high = numbers("low", self.low), numbers("high", self.high)
        if low is not None and high is not None:
            require(np.all(low < high), f"`low` must be below `high`, got {low} and {high}; swap or widen them.")

    @property
    def distribution(self) -> dist.Uniform:
        """The NumPyro distribution, to be observed in a model."""
        return dist.Uniform(self.low, self.high)

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - u) * self.low + u * self.high

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        width, left, right = self.high - self.low, x < self.low, x > self.high
        below, above = (x - self.low) / width, (self.high - x) / width
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.where((x < self.low) | (x > self.high), 0.0, 1 / (self.high - self.low))

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        inside = (self.high - x) * (self.high - x) / (2 * (self.high - self.low))
        return jnp.where(x < self.low, self._mean() - x, jnp.where(x > self.high, 0.0, inside))

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - u) * (self._quantile(u) + self.high) / 2

    def _mean(self) -> Float[Array, ""]:
        return (self.low + self.high) / 2

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return self._quantile(n / (n + 1))

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return self.low, self.high

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack([self.low, self.high])

    def _valid(self) -> Bool[Array, ""]:
        return (self.low >= 0) & (self.low < self.high)

    def _strips(self) -> Strips:
        return strip(self.low, self.high)
