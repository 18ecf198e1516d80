"""A soft choice of the best: logistic in the place, with an exact total."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_FAR = 40.0  # a logistic step is 0 or 1 to 4e-18 so many temperatures away


@jax.custom_jvp
def soft_top(
    left: Float[Array, " items"],
    place: Float[Array, " items"],
    wanted: Float[Array, ""],
    temperature: Float[Array, ""],
) -> Float[Array, " items"]:
    r"""Take :math:`x_j = a_j \sigma((\theta - p_j) / T)` with :math:`\sum_j x_j = t`.

    Its derivative is that of the implicit cut θ, in a form that stays finite as T falls to 0: one unit more wanted is spread
    over the items at the cut. Derivatives in places and temperature are not given (0).

    Args:
        left: `[items]`, how much of each item is left, a in [0, 1].
        place: `[items]`, p in [0, 1], 0 the favourite.
        wanted: t, how much to take in all.
        temperature: T, in units of places.

    Returns:
        `[items]`, how much of each is taken, at most `left`.
    """
    return left * jax.nn.sigmoid((_cut(left, place, wanted, temperature) - place) / temperature)


def _cut(left, place, wanted, temperature):
    steps = 60 if place.dtype == jnp.float64 else 40

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        short = jnp.sum(left * jax.nn.sigmoid((middle - place) / temperature)) < wanted
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, high = lax.fori_loop(0, steps, halve, (-_FAR * temperature, 1 + _FAR * temperature))
    return (low + high) / 2


@soft_top.defjvp
def _rule(primals, tangents):
    left, place, wanted, temperature = primals
    left_dot, _, wanted_dot, _ = tangents
    z = (_cut(left, place, wanted, temperature) - place) / temperature
    step = jax.nn.sigmoid(z)
    at_cut = jnp.log(jnp.maximum(left, 0)) + jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)
    most = jnp.max(at_cut)
    weight = jnp.where(most > -jnp.inf, jax.nn.softmax(jnp.where(most > -jnp.inf, at_cut, 0.0)), 0.0)
    kept = step * left_dot
    return left * step, kept + weight * (wanted_dot - jnp.sum(kept))
