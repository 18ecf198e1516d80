"""What every rule of this room does first and last: read bids, and say who owns what."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...models._check import as_array, concrete, dtype_of, require
from ...models.population import Population
from ..base import Allocation, Certificate
from ._fractions import stop_if

SAID = "`values` must be finite and not negative; clean them or shift them, since only their order and size matter."


def bids_of(values: Any, agents: int | None = None) -> Float[Array, "*batch agents items"]:
    """Bids `[..., agents, items]` from a population or an array of real numbers.

    Raises:
        ValueError: fewer than two axes or two agents, no item, an entry that is negative, NaN or infinite, or not
            `agents` agents. Under `jit` plain arrays are refused when the program runs; a population's status travels in
            the certificate, since rules played by the verbs never raise for numbers.
    """
    bids = as_array(
        values.values if isinstance(values, Population) else np.asarray(values) if isinstance(values, list) else values
    )
    require(
        hasattr(bids, "dtype") and jnp.issubdtype(bids.dtype, jnp.floating),
        f"`values` must be real numbers [..., agents, items], got {values!r}.",
    )
    shape = np.shape(bids)
    require(len(shape) >= 2, f"`values` must be [..., agents, items]; got shape {shape}.")
    require(shape[-1] >= 1, "`values` must have at least one item (its last axis is empty).")
    require(shape[-2] >= 2, f"`values` must have at least two agents (its last axis but one), got {shape[-2]}.")
    require(
        agents is None or shape[-2] == agents,
        f"`values` must have {agents} agents (its last axis but one), got {shape[-2]}.",
    )
    known = concrete(bids)
    if known is not None:
        require(_sound(known.astype(dtype_of(bids)), np), SAID)
        return jnp.asarray(bids)
    bids = jnp.asarray(bids)
    if isinstance(values, Population):
        return bids
    return stop_if(bids, ~_sound(bids, jnp), SAID)


def _sound(bids: Any, xp: Any) -> Any:
    return xp.all((bids >= 0) & (bids < xp.inf))


def tie(dtype: Any) -> float:
    """How closely two computed scores agree, relative to them, to be tied: 1e-12, or rounding where that is coarser."""
    return max(1e-12, 4 * float(jnp.finfo(dtype).eps))


def first_best(scores: Float[Array, "*batch agents items"]) -> Int[Array, "*batch items"]:
    """Who scores most on each item; scores that agree up to `tie` are tied, and the lowest index wins."""
    return jnp.argmax(is_best(scores), -2).astype(jnp.int32)


def is_best(scores: Float[Array, "*batch agents items"]) -> Bool[Array, "*batch agents items"]:
    """Whether an agent's score is the greatest on an item, up to `tie`."""
    most = jnp.max(scores, -2, keepdims=True)
    return scores >= most - tie(scores.dtype) * jnp.abs(most)


def soft_first_best(
    scores: Float[Array, "*batch agents items"], temperature: Any
) -> Float[Array, "*batch agents items"]:
    """Shares of a softmax that falls to `first_best` with the temperature, in units of the typical best score.

    A tie is no toss-up: of those tied for the best, all but the winner count one unit less.
    """
    most = jnp.max(scores, -2, keepdims=True)
    unit = jax.lax.stop_gradient(jnp.mean(jnp.abs(most)))
    unit = jnp.where(unit > 0, unit, 1.0)
    winner = shares_of(first_best(scores), scores.shape[-2], scores.dtype) > 0
    loser = (is_best(scores) & ~winner).astype(scores.dtype)
    return jax.nn.softmax(((scores - most) / unit - loser) / temperature, axis=-2)


def ranks(bids: Float[Array, "*batch items"]) -> Int[Array, "*batch items"]:
    """Place 0, 1, … of each item in descending order of the bids; of equal bids the lowest index comes first."""
    order = jnp.argsort(-bids, axis=-1, stable=True)
    places = jnp.broadcast_to(jnp.arange(bids.shape[-1], dtype=jnp.int32), bids.shape)
    return jnp.put_along_axis(jnp.zeros(bids.shape, jnp.int32), order, places, axis=-1, inplace=False)


def shares_of(owner: Int[Array, "*batch items"], agents: int, dtype: Any) -> Float[Array, "*batch agents items"]:
    """1 where an agent owns an item, else 0."""
    return jax.nn.one_hot(owner, agents, axis=-2, dtype=dtype)


def allocation(
    values: Any, bids: Float[Array, "*batch agents items"], shares: Float[Array, "*batch agents items"]
) -> Allocation:
    """Shares, with a certificate that says whether a population's bids could be read."""
    if not isinstance(values, Population):
        return Allocation(shares)
    sound = jnp.all((bids >= 0) & (bids < jnp.inf), (-2, -1))
    return Allocation(shares, Certificate(jnp.where(sound, 0.0, jnp.inf), advice=SAID))
