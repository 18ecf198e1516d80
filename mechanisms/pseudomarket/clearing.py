"""Prices in tokens that clear in expectation: the complementarity problem `0 <= p  perpendicular  left(p) >= 0`.

Expected demand under one atomless budget law is continuous in prices, so a solution exists (specification of paper
003, B6 [X, with proof]). There is no potential to minimise: the only certificate is the complementarity residual.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Left = Callable[[Float[Array, " goods"], Any], Float[Array, " goods"]]


class Clearing(eqx.Module):
    """Prices, what is left at them per agent, and how far they are from clearing: `max |min(price, left)|`."""

    price: Float[Array, " goods"]
    left: Float[Array, " goods"]
    residual: Float[Array, ""]
    steps: Float[Array, ""]


def natural_residual(price: Float[Array, " goods"], left: Float[Array, " goods"]) -> Float[Array, ""]:
    """`max |min(price, left)|`, zero exactly at a solution; NaN counts as infinite."""
    worst = jnp.max(jnp.abs(jnp.minimum(price, left)))
    return jnp.where(jnp.isnan(worst), jnp.inf, worst)


def fischer_burmeister(price: Float[Array, " goods"], left: Float[Array, " goods"]) -> Float[Array, " goods"]:
    """`p + s - sqrt(p^2 + s^2)`: zero exactly where `p, s >= 0` and `p s = 0`, differentiable except at the origin."""
    tiny = jnp.finfo(price.dtype).tiny
    return price + left - jnp.sqrt(price**2 + left**2 + tiny)


def solve(
    left: Left, args: Any, start: Float[Array, " goods"], width: Float[Array, ""], *, max_steps: int = 80
) -> Clearing:
    """Clear by damped tâtonnement, then semismooth Newton with a line search; no step back, no callback.

    Args:
        left: prices and `args` to capacity less expected demand, per agent, `[goods]`.
        args: everything `left` depends on; prices are differentiable in it.
        start: first prices.
        width: width of the budget interval in tokens, the natural unit of a price step.
        max_steps: Newton steps at most; each tries eight step lengths at once.

    Returns:
        Prices, differentiable in `args` by the implicit function theorem on the solved system (one Newton step with a
        frozen Jacobian, so that the program stays in the persistent compilation cache).
    """
    start, step, fixed = jax.lax.stop_gradient((start, width, args))
    frozen = lambda p: left(p, fixed)
    system = lambda p: fischer_burmeister(p, frozen(p))
    tolerance = 16 * jnp.finfo(start.dtype).eps

    def walk(price, i):
        return jnp.maximum(price - 2 * step * frozen(price) / (1 + i / 8), 0), None

    price, _ = jax.lax.scan(walk, start, jnp.arange(40.0, dtype=start.dtype))
    merit = lambda p: jnp.sum(system(p) ** 2)
    lengths = 0.5 ** jnp.arange(8.0, dtype=start.dtype)
    ridge = 1e-9 * jnp.eye(start.size, dtype=start.dtype)

    def unsolved(state):
        price, residual, i = state
        return (residual > tolerance) & (i < max_steps)

    def newton(state):
        price, _, i = state
        move = -jnp.linalg.solve(jax.jacfwd(system)(price) + ridge, system(price))
        move = jnp.where(jnp.all(jnp.isfinite(move)), move, 0.0)
        tried = jnp.maximum(price[None] + lengths[:, None] * move[None], 0.0)
        merits = jax.vmap(merit)(tried)
        best = jnp.argmin(merits)
        walked = jnp.maximum(price - step * frozen(price) * 0.5, 0)
        price = jnp.where(merits[best] < (1 - 1e-4) * merit(price), tried[best], walked)
        return price, natural_residual(price, frozen(price)), i + 1

    first = natural_residual(price, frozen(price))
    price, residual, steps = jax.lax.while_loop(unsolved, newton, (price, first, jnp.zeros((), start.dtype)))
    price, residual, steps = jax.lax.stop_gradient((price, residual, steps))
    jacobian = jax.lax.stop_gradient(jax.jacfwd(system)(price)) + ridge
    remaining = left(price, args)
    value = fischer_burmeister(price, remaining)
    price = price - jnp.linalg.solve(jacobian, value - jax.lax.stop_gradient(value))
    return Clearing(price, jax.lax.stop_gradient(remaining), residual, steps)
