"""People and how much inequality they accept, as the population that every rule of this room takes."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...models._check import as_array, require
from ...models.population import Population
from ._check import check_social, check_values, common_batch, traced


def society(values: Any, alpha: Any = 0.0, beta: Any = 0.0) -> Population:
    """People, what each item is worth to them, and how much they mind being behind or ahead.

    Args:
        values: `[..., agents, items]`, in utils, not negative.
        alpha: `[..., agents]` or a number: aversion to being behind, dimensionless. NaN did not answer; negative is allowed.
        beta: `[..., agents]` or a number: aversion to being ahead. NaN did not answer.

    Returns:
        `Population` with `values`, `alpha` and `beta` in one batch. Welfare is not invariant to the scale of one agent's values:
        bring them to a common unit first.

    Raises:
        ValueError: negative or non-finite values, infinite weights, or shapes that do not fit.

    Example:
        >>> p = society([[1.0, 0.0], [0.5, 2.0]], alpha=0.3, beta=[0.1, float("nan")])
        >>> p.alpha.tolist(), p.num_agents
        ([0.3, 0.3], 2)
    """
    if not traced(values):
        check_values(values)
    values = as_array(values)
    shape = np.shape(values)
    require(len(shape) >= 2, f"`values` must be [..., agents, items]; got shape {shape}.")
    named = {"alpha": alpha, "beta": beta}
    for name, field in named.items():
        if not traced(field):
            check_social(field, name, shape[-2], nan=True)
    named = {name: jnp.asarray(x) if traced(x) else np.asarray(as_array(x)) for name, x in named.items()}
    batch = common_batch(("values", shape[:-2]), *((name, x.shape[:-1]) for name, x in named.items()))
    spread = lambda x, own: (jnp if traced(x) else np).broadcast_to(x, (*batch, *own))
    alpha, beta = (spread(x, shape[-2:-1]) for x in named.values())
    return Population(spread(values, shape[-2:]), alpha=alpha, beta=beta)
