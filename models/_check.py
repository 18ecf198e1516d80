"""Refusing bad input by name, on concrete values only: under a transform a status travels instead."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def concrete(x: Any) -> np.ndarray | None:
    """`x` as NumPy where its numbers are known now; None for tracers, placeholders of shape and None."""
    if x is None or isinstance(x, Tracer | jax.ShapeDtypeStruct):
        return None
    try:
        array = np.asarray(x)
    except TypeError:
        return None
    return array if array.dtype.kind in "fiub" else None


def require(condition: Any, message: str) -> None:
    """Raise `ValueError(message)` unless `condition`; the message names the argument in backticks and the cure."""
    if not condition:
        raise ValueError(message)


def as_array(x: Any) -> Any:
    """Lists and numbers become NumPy; arrays, tracers and placeholders pass. Integers become floats."""
    if x is None or isinstance(x, jax.ShapeDtypeStruct):
        return x
    if not isinstance(x, jax.Array | np.ndarray):
        if not isinstance(x, list | tuple | float | int | np.generic):
            return x
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))
        x = jnp.asarray(x) if traced else np.asarray(x)
    return x.astype(float) if x.dtype.kind in "iub" else x


def real_numbers(x: Any, name: str) -> np.ndarray:
    """`x` as float64 NumPy, NaN and infinity included; words and ragged lists are refused by name."""
    try:
        return np.asarray(x, float)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be an array or list of real numbers, of one shape.") from None


def dtype_of(x: Any) -> np.dtype:
    """The dtype JAX computes in when given `x`: NumPy's float64 is float32 outside a 64-bit scope."""
    return jax.dtypes.canonicalize_dtype(x.dtype)
