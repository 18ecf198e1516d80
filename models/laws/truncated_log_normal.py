"""The log-normal law cut to an interval."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, Bool, Float
from numpyro.distributions.transforms import ExpTransform

from .._check import as_array, require
from ._derivatives import envelope_tail_integral, implicit_quantile
from ._law import AbstractLaw
from ._normal_window import Point, Window, around_zero, integral, moment, reach
from ._quadrature import expected_max_by_quadrature
from ._regular import Strips, strip
from ._validate import numbers


def _log_ratio(more: Array, less: Array) -> Array:
    """Log of more/less with its own digits where they are near, and no overflow where they are not."""
    near = more < 2 * less
    close = jnp.log1p(jnp.where(near, more - less, 0.0) / less)
    return jnp.where(near, close, jnp.log(more) - jnp.log(less))


class TruncatedLogNormal(AbstractLaw):
    r"""Values whose logarithm is normal, given that they lie between `low` and `high`.

    .. math::
        E [X; X > x] = e^{\mu + \sigma^2/2} \frac{\Phi(\beta - \sigma) - \Phi(z - \sigma)}{\Phi(\beta) - \Phi(\alpha)}, \quad
        z = \frac{\log x - \mu}{\sigma}, \; \alpha = \frac{\log l - \mu}{\sigma}, \; \beta = \frac{\log h - \mu}{\sigma}

    A long upper tail, cut so that theorems for bounded laws apply. As precise as `TruncatedNormal`, in the tails, far out
    and in gradients. With `low` = 0 the density falls to 0 there, so the law is valid and not regular.

    Source: elementary [D].

    Args:
        loc: scalar μ, mean of the logarithm before the cut.
        scale: scalar σ, standard deviation of the logarithm before the cut, positive.
        low: scalar l, least value, not negative, in units of the values.
        high: scalar h, greatest value, above `low`.

    Raises:
        ValueError: a number is not finite, `scale` is not positive, `low` is negative or not below `high`.

    Example:
        >>> law = TruncatedLogNormal(-1.0, 0.5, 0.0, 1.0)
        >>> round(float(law.mean), 4), round(float(law.quantile(0.5)), 4), law.is_valid, law.is_regular
        (0.3981, 0.3627, True, False)
    """

    loc: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    scale: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    low: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    high: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        _, scale, low, high = (numbers(name, getattr(self, name)) for name in ("loc", "scale", "low", "high"))
        require(scale is None or np.all(scale > 0), f"`scale` must be positive, got {scale}.")
        require(
            low is None or np.all(low >= 0), f"`low` must not be negative, got {low}: logarithms need positive values."
        )
        if low is not None and high is not None:
            require(np.all(low < high), f"`low` must be below `high`, got {low} and {high}; swap or widen them.")

    @property
    def distribution(self) -> dist.TransformedDistribution:
        """The NumPyro distribution, to be observed in a model."""
        positive = self.low > 0
        low = jnp.where(positive, jnp.log(jnp.where(positive, self.low, 1.0)), -jnp.inf)
        normal = dist.TruncatedNormal(self.loc, self.scale, low=low, high=jnp.log(self.high))
        return dist.TransformedDistribution(normal, ExpTransform())

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _ends(self) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Ends of the window of the logarithm in standard units, and its width; below 0 nothing is 40 deviations off."""
        positive = self.low > 0
        low = jnp.where(positive, self.low, self.high / 2)
        b = (jnp.log(self.high) - self.loc) / self.scale
        nowhere = lax.stop_gradient(jnp.minimum(b, 0.0) - 40)
        a = jnp.where(positive, (jnp.log(low) - self.loc) / self.scale, nowhere)
        return a, b, jnp.where(positive, _log_ratio(self.high, low) / self.scale, b - nowhere)

    def _point(self, x: Float[Array, ""]) -> tuple[Point, Bool[Array, ""], Bool[Array, ""]]:
        """The point of x outside the mirror, or of `high` if x is outside, and whether x is left or right."""
        left, right = (x < self.low) | (x <= 0), x > self.high
        at = jnp.where(left | right, self.high, x)
        a, _, _ = self._ends()
        positive = self.low > 0
        low = jnp.where(positive, self.low, at)
        z = (jnp.log(at) - self.loc) / self.scale
        above = jnp.where(positive, _log_ratio(at, low) / self.scale, jnp.maximum(z - a, 0.0))
        return Point(z, above, _log_ratio(self.high, at) / self.scale), left, right

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return implicit_quantile(self, u)

    def _solve(self, u: Float[Array, ""]) -> Float[Array, ""]:
        at = Window.of(*self._ends()).quantile(jnp.where((u > 0) & (u < 1), u, 0.5))
        starts = jnp.stack([self.low, self.high, jnp.exp(self.loc)])
        steps = jnp.stack([at.above_a, -at.below_b, at.z]) * self.scale
        lost = jnp.abs(steps) + jnp.where(self.low > 0, 0.0, jnp.array([jnp.inf, 0.0, 0.0], u.dtype))
        best = jnp.argmin(lost + jnp.stack([jnp.zeros_like(u), jnp.zeros_like(u), jnp.abs(self.loc)]))
        x = jnp.where(best == 2, jnp.exp(self.loc + steps[2]), starts[best] * jnp.exp(steps[best]))
        x = jnp.clip(x, self.low, self.high)
        return jnp.where(u == 0, self.low, jnp.where(u == 1, self.high, x))

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        w = Window.of(*self._ends())
        at, left, right = self._point(x)
        masses, total = w.masses(w.point(at.z, at.above_a, at.below_b)), w.total()
        below = jnp.where(w.mirrored, masses[1], masses[0]) / total
        above = jnp.where(w.mirrored, masses[0], masses[1]) / total
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        w = Window.of(*self._ends())
        at, left, right = self._point(x)
        inside = jnp.exp(-w.drop(w.point(at.z, at.above_a, at.below_b))) / (w.total() * self.scale)
        return jnp.where(left | right, 0.0, inside / jnp.where(left | right, 1.0, x))

    def _above(self, x: Float[Array, ""], at: Point, w: Window) -> Float[Array, ""]:
        """E[X; X > x] times the mass of the window: the mass above z − σ, in units that do not overflow."""
        a, b, width = self._ends()
        z, end = at.z - self.scale, b - self.scale
        high_up, low_down = z >= 0, end <= 0
        peak = jnp.where(high_up | low_down, 0.0, self.loc + (self.scale**2 + jnp.maximum(a, 0.0) ** 2) / 2)
        middle = jnp.exp(peak) * around_zero(jnp.where(high_up | low_down, 1.0, -z), jnp.where(low_down, 1.0, end))
        here, top = w.point(at.z, at.above_a, at.below_b), w.point(b, width, jnp.zeros_like(b))
        mass = moment(jnp.where(high_up, z, jnp.where(low_down, -end, 1.0)), at.below_b, 0)
        up, down = x * jnp.exp(-w.drop(here)) * mass, self.high * jnp.exp(-w.drop(top)) * mass
        return jnp.where(high_up, up, jnp.where(low_down, down, middle))

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        w = Window.of(*self._ends())
        at, left, right = self._point(x)
        inside = jnp.where(left | right, self.high, x)
        here = w.point(at.z, at.above_a, at.below_b)
        masses = w.masses(here)
        wide = self._above(inside, at, w) - inside * jnp.where(w.mirrored, masses[0], masses[1])
        # Where all that is above x is near it, that difference cancels, and the integral of e^(σ t) − 1 does not.
        length = jnp.minimum(at.below_b, jnp.where(at.z > 0, reach(jnp.maximum(at.z, 0.0)), at.below_b))
        narrow = (self.scale * length < 1) & (-at.z * length < 5)
        length = jnp.where(narrow, length, 0.0)
        z = jnp.where(narrow, at.z, 0.0)
        gain = integral(lambda t: jnp.expm1(self.scale * t) * jnp.exp(-t * (z + t / 2)), length)
        value = jnp.where(narrow, inside * jnp.exp(-w.drop(here)) * gain, wide) / w.total()
        return jnp.where(right, 0.0, jnp.where(left, self._mean() - x, value))

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return envelope_tail_integral(self, u)

    def _mean(self) -> Float[Array, ""]:
        a, _, width = self._ends()
        w = Window.of(*self._ends())
        return self._above(self.low, Point(a, jnp.zeros_like(a), width), w) / w.total()

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return expected_max_by_quadrature(self, n)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return self.low, self.high

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack([self.low, self.high])

    def _valid(self) -> Bool[Array, ""]:
        return (self.low >= 0) & (self.low < self.high)

    def _strips(self) -> Strips:
        return strip(*self._support(), at_low=jnp.where(self.low > 0, 1.0, 0.0))
