"""Roots of functions of one number, inside programs, with implicit derivatives."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def halve(goes_up: Callable[[Scalar], Array], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """The ends of [low, high], halved to rounding: a point from which the sought one lies above, and one from which below.

    Args:
        goes_up: whether the sought point lies above a given one.
        low: where it does, or the lower end.
        high: where it does not, or the upper end.
    """

    def step(_, ends):
        low, high = ends
        middle = (low + high) / 2
        above = goes_up(middle)
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    return lax.fori_loop(0, 3 + jnp.finfo(low.dtype).nmant, step, (low, high))


def implicit(function: Callable[[Scalar], Scalar], found: Scalar) -> Scalar:
    """`found`, a root of `function`, with the implicit derivative in whatever `function` closes over."""

    def tangent(linear, y):
        slope = linear(jnp.ones_like(y))
        return jnp.where(slope == 0, 0.0, y / jnp.where(slope == 0, 1.0, slope))

    return lax.custom_root(function, lax.stop_gradient(found), lambda _, found: found, tangent)


def root(function: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> Scalar:
    """Where a `function` that rises crosses zero between `low` and `high`; an end where it does not cross."""
    low, high = lax.stop_gradient((low, high))
    return implicit(function, halve(lambda x: lax.stop_gradient(function(x)) < 0, low, high)[1])
