"""Precision belongs to the verb: it opens the scope, casts in, and gives NumPy back. Nothing global changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..mechanisms.base import AbstractMechanism

Precision = Literal["float64", "float32"]
T = TypeVar("T")


@contextmanager
def precision_scope(precision: Precision) -> Iterator[Any]:
    """Within it JAX computes in `precision`; the caller's setting comes back afterwards."""
    if precision not in ("float64", "float32"):
        raise ValueError(f"`precision` must be 'float64' or 'float32', got {precision!r}.")
    with jax.enable_x64(precision == "float64"):
        yield jnp.dtype(precision)


def is_key(x: Any) -> bool:
    """Whether `x` is a typed PRNG key array."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def cast(tree: T, dtype: Any) -> T:
    """Every real array of `tree` as a JAX array of `dtype`; integers, booleans and keys keep their kind."""

    def one(x):
        if is_key(x) or not isinstance(x, np.ndarray | np.generic | jax.Array):
            return x
        return jnp.asarray(x, dtype) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.asarray(x)

    return jax.tree.map(one, tree)


def to_numpy(tree: T) -> T:
    """Every array as NumPy; keys as they are."""
    return jax.tree.map(lambda x: np.asarray(x) if eqx.is_array(x) and not is_key(x) else x, tree)


def is_exact(mechanism: AbstractMechanism) -> bool:
    """Whether a rule is its own soft and hard relative; known from its structure, nothing is computed."""
    same = []
    eqx.filter_eval_shape(lambda m: same.append(m.soften(1.0) is m and m.harden() is m), mechanism)
    return same[0]


def hardened(mechanism: AbstractMechanism) -> AbstractMechanism:
    """The exact rule, in the precision of the scope, by one compiled program."""
    return mechanism if is_exact(mechanism) else _harden(mechanism)


@eqx.filter_jit
def _harden(mechanism: AbstractMechanism) -> AbstractMechanism:
    return mechanism.harden()
