"""The normal law cut to an interval."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from .._check import as_array, require
from ._derivatives import envelope_tail_integral, implicit_quantile
from ._law import AbstractLaw
from ._normal_window import Point, Window, moment
from ._quadrature import expected_max_by_quadrature
from ._regular import Strips, strip
from ._validate import numbers


class TruncatedNormal(AbstractLaw):
    r"""A normal law given that the value lies between `low` and `high`.

    .. math:: f(x) = \frac{\varphi(z)}{\sigma (\Phi(\beta) - \Phi(\alpha))}, \quad
        z = \frac{x - \mu}{\sigma}, \; \alpha = \frac{l - \mu}{\sigma}, \; \beta = \frac{h - \mu}{\sigma}

    No difference of two near numbers is ever taken, so both tails, narrow windows and windows a hundred standard deviations
    out keep their digits, in value and in gradient. Quantiles are closed up to one polishing step, and draws are quantiles.
    The expected maximum is by quadrature.

    Source: elementary [D].

    Args:
        loc: scalar μ, mean before the cut, in units of the values.
        scale: scalar σ, standard deviation before the cut, positive.
        low: scalar l, least value.
        high: scalar h, greatest value, above `low`.

    Raises:
        ValueError: a number is not finite, `scale` is not positive, or `low` is not below `high`.

    Example:
        >>> law = TruncatedNormal(0.5, 0.2, 0.0, 1.0)
        >>> round(float(law.mean), 4), round(float(law.quantile(0.9)), 4), law.is_valid, law.is_regular
        (0.5, 0.7507, True, True)
        >>> far = TruncatedNormal(0.0, 1.0, 100.0, 101.0)  # its whole mass is 1e-2174 of the normal law
        >>> round(float(far.mean), 2)
        100.01
    """

    loc: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    scale: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    low: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    high: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        _, scale, low, high = (numbers(name, getattr(self, name)) for name in ("loc", "scale", "low", "high"))
        require(scale is None or np.all(scale > 0), f"`scale` must be positive, got {scale}.")
        if low is not None and high is not None:
            require(np.all(low < high), f"`low` must be below `high`, got {low} and {high}; swap or widen them.")

    @property
    def distribution(self) -> dist.Distribution:
        """The NumPyro distribution, to be observed in a model."""
        return dist.TruncatedNormal(self.loc, self.scale, low=self.low, high=self.high)

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _window(self) -> Window:
        a, b = (self.low - self.loc) / self.scale, (self.high - self.loc) / self.scale
        return Window.of(a, b, (self.high - self.low) / self.scale)

    def _point(self, w: Window, x: Float[Array, ""]) -> tuple[Point, Bool[Array, ""], Bool[Array, ""]]:
        """The point of x, or of `low` if x is outside, and whether it is left or right of the window."""
        left, right = x < self.low, x > self.high
        at = jnp.where(left | right, self.low, x)
        gaps = (at - self.loc) / self.scale, (at - self.low) / self.scale, (self.high - at) / self.scale
        return w.point(*gaps), left, right

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return implicit_quantile(self, u)

    def _solve(self, u: Float[Array, ""]) -> Float[Array, ""]:
        at = self._window().quantile(jnp.where((u > 0) & (u < 1), u, 0.5))
        # From the end nearby or from the centre: whichever is fewer roundings away.
        starts, steps = (
            jnp.stack([self.low, self.high, self.loc]),
            jnp.stack([at.above_a, -at.below_b, at.z]) * self.scale,
        )
        best = jnp.argmin(jnp.abs(starts) + jnp.abs(steps))
        x = jnp.clip(starts[best] + steps[best], self.low, self.high)
        return jnp.where(u == 0, self.low, jnp.where(u == 1, self.high, x))

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        w = self._window()
        at, left, right = self._point(w, x)
        masses, total = w.masses(at), w.total()
        below = jnp.where(w.mirrored, masses[1], masses[0]) / total
        above = jnp.where(w.mirrored, masses[0], masses[1]) / total
        return jnp.where(left, 0.0, jnp.where(right, 1.0, below)), jnp.where(left, 1.0, jnp.where(right, 0.0, above))

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        w = self._window()
        at, left, right = self._point(w, x)
        return jnp.where(left | right, 0.0, jnp.exp(-w.drop(at)) / (w.total() * self.scale))

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        w = self._window()
        at, left, right = self._point(w, x)
        inside = jnp.where(w.mirrored, w.shortfall(at), w.excess(at)) * self.scale / w.total()
        return jnp.where(right, 0.0, jnp.where(left, self._mean() - x, inside))

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return envelope_tail_integral(self, u)

    def _mean(self) -> Float[Array, ""]:
        w = self._window()
        lean = jnp.expm1(-w.a * w.a / 2) - jnp.expm1(-w.b * w.b / 2)
        shift = jnp.where(w.inner, lean, moment(jnp.where(w.inner, 1.0, w.a), w.width, 1)) * self.scale / w.total()
        return jnp.where(w.inner, self.loc + shift, jnp.where(w.mirrored, self.high - shift, self.low + shift))

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return expected_max_by_quadrature(self, n)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return self.low, self.high

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.stack([self.low, self.high])

    def _valid(self) -> Bool[Array, ""]:
        return (self.low >= 0) & (self.low < self.high)

    def _strips(self) -> Strips:
        return strip(self.low, self.high)
