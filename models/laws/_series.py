r"""Differences of exponentials that lose no digit near zero, where the plain formulas are 0/0; all elementwise.

.. math::
    E_1(z) = \frac{1 - e^{-z}}{z}, \quad E_2(z) = \frac{e^{-z} - 1 + z}{z^2}, \quad
    E_1 - E_2 = \frac{1 - (1 + z) e^{-z}}{z^2}

Within one of zero they are Taylor sums, whose derivatives are as precise as they are.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "*shape"]
Scalar = Float[Array, ""]
_TERMS = 20


def _taylor(coefficients: list[float], z: Numbers) -> Numbers:
    total = jnp.zeros_like(z)
    for c in reversed(coefficients):
        total = total * z + c
    return total


def _near_or_far(coefficients: list[float], far: Callable[[Array], Array], z: Numbers, within: float = 1.0) -> Numbers:
    near = jnp.abs(z) < within
    return jnp.where(near, _taylor(coefficients, jnp.where(near, z, 0.0)), far(jnp.where(near, within, z)))


def decay_1(z: Numbers) -> Numbers:
    """E₁(z) = (1 − exp(−z))/z, the mean of exp(−z t) over t in [0, 1]."""
    terms = [(-1) ** j / math.factorial(j + 1) for j in range(_TERMS)]
    return _near_or_far(terms, lambda z: -jnp.expm1(-z) / z, z)


def decay_2(z: Numbers) -> Numbers:
    """E₂(z) = (exp(−z) − 1 + z)/z²."""
    terms = [(-1) ** j / math.factorial(j + 2) for j in range(_TERMS)]
    return _near_or_far(terms, lambda z: (jnp.expm1(-z) + z) / (z * z), z)


def decay_slope(z: Numbers) -> Numbers:
    """E₁(z) − E₂(z) = −E₁'(z), the mean of t exp(−z t) over t in [0, 1]."""
    terms = [(-1) ** j * (j + 1) / math.factorial(j + 2) for j in range(_TERMS)]
    return _near_or_far(terms, lambda z: -(jnp.expm1(-z) + z * jnp.exp(-z)) / (z * z), z)


def log_ratio(a: Numbers) -> Numbers:
    """−log(1 − a)/a for a below 1."""
    return _near_or_far([1 / (j + 1) for j in range(_TERMS)], lambda a: -jnp.log1p(-a) / a, a, within=0.13)


def chance_rate(n: Scalar, a: Numbers) -> Numbers:
    """(1 − (1 − a)ⁿ)/a for a in [0, 1/2]: the chance that one of n draws succeeds, per chance a of each; n at a = 0."""
    return n * decay_1(-n * jnp.log1p(-a)) * log_ratio(a)


def not_all_below(n: Scalar, y: Numbers) -> Numbers:
    r"""∫ of 1 − tⁿ over t in [1 − y, 1], for n > 0 and y in [0, 1].

    With x = 1 − y and L = −log x it is :math:`(n (y - x L) + x (n L)^2 E_2(n L)) / (1 + n)`, both terms positive.
    """
    inner = y < 1
    x = 1 - jnp.where(inner, y, 0.5)
    log = -jnp.log1p(-jnp.where(inner, y, 0.5))
    near = log < 1
    first = jnp.where(near, x * log * log * decay_2(jnp.where(near, -log, 0.0)), y - x * log)
    second = x * (n * log) * (n * log) * decay_2(n * log)
    return jnp.where(inner, (n * first + second) / (1 + n), n / (1 + n))
