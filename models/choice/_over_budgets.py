"""The logit of a choice under a budget, in logarithms: for likelihoods, where prices and the budget's law are data."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._compiled import compiled
from ..budget_demand import NOTHING, running_log_sum


def budget_steps(
    cost: Float[np.ndarray, "situations alternatives"], afford: Float[np.ndarray, "situations alternatives"]
) -> tuple[Int[np.ndarray, "situations alternatives"], Float[np.ndarray, "situations alternatives"]]:
    """Alternatives by cost, and the log-chance that exactly so many of the cheapest are affordable.

    Args:
        cost: tokens.
        afford: P(budget ≥ cost).
    """
    order = np.argsort(cost, axis=1, kind="stable")
    chance = np.take_along_axis(afford, order, 1)
    mass = chance - np.append(chance[:, 1:], np.zeros((len(cost), 1)), 1)
    return order, np.where(mass > 0, np.log(np.where(mass > 0, mass, 1.0)), NOTHING)


def by_cost(
    worth: Float[Array, "*draws situations alternatives"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
    order: Int[Array | np.ndarray, "situations alternatives"],
) -> tuple[Float[Array, "*draws situations alternatives"], Float[Array, "*draws situations alternatives"]]:
    """Worth from the cheapest alternative to the dearest, and the log of the running sum of its exponentials."""
    v = jnp.where(jnp.broadcast_to(jnp.asarray(available), worth.shape), worth, NOTHING)
    v = jnp.take_along_axis(v, jnp.broadcast_to(jnp.asarray(order), v.shape), -1)
    return v, running_log_sum(v)


@compiled
def log_probability_over_budgets(
    worth: Float[Array, "*draws situations alternatives"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
    order: Int[Array | np.ndarray, "situations alternatives"],
    log_mass: Float[Array | np.ndarray, "situations alternatives"],
) -> Float[Array, "*draws situations alternatives"]:
    r"""Log-probability of each alternative, far below any other number where it cannot be had.

    .. math:: \log P(y_q) = v_q + \log \sum_{r \ge q} e^{\log m_r - L_r}
    """
    v, total = by_cost(worth, available, order)
    mass = jnp.broadcast_to(jnp.asarray(log_mass, v.dtype), v.shape)
    open_ = (mass > NOTHING / 2) & (total > NOTHING / 2)
    share = jnp.where(open_, mass - jnp.where(open_, total, 0.0), NOTHING)
    weight = running_log_sum(share, reverse=True)
    can = (v > NOTHING / 2) & (weight > NOTHING / 2)
    found = jnp.where(can, jnp.where(can, v, 0.0) + jnp.where(can, weight, 0.0), NOTHING)
    back = jnp.argsort(jnp.asarray(order), -1)
    return jnp.take_along_axis(found, jnp.broadcast_to(back, found.shape), -1)
