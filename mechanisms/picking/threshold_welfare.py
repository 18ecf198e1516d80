"""Welfare of quantile thresholds: in closed form, or of the hard rule on sampled values with the exact quantile gradient."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ...models._check import require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._bids import bids_of, shares_of
from ._fractions import as_s, reach
from ._types import Law
from .quantile_threshold import cuts, first_accepting


def threshold_welfare(s: Any, law: Law, values: Any = None) -> Float[Array, ""]:
    r"""Welfare per item of QT-s, in units of the values.

    .. math:: W(s) = \sum_i R_i T(1 - s_i), \qquad
        \frac{\partial W}{\partial s_i} = R_i \bigl( Q(1 - s_i) - C_{i+1} \bigr), \quad
        C_i = T(1 - s_i) + (1 - s_i) C_{i+1}, \; C_{n+1} = 0

    The formula is lemma 3.6 (2) of Halpern, Psomas and Zhang [P], exact for quantile thresholds with any number of items; its
    gradient is zero where Q(1 − s_i) = C_{i+1}, the dynamic programme of optimal stopping [D].

    With `values` the result is the mean welfare per item of the **hard** rule on them, whose own derivative in s is zero
    almost everywhere; the gradient in s is the one above at `law`, exact and free of Monte-Carlo error. The gradient in
    `values` is pathwise: who gets what depends on quantiles alone, so it is the shares [D]. With `Empirical(samples)` as
    the law, Q and T are order statistics and tail means.

    Args:
        s: `[agents]`, upper tail masses, the last one 1.
        law: law of the values.
        values: `[..., agents, items]`, sampled from `law`; None for the closed form.

    Returns:
        A scalar.

    Raises:
        ValueError: s is no vector of thresholds, or values do not fit it.

    Example:
        >>> from fairhand.models import Uniform
        >>> round(float(threshold_welfare([0.5, 1.0], Uniform())), 6)
        0.625
        >>> values = Uniform().sample((50, 2, 100), key=jax.random.key(0))
        >>> slope = jax.grad(lambda s: threshold_welfare(s, Uniform(), values))(jnp.array([0.4, 1.0]))
        >>> [round(float(x), 4) for x in slope]  # 0.6 − 0.5, and nothing below 0 to take
        [0.1, 0.0]
    """
    s = jnp.asarray(as_s(s))
    require(s.ndim == 1, f"`s` must be one vector of thresholds; got shape {s.shape}. Map over it with `jax.vmap`.")
    require(isinstance(law, AbstractLaw), f"`law` must be a law of values, got {type(law).__name__}.")
    if values is None:
        return _closed_form(s, law)
    bids = bids_of(values, s.shape[-1])
    return _compiled(s, law, bids)


@compiled
def _compiled(s, law, bids):
    return _on_values(s, law, bids)


@compiled
def _closed_form(s: Float[Array, " agents"], law: AbstractLaw) -> Float[Array, ""]:
    return jnp.sum(reach(s) * law.tail_integral(1 - s))


@jax.custom_vjp
def _on_values(s: Float[Array, " agents"], law: AbstractLaw, bids: Float[Array, "*batch agents items"]) -> Any:
    accept = bids >= _across(cuts(s, law), bids)
    # One pass over the values: "the first who accepts" is an associative choice, so it can be a reduction over agents.
    first = lambda one, two: (one[0] | two[0], jnp.where(one[0], one[1], two[1]))
    start = (jnp.zeros((), bool), jnp.zeros((), bids.dtype))
    _, collected = lax.reduce((accept, bids), start, first, (bids.ndim - 2,))
    # Summed population by population first: one plain float32 sum over all of them would round.
    return (collected.sum(-1) / bids.shape[-1]).mean()


def _across(cut: Float[Array, " agents"], bids: Array) -> Array:
    return cut.astype(bids.dtype).reshape((1,) * (bids.ndim - 2) + (-1, 1))


def _forward(s, law, bids):
    return _on_values(s, law, bids), (s, law, bids)


def _backward(kept, g):
    s, law, bids = kept
    (of_s,) = jax.vjp(lambda s: _closed_form(s, law), s)[1](g.astype(jnp.result_type(s, law.mean)))
    accept = bids >= _across(cuts(s, law), bids)
    shares = shares_of(first_accepting(accept), bids.shape[-2], bids.dtype)
    count = bids.size // bids.shape[-2]
    return of_s.astype(s.dtype), jax.tree.map(jnp.zeros_like, law), g * shares / count


_on_values.defvjp(_forward, _backward)
