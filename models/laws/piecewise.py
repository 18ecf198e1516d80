"""Laws whose quantile function is made of straight pieces; `PiecewiseLinear` joins them at free knots."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from .._check import as_array, require
from ._law import AbstractLaw
from ._regular import Strips
from ._series import chance_rate, not_all_below
from ._validate import numbers


class Pieces(eqx.Module):
    """Uniform pieces in ascending order: `width` is the probability of one, `start` and `end` are its levels.

    What a rare piece could lose to rounding, in value or gradient, is given by itself: `above` is the probability above
    the piece, `span` how far its values reach, `worth` its share of the mean, `jump` the gap to the next piece times
    `above`.
    """

    low: Float[Array, " pieces"]
    high: Float[Array, " pieces"]
    span: Float[Array, " pieces"]
    width: Float[Array, " pieces"]
    start: Float[Array, " pieces"]
    end: Float[Array, " pieces"]
    above: Float[Array, " pieces"]
    worth: Float[Array, " pieces"]
    jump: Float[Array, " pieces-1"]


def _into_unit(t: Array) -> Array:
    """Round-off out of [0, 1] is cut; the derivative stays that of t."""
    return t + lax.stop_gradient(jnp.clip(t, 0.0, 1.0) - t)


def _at(sorted_values: Array, x: Array, side: str) -> Array:
    return jnp.searchsorted(lax.stop_gradient(sorted_values), lax.stop_gradient(x), side=side)


def _from_above(v: Array) -> Array:
    """Sums of v from each entry to the last, and a zero."""
    return jnp.concatenate([jnp.cumsum(v[::-1])[::-1], jnp.zeros_like(v[:1])])


class AbstractPiecewise(AbstractLaw):
    """A law of uniform pieces, gaps between them allowed: every formula is a finite sum of terms of one sign.

    So no digit cancels, however small the probability of a piece. Pieces that rounding has made flat act as atoms.
    """

    @abc.abstractmethod
    def _pieces(self) -> Pieces:
        """The pieces of the quantile function."""

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """None: an empty array."""
        return jnp.zeros(0, self._dtype())

    def _at_level(self, p: Pieces, u: Float[Array, ""]) -> tuple[Array, Array, Array]:
        """The piece that holds level u, and how far u is from its end and from its start, as fractions of its width."""
        drawn = p.width > 0
        first, last = jnp.argmax(drawn), drawn.size - 1 - jnp.argmax(drawn[::-1])
        k = jnp.where(u == 1, last, jnp.clip(_at(p.end, u, "left"), first, last))
        width = jnp.where(p.width[k] > 0, p.width[k], 1.0)
        below, above = (u - p.start[k]) / width, ((1 - u) - p.above[k]) / width
        upper = u > 0.5  # 1 − u is exact there
        to_end, to_start = jnp.where(upper, above, 1 - below), jnp.where(upper, 1 - above, below)
        return k, _into_unit(to_end), _into_unit(to_start)

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        p = self._pieces()
        k, to_end, to_start = self._at_level(p, u)
        return to_end * p.low[k] + to_start * p.high[k]

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        p = self._pieces()
        k, to_end, to_start = self._at_level(p, u)
        x = to_end * p.low[k] + to_start * p.high[k]
        return to_end * p.width[k] * (x + p.high[k]) / 2 + _from_above(p.worth)[k + 1]

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        p = self._pieces()
        part = lambda gap, k: jnp.where(p.span[k] > 0, gap / jnp.where(p.span[k] > 0, p.span[k], 1.0), 1.0)
        k = jnp.maximum(_at(p.low, x, "right") - 1, 0)  # the last piece that has begun
        inside = p.start[k] + p.width[k] * part(x - p.low[k], k)
        below = jnp.where(x < p.low[0], 0.0, jnp.where(x > p.high[k], p.end[k], inside))
        k = jnp.minimum(_at(p.high, x, "left"), p.span.size - 1)  # the first that has not ended
        inside = p.above[k] + p.width[k] * part(p.high[k] - x, k)
        return below, jnp.where(x > p.high[-1], 0.0, jnp.where(x < p.low[k], self._before(p, k), inside))

    def _before(self, p: Pieces, k: Array) -> Float[Array, ""]:
        """Probability of piece k and all above it."""
        return jnp.where(k > 0, p.above[jnp.maximum(k - 1, 0)], 1.0)

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        p = self._pieces()
        k = jnp.maximum(_at(p.low, x, "right") - 1, 0)
        inside = (x >= p.low[0]) & (x <= p.high[k]) & (p.span[k] > 0)
        return jnp.where(inside, p.width[k] / jnp.where(inside, p.span[k], 1.0), 0.0)

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        # The integral of P(X > t) over t > x: what it gains along each piece and across each gap.
        p = self._pieces()
        along = (p.above + p.width / 2) * p.span
        from_high = _from_above(along)[1:] + _from_above(p.jump)
        k = jnp.minimum(_at(p.high, x, "left"), p.span.size - 1)
        left = jnp.where(jnp.isfinite(x), p.high[k] - x, 0.0)
        inside = p.above[k] * left + p.width[k] * left * left / (2 * jnp.where(p.span[k] > 0, p.span[k], 1.0))
        before = along[k] + self._before(p, k) * (p.low[k] - x)
        return jnp.where(x > p.high[-1], 0.0, from_high[k] + jnp.where(x < p.low[k], before, inside))

    def _mean(self) -> Float[Array, ""]:
        return jnp.sum(self._pieces().worth)

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        r"""Lower end plus the integral of 1 − Fⁿ along each piece and across each gap.

        On a piece that ends at level b and has width w, with z = w/b, the mean of 1 − uⁿ over its levels is
        :math:`1 - b^n + b^n \int_{1-z}^1 (1 - t^n)\,dt / z`.
        """
        p = self._pieces()
        rare, some = p.above < 0.5, p.end > 0
        log = jnp.where(rare, jnp.log1p(-jnp.where(rare, p.above, 0.5)), jnp.log(jnp.where(some & ~rare, p.end, 0.5)))
        missed = jnp.where(some, -jnp.expm1(n * log), 1.0)
        drawn = p.width > 0
        z = jnp.where(drawn, p.width / jnp.where(drawn, p.end, 1.0), 1.0)
        mean = missed + jnp.where(drawn, jnp.exp(n * log) * not_all_below(n, z) / z, 0.0)
        far = missed / jnp.where(rare, 1.0, p.above)  # per unit of `above`
        rate = jnp.where(rare, chance_rate(n, jnp.where(rare, p.above, 0.0)), far)
        return p.low[0] + jnp.sum(p.span * mean) + jnp.sum(p.jump * rate[:-1])

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        p = self._pieces()
        drawn = p.width > 0
        return jnp.min(jnp.where(drawn, p.low, jnp.inf)), jnp.max(jnp.where(drawn, p.high, -jnp.inf))

    def _kinks(self) -> Float[Array, " kinks"]:
        p = self._pieces()
        return jnp.concatenate([p.low, p.high])

    def _valid(self) -> Bool[Array, ""]:
        p = self._pieces()
        sloped = jnp.all((p.span > 0) | (p.width == 0)) & jnp.all(p.width >= 0)
        return (p.low[0] >= 0) & sloped & jnp.all(p.low[1:] >= p.high[:-1])

    def _strips(self) -> Strips:
        p = self._pieces()
        drawn, limit = p.width > 0, jnp.where(p.span > 0, 1.0, jnp.inf).astype(p.low.dtype)
        return Strips(jnp.where(drawn, p.low, jnp.inf), jnp.where(drawn, p.high, -jnp.inf), limit, limit)


class PiecewiseLinear(AbstractPiecewise):
    r"""Any law on an interval, by straight lines between knots of its quantile function.

    .. math:: Q(u) = x_k + (x_{k+1} - x_k) \frac{u - u_k}{u_{k+1} - u_k}, \quad u_k \le u \le u_{k+1}

    The adversary's law: quantiles, tail integrals, mean and expected maxima are exact and linear in `values` at fixed
    levels, so they can be learned by gradient, for example as a start and the running sum of softplus increments; `levels`
    may be learned too. A level set of value v and probability p counts by its product v p: to let p fall far, learn
    the product. Values must increase strictly where they are known, because a flat piece is an atom; one that rounding
    makes under a transform is treated as one, and then `is_valid` is False.

    Source: elementary [D]; the family that contains every law in the limit of many knots.

    Args:
        levels: `[knots]`, increasing from 0 to 1.
        values: `[knots]`, the quantiles there, increasing, in units of the values.

    Raises:
        ValueError: fewer than two knots, lengths differ, `levels` do not increase from 0 to 1, or `values` do not increase.

    Example:
        >>> law = PiecewiseLinear([0.0, 0.5, 1.0], [0.0, 0.2, 1.0])
        >>> law.quantile(jnp.array([0.25, 0.75])).round(6).tolist(), round(float(law.expected_max(2)), 6)
        ([0.10000000149011612, 0.6000000238418579], 0.516667)
        >>> slopes = jax.grad(lambda values: PiecewiseLinear([0.0, 0.5, 1.0], values).mean)(law.values)
        >>> slopes.tolist()
        [0.25, 0.5, 0.25]
    """

    levels: Float[Array | np.ndarray, "*draws knots"] = eqx.field(converter=as_array)
    values: Float[Array | np.ndarray, "*draws knots"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 1

    def __check_init__(self):
        levels, values = numbers("levels", self.levels), numbers("values", self.values)
        sizes = np.shape(self.levels)[-1:], np.shape(self.values)[-1:]
        require(
            sizes[0] == sizes[1] and sizes[0] >= (2,),
            f"`levels` and `values` need one entry a knot, and two knots at least; got {sizes[0]} and {sizes[1]}.",
        )
        if levels is not None:
            rises = (
                np.all(np.diff(levels, axis=-1) > 0) and np.all(levels[..., 0] == 0) and np.all(levels[..., -1] == 1)
            )
            require(rises, f"`levels` must increase from 0 to 1, got {levels}; join knots that share a level.")
        if values is not None:
            require(
                np.all(np.diff(values, axis=-1) > 0),
                f"`values` must increase from knot to knot, got {values}; equal neighbours are an atom: "
                "give them a small slope, or mix with `Discrete`.",
            )

    def _pieces(self) -> Pieces:
        levels, values = self.levels, self.values
        low, high, width = values[:-1], values[1:], jnp.diff(levels)
        return Pieces(
            low=low,
            high=high,
            span=high - low,
            width=width,
            start=levels[:-1],
            end=levels[1:],
            above=1 - levels[1:],
            worth=width * (low + high) / 2,
            jump=jnp.zeros_like(low[1:]),
        )
