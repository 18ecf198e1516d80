r"""The standard normal law cut to a window, precise in either tail and however far out the window lies.

Everything is a partial moment of an exponential of one sign,

.. math:: M_k(p, w) = \int_0^w t^k e^{-p t - t^2/2} dt, \quad p \ge 0,

which Gauss's rule on 32 nodes gives to the last digits, tails included. A window left of zero is seen in a mirror, so there
are two kinds left: `a` at or above zero, measured in units of φ(a), where φ(a) itself may underflow; and `a` below zero below
`b`, measured in units of φ(0). All functions are scalar.
"""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import erf, ndtr, ndtri
from jaxtyping import Array, Bool, Float

Scalar = Float[Array, ""]
_FAR = 8.0  # beyond it quantiles start from the tail's expansion rather than from the normal quantile

_X, _W = np.polynomial.legendre.leggauss(32)
_NODE, _WEIGHT = (_X + 1) / 2, _W / 2


def reach(p: Scalar) -> Scalar:
    """Where exp(−p t − t²/2) has fallen to exp(−40), for p ≥ 0; no derivative."""
    return lax.stop_gradient(80 / (p + jnp.sqrt(p * p + 80)))


def integral(function, length: Scalar) -> Scalar:
    """Integral of a smooth function of one sign over [0, length]."""
    return length * jnp.sum(jnp.asarray(_WEIGHT, length.dtype) * function(length * jnp.asarray(_NODE, length.dtype)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def moment(p: Scalar, w: Scalar, k: int) -> Scalar:
    """M_k(p, w)."""
    return integral(lambda t: t**k * jnp.exp(-t * (p + t / 2)), jnp.minimum(w, reach(p)))


@moment.defjvp
def _moment_rule(k, primals, tangents):
    (p, w), (p_dot, w_dot) = primals, tangents
    return moment(p, w, k), w**k * jnp.exp(-w * (p + w / 2)) * w_dot - moment(p, w, k + 1) * p_dot


def around_zero(left: Scalar, right: Scalar) -> Scalar:
    """Integral of exp(−t²/2) from −left to right, both positive: no difference is taken."""
    return math.sqrt(math.pi / 2) * (erf(left * math.sqrt(0.5)) + erf(right * math.sqrt(0.5)))


def _mills(z: Scalar) -> Scalar:
    """∫ of exp(−z t − t²/2) over t > 0, for z ≥ 8, by Laplace's continued fraction."""
    tail = z
    for k in range(12, 0, -1):
        tail = z + k / tail
    return 1 / tail


class Point(eqx.Module):
    """A value in the mirror: its place, and how far it is above `a` and below `b`, each with its own digits."""

    z: Scalar
    above_a: Scalar
    below_b: Scalar


class Window(eqx.Module):
    """The window from a to b, mirrored if b was not above zero; masses in units of the density at max(a, 0)."""

    a: Scalar
    b: Scalar
    width: Scalar
    mirrored: Bool[Array, ""]

    @staticmethod
    def of(a: Scalar, b: Scalar, width: Scalar) -> "Window":
        """The window from a to b; `width` is b − a with its own digits."""
        mirrored = b <= 0
        return Window(jnp.where(mirrored, -b, a), jnp.where(mirrored, -a, b), width, mirrored)

    @property
    def inner(self) -> Bool[Array, ""]:
        """Does the window hold zero?"""
        return self.a < 0

    def point(self, z: Scalar, above_a: Scalar, below_b: Scalar) -> Point:
        """A value given as it is outside the mirror."""
        m = self.mirrored
        return Point(jnp.where(m, -z, z), jnp.where(m, below_b, above_a), jnp.where(m, above_a, below_b))

    def drop(self, at: Point) -> Scalar:
        """Minus the log of the density, in units of the density at max(a, 0)."""
        return jnp.where(self.inner, at.z * at.z, at.above_a * (at.z + self.a)) / 2

    def total(self) -> Scalar:
        """Mass of the window."""
        inner = self.inner
        outer = moment(jnp.where(inner, 1.0, self.a), self.width, 0)
        return jnp.where(inner, around_zero(-self.a, self.b), outer)

    def masses(self, at: Point) -> tuple[Scalar, Scalar]:
        """Mass below and mass above a point, as seen in the mirror."""
        inner, left = self.inner, self.inner & (at.z < 0)
        density = jnp.exp(-self.drop(at))
        below = moment(jnp.where(left, -at.z, jnp.where(inner, 1.0, self.a)), at.above_a, 0)
        below = jnp.where(left, density * below, jnp.where(inner, around_zero(-self.a, at.z), below))
        above = density * moment(jnp.where(left, 1.0, at.z), at.below_b, 0)
        return below, jnp.where(left, around_zero(-at.z, self.b), above)

    def excess(self, at: Point) -> Scalar:
        """Integral of t − z over the mass above z, as seen in the mirror."""
        left = self.inner & (at.z < 0)
        far = jnp.exp(-self.drop(at)) * moment(jnp.where(left, 1.0, at.z), at.below_b, 1)
        lean = jnp.expm1(-at.z * at.z / 2) - jnp.expm1(-self.b * self.b / 2)
        return jnp.where(left, -at.z * around_zero(-at.z, self.b) + lean, far)

    def shortfall(self, at: Point) -> Scalar:
        """Integral of z − t over the mass below z, for a window that does not hold zero."""
        a = jnp.where(self.inner, 1.0, self.a)
        return at.above_a * moment(a, at.above_a, 0) - moment(a, at.above_a, 1)

    def quantile(self, u: Scalar) -> Point:
        """Where P(below) is u, 0 < u < 1, outside the mirror.

        A first point from the normal quantile or the tail's expansion, then one step of Halley's method on the smaller mass.
        """
        v, rest = jnp.where(self.mirrored, 1 - u, u), jnp.where(self.mirrored, u, 1 - u)
        a, b, inner, far = self.a, self.b, self.inner, self.a > _FAR
        above_a = jnp.clip(jnp.where(far, self._start_far(v, rest), self._start_near(v, rest) - a), 0.0, self.width)
        z = a + above_a
        at = Point(z, above_a, jnp.clip(jnp.where(inner, b - z, self.width - above_a), 0.0, self.width))
        from_a = v <= 0.5
        across = inner & jnp.where(from_a, z >= 0, z < 0)  # the smaller mass holds zero
        whole = jnp.where(from_a, around_zero(-a, z), around_zero(-z, b))
        gap = jnp.where(from_a, at.above_a, at.below_b)
        part = moment(jnp.where(inner, jnp.abs(z), jnp.where(from_a, a, z)), gap, 0)
        density = jnp.maximum(jnp.exp(-self.drop(at)), jnp.finfo(u.dtype).tiny)
        goal = jnp.where(from_a, v, rest) * self.total()
        local = jnp.where(inner, ~across, ~from_a)  # then `part` is in units of the density at z
        miss = jnp.where(local, part - goal / density, (jnp.where(across, whole, part) - goal) / density)
        bend = jnp.where(from_a, z, -z) * miss / 2
        step = miss / jnp.clip(1 + bend, 0.5, 2.0) * jnp.where(from_a, -1.0, 1.0)
        above_a, below_b = jnp.clip(above_a + step, 0.0, self.width), jnp.clip(at.below_b - step, 0.0, self.width)
        return self.point(z + step, above_a, below_b)

    def _start_near(self, v: Scalar, rest: Scalar) -> Scalar:
        tiny = jnp.finfo(v.dtype).tiny
        below = jnp.maximum(rest * ndtr(self.a) + v * ndtr(self.b), tiny)
        above = jnp.maximum(v * ndtr(-self.b) + rest * ndtr(-self.a), tiny)
        lower = below < above
        z = ndtri(jnp.where(lower, below, above))
        return jnp.where(lower, z, -z)

    def _start_far(self, v: Scalar, rest: Scalar) -> Scalar:
        """Distance above a: with E = (z² − a²)/2, P(above z) falls as exp(−E) times a ratio that hardly moves."""
        a = jnp.maximum(self.a, _FAR)
        whole = _mills(a)
        inside = jnp.minimum(moment(a, self.width, 0) / whole, 1.0)
        beyond = jnp.exp(-self.width * (a + self.b) / 2) * _mills(jnp.maximum(self.b, _FAR)) / whole
        goal = jnp.where(v < 0.5, -jnp.log1p(-v * inside), -jnp.log(jnp.maximum(rest + v * beyond, 1e-37)))
        energy = goal
        for _ in range(3):
            z = jnp.sqrt(a * a + 2 * energy)
            energy = energy - (energy - jnp.log(_mills(z) / whole) - goal) / (1 + 1 / (z * z))
        energy = jnp.maximum(energy, 0.0)
        return 2 * energy / (a + jnp.sqrt(a * a + 2 * energy))
