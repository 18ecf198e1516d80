"""Weights of agents, checked in one place."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...models._check import as_array, concrete, require
from ._fractions import stop_if


def as_weights(weights: Any) -> Any:
    """`weights` as an array `[agents]`.

    Raises:
        ValueError: a weight is not positive and finite, or there are fewer than two.
    """
    weights = as_array(weights)
    require(
        np.ndim(weights) >= 1 and np.shape(weights)[-1] >= 2, f"`weights` needs one entry an agent, got {weights!r}."
    )
    known = concrete(weights)
    require(
        known is None or np.all((known > 0) & np.isfinite(known)),
        f"`weights` must be positive and finite, got {known}.",
    )
    if known is None and hasattr(weights, "sum"):
        bad = ~jnp.all((weights > 0) & (weights < jnp.inf))
        return stop_if(weights, bad, "`weights` must be positive and finite.")
    return weights
