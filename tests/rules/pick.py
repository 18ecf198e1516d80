"""Quota serial picking: agents take a share of what is left, in turn. And its soft, untruthful relative."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from fairhand.mechanisms import DSIC, AbstractMechanism, Allocation, Feasible, Orders, learned

Fractions = Float[Array | np.ndarray, " pickers"]


@jax.custom_vjp
def pick(fraction, values):
    """Hard shares, 0 or 1, whose derivative in the quotas is that of the limit of many items."""
    return _forward(fraction, values)[0]


def _forward(fraction, values):
    items = values.shape[1]
    reaches = jnp.concatenate([jnp.ones(1, values.dtype), jnp.cumprod(1 - fraction)])
    ends = jnp.round(items * (1 - jnp.append(reaches[1:], 0.0))).astype(int)
    quota = jnp.diff(ends, prepend=0)

    def turn(left, x):
        worth, number = x
        rank = jnp.argsort(jnp.argsort(-jnp.where(left, worth, -jnp.inf)))
        return left & ~(rank < number), (left & (rank < number), left & (rank == number), left)

    _, (mine, edge, left) = jax.lax.scan(turn, jnp.ones(items, bool), (values, quota))
    return mine.astype(values.dtype), (mine, edge, left, reaches)


def _backward(kept, g):
    """One item more for an agent moves its next best item from where an average later item goes."""
    mine, edge, left, reaches = kept
    items = g.shape[1]
    later = jnp.concatenate([left[1:], jnp.zeros((1, items), bool)])
    onward = jnp.sum(jnp.sum(g * mine, 0)[None] * later, 1) / jnp.maximum(later.sum(1), 1)
    return (items * reaches * (jnp.sum(g * edge, 1) - onward))[:-1], jnp.zeros_like(g)


pick.defvjp(_forward, _backward)


class Pick(AbstractMechanism):
    """Agent i takes its favourite `fraction[i]` of what is left, the last one the rest."""

    fraction: Fractions = learned(constraints.unit_interval)

    def allocate(self, reported, key=None):
        del key
        values = jnp.asarray(reported.values)
        return Allocation(pick(jnp.asarray(self.fraction, values.dtype), values))

    @property
    def promises(self) -> tuple[Any, ...]:
        return (DSIC(Orders()), Feasible())


class QuantileThreshold(AbstractMechanism):
    """For values in [0, 1]: an agent takes what is worth more to it than a quantile. Not truthful: claiming more pays.

    It may train, but what comes out is `Pick`.
    """

    fraction: Fractions = learned(constraints.unit_interval)
    temperature: ArrayLike = 0.0

    def soften(self, temperature):
        return dataclasses.replace(self, temperature=temperature)

    def harden(self):
        return Pick(self.fraction)

    def allocate(self, reported, key=None):
        del key
        values = jnp.asarray(reported.values)
        over = values - (1 - jnp.append(jnp.asarray(self.fraction, values.dtype), 1.0))[:, None]
        hard = isinstance(self.temperature, float) and self.temperature == 0
        take = (over >= 0).astype(values.dtype) if hard else jax.nn.sigmoid(over / self.temperature)
        take = take.at[-1].set(1.0)
        return Allocation(take * jnp.concatenate([jnp.ones_like(take[:1]), jnp.cumprod(1 - take[:-1], 0)]))
