"""The exponential law, on all positive numbers and cut at a greatest value."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import digamma
from jaxtyping import Array, Bool, Float
from numpyro.distributions.transforms import AffineTransform, ExpTransform

from .._check import as_array, require
from ._derivatives import envelope_tail_integral, implicit_quantile
from ._law import AbstractLaw
from ._quadrature import expected_max_by_quadrature
from ._regular import Strips, strip
from ._series import decay_1, decay_slope, log_ratio
from ._validate import numbers


class Exponential(AbstractLaw):
    r"""Unbounded values whose chance to exceed x falls by the same share with every step of x.

    .. math::
        F(x) = 1 - e^{-\lambda x}, \quad Q(u) = -\frac{\log(1 - u)}{\lambda}, \quad
        T(u) = (1 - u) \frac{1 - \log(1 - u)}{\lambda}, \quad E \max_n X = \frac{H_n}{\lambda}

    It is unbounded, so `is_valid` is False: formulas evaluate, but no theorem on large markets or on envy applies. Cut it
    by `TruncatedExponential` to have them.

    Source: elementary [X]; an unbounded law is outside section 2 of Halpern, Psomas and Zhang, "Truthful Fair Division under
    Stochastic Valuations".

    Args:
        rate: scalar, one over the mean, positive.

    Raises:
        ValueError: `rate` is not finite and positive.

    Example:
        >>> law = Exponential()
        >>> round(float(law.expected_max(3)), 4), float(law.tail_integral(0.0)), law.is_valid
        (1.8333, 1.0, False)
    """

    rate: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array, default=1.0)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        known = numbers("rate", self.rate)
        require(known is None or np.all(known > 0), f"`rate` must be positive, got {known}; it is one over the mean.")

    @property
    def distribution(self) -> dist.Exponential:
        """The NumPyro distribution, to be observed in a model."""
        return dist.Exponential(self.rate)

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return -jnp.log1p(-u) / self.rate

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        left = x < 0
        power = -self.rate * jnp.where(left, 0.0, x)
        return jnp.where(left, 0.0, -jnp.expm1(power)), jnp.where(left, 1.0, jnp.exp(power))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        left = x < 0
        return jnp.where(left, 0.0, self.rate * jnp.exp(-self.rate * jnp.where(left, 0.0, x)))

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return self._tails(x)[1] / self.rate + jnp.where(x < 0, -x, 0.0)

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        above = 1 - u
        some = above > 0
        return jnp.where(some, above * (1 - jnp.log(jnp.where(some, above, 1.0))), 0.0) / self.rate

    def _mean(self) -> Float[Array, ""]:
        return 1 / self.rate

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return (digamma(n + 1) + np.euler_gamma) / self.rate

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jnp.zeros_like(self.rate), jnp.full_like(self.rate, jnp.inf)

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack(self._support())

    def _valid(self) -> bool:
        return False

    def _strips(self) -> Strips:
        return strip(*self._support(), at_high=0.0)


class TruncatedExponential(AbstractLaw):
    r"""An exponential law given that the value does not exceed `high`.

    .. math::
        F(x) = \frac{1 - e^{-\lambda x}}{1 - e^{-\lambda h}}, \quad
        E (X - x)^+ = e^{-\lambda x} s^2 \frac{g(\lambda s)}{h E_1(\lambda h)}, \quad
        s = h - x, \; g(z) = \frac{1 - (1 + z) e^{-z}}{z^2}, \; E_1(z) = \frac{1 - e^{-z}}{z}

    Written so, nothing is 0/0 as the rate falls to 0, where the law is uniform on [0, high], and nothing overflows as it
    grows. The expected maximum is by quadrature.

    Source: elementary [D].

    Args:
        rate: scalar λ, not negative; 0 is the uniform law.
        high: scalar h, greatest value, positive, in units of the values.

    Raises:
        ValueError: `rate` is negative, `high` is not positive, or one is not finite.

    Example:
        >>> law = TruncatedExponential(2.0)
        >>> round(float(law.mean), 4), round(float(law.quantile(0.5)), 4), float(TruncatedExponential(0.0).mean)
        (0.3435, 0.2831, 0.5)
    """

    rate: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    high: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array, default=1.0)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        rate, high = numbers("rate", self.rate), numbers("high", self.high)
        require(
            rate is None or np.all(rate >= 0),
            f"`rate` must not be negative, got {rate}; 0 is the uniform law, and one that leans up is `Power`.",
        )
        require(high is None or np.all(high > 0), f"`high` must be positive, got {high}.")

    @property
    def distribution(self) -> dist.TransformedDistribution:
        """The NumPyro distribution, to be observed in a model: −high times the log of a truncated power law."""
        steepness = self.rate * self.high - 1
        power = dist.DoublyTruncatedPowerLaw(steepness, np.exp(-1.0), 1.0)
        return dist.TransformedDistribution(power, [ExpTransform().inv, AffineTransform(0.0, -self.high)])

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return implicit_quantile(self, u)

    def _solve(self, u: Float[Array, ""]) -> Float[Array, ""]:
        # From P(X ≤ x) below, and from P(X ≥ x), which gives the distance to `high` its digits, near the top.
        k = self.rate * self.high
        share, rest = -u * jnp.expm1(-k), (1 - u) * jnp.expm1(jnp.minimum(k, 80.0))
        low, top = share < 0.5, rest < 1
        below = u * decay_1(k) * log_ratio(jnp.where(low, share, 0.0))
        above = 1 - (1 - u) * decay_1(-jnp.minimum(k, 80.0)) * log_ratio(-jnp.where(top, rest, 0.0))
        between = -jnp.log((1 - u) + u * jnp.exp(-k)) / jnp.where(low | top, 1.0, k)
        y = jnp.where(low, below, jnp.where(top, above, between))
        return self.high * jnp.where((u == 0) | (u == 1), u, jnp.clip(y, 0.0, 1.0))

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        left, right = x < 0, x > self.high
        at = jnp.where(left | right, self.high / 2, x)
        rest = self.high - at
        whole = self.high * decay_1(self.rate * self.high)
        below = at * decay_1(self.rate * at) / whole
        above = jnp.exp(-self.rate * at) * rest * decay_1(self.rate * rest) / whole
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        outside = (x < 0) | (x > self.high)
        at = jnp.where(outside, 0.0, x)
        inside = jnp.exp(-self.rate * at) / (self.high * decay_1(self.rate * self.high))
        return jnp.where(outside, 0.0, inside)

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        left, right = x < 0, x > self.high
        at = jnp.where(left | right, 0.0, x)
        rest = self.high - at
        whole = self.high * decay_1(self.rate * self.high)
        inside = jnp.exp(-self.rate * at) * rest * rest * decay_slope(self.rate * rest) / whole
        return jnp.where(right, 0.0, inside - jnp.where(left, x, 0.0))

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return envelope_tail_integral(self, u)

    def _mean(self) -> Float[Array, ""]:
        k = self.rate * self.high
        return self.high * decay_slope(k) / decay_1(k)

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return expected_max_by_quadrature(self, n)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jnp.zeros_like(self.high), self.high

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack(self._support())

    def _valid(self) -> Bool[Array, ""]:
        return self.high > 0

    def _strips(self) -> Strips:
        return strip(*self._support())
