"""Running any rule on many profiles: compiled once for one size of batch, and never more than fits in memory."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ...models.population import Population
from ..base import AbstractMechanism

NUMBERS = 2**22  # held at once, 32 MB in 64 bit


class Batched:
    """A rule as a function of NumPy profiles `[profiles, agents, items]`, for any number of them.

    A mechanism of ours is compiled and mapped over populations. Every other object, and a mechanism that cannot be
    compiled because it computes in NumPy, is called as it is with an array of a whole chunk. Chunks have one size, the last
    one is filled up: nothing is compiled twice.

    Raises:
        ValueError: it has no `allocate`, or its shares have the wrong shape or are NaN.
    """

    def __init__(self, mechanism: Any):
        require(
            callable(getattr(mechanism, "allocate", None)),
            f"`mechanism` must have `allocate(values)` that returns something with `.shares`; got {type(mechanism).__name__}.",
        )
        self.mechanism = mechanism
        self.compiled = isinstance(mechanism, AbstractMechanism)

    def chunk(self, profiles: int, agents: int, items: int) -> int:
        """How many profiles go at once."""
        most = max(1, NUMBERS // (agents * items))
        return min(1 << (profiles - 1).bit_length(), 1 << (most.bit_length() - 1))

    def __call__(self, profiles: np.ndarray) -> np.ndarray:
        count, size = len(profiles), self.chunk(*profiles.shape)
        out = np.empty(profiles.shape)
        for start in range(0, count, size):
            part = profiles[start : start + size]
            fill = np.broadcast_to(part[:1], (size - len(part), *part.shape[1:]))
            out[start : start + size] = self._shares(np.concatenate([part, fill]))[: len(part)]
        return out

    def _shares(self, batch: np.ndarray) -> np.ndarray:
        if not self.compiled:
            return _checked(self.mechanism.allocate(batch).shares, batch)
        try:
            return _checked(_compiled(self.mechanism, batch), batch)
        except Exception as first:  # whatever NumPy says to a tracer or a population, which is of many kinds
            self.compiled = False
            try:
                return self._shares(batch)
            except Exception as second:
                raise (first if isinstance(first, ValueError) else second) from None


def _checked(shares: Any, batch: np.ndarray) -> np.ndarray:
    shares = np.asarray(shares)
    require(
        shares.shape == batch.shape,
        f"`mechanism` must give shares of the shape of `values` {batch.shape}, batches included; got {shares.shape}.",
    )
    require(not np.any(np.isnan(shares)), "`mechanism` gave shares that are NaN.")
    return shares


@compiled
def _compiled(mechanism: AbstractMechanism, profiles: Array | np.ndarray) -> Array:
    return jax.vmap(lambda values: jnp.asarray(mechanism.allocate(Population(values)).shares))(profiles)


Laws = AbstractLaw | Sequence[AbstractLaw]


def laws_of(laws: Any, agents: int) -> tuple[AbstractLaw, ...]:
    """One law for all, or one an agent.

    Raises:
        ValueError: it is neither.
    """
    every = (laws,) if isinstance(laws, AbstractLaw) else laws
    require(
        isinstance(every, list | tuple)
        and all(isinstance(law, AbstractLaw) for law in every)
        and len(every) in ((1,) if isinstance(laws, AbstractLaw) else (agents,)),
        f"`law` must be a law, or a list of one law for each of the {agents} agents; got {laws!r}.",
    )
    return tuple(every)


@compiled
def draw(laws: tuple[AbstractLaw, ...], keys: Array, agents: int, items: int) -> Float[Array, "profiles agents items"]:
    """Independent values, one profile a key."""
    if len(laws) == 1:
        return jax.vmap(lambda key: laws[0].sample((agents, items), key=key))(keys)

    def one(key):
        return [law.sample((items,), key=k) for law, k in zip(laws, jax.random.split(key, agents), strict=True)]

    return jax.vmap(lambda key: jnp.stack(one(key)))(keys)


def count_of(name: str, count: Any, least: int) -> int:
    """`count` as a whole number of at least `least`.

    Raises:
        ValueError: it is not.
    """
    require(
        isinstance(count, int | np.integer) and count >= least,
        f"`{name}` must be a whole number of at least {least}, got {count!r}.",
    )
    return int(count)


def vectors_of(name: str, vectors: Any, items: int | None = None) -> np.ndarray:
    """Rows of values `[rows, items]` as float64.

    Raises:
        ValueError: they are not two-dimensional, of `items` columns, known, finite and not negative.
    """
    rows = concrete(as_array(vectors))
    require(
        rows is not None and rows.ndim == 2 and rows.size > 0,
        f"`{name}` must be known numbers [rows, items] with at least one row; got {vectors!r}.",
    )
    assert rows is not None
    require(np.all(np.isfinite(rows) & (rows >= 0)), f"`{name}` must be finite and not negative.")
    require(
        items is None or rows.shape[1] == items,
        f"`{name}` must have {items} items like `vectors`, got {rows.shape[1]}.",
    )
    return rows.astype(np.float64)
