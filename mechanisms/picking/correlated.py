"""Two agents whose values for an item go together: who picks first is part of the rule."""

import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models._check import as_array, concrete, require
from ...models.laws import AbstractLaw
from ._fractions import as_r, stop_if
from ._laws import check_law
from ._types import Law
from .pick_r import PickR
from .two_agents import r_half


class CorrelatedPick(eqx.Module):
    """The order and share that `correlated_two_agent` chose.

    Attributes:
        order: `[2]`, the agents in the order they pick.
        tau: `[2]`, by agent: quantile above which lies half of her value.
        r: fraction of the items of the first to pick.
        share: fraction of the second one's value that lies in the first bundle, from `joint`; below 1/2 he does not envy.
        mechanism: `PickR([r, 1 - r], order=order)`; None under `jit` or `vmap`, where no order is known yet.
    """

    order: Int[Array | np.ndarray, "2"]
    tau: Float[Array, "2"]
    r: Float[Array, ""] | float
    share: Float[Array, ""] | None
    mechanism: PickR | None


def correlated_two_agent(law_1: Law, law_2: Law, eps: Any = 0.01, joint: Any = None) -> CorrelatedPick:
    r"""A Pick-r for two agents with correlated values that is envy-free with high probability, for eps small enough.

    .. math:: E[v\,1\{F_i(v) \ge \tau_i\}] = E[v] / 2, \qquad r = 1 - \tau + \epsilon

    The agent with the larger τ, the top-heavier one, picks first, and holds more than half of her value. The other loses
    less than half of his, if the quantiles of the two do not agree for certain: :math:`P(F_j \ge q | F_i \ge q) < 1` for every
    q. That, and whether eps is small enough, is not in the marginals; give `joint` to see. Envy-freeness leaves each with half
    of all that she could have, and so with at least half of the best welfare.

    Values are independent over items. For more than two agents nothing is claimed; the paper leaves it open.

    Args:
        law_1: law of the values of agent 0.
        law_2: law of the values of agent 1.
        eps: fraction of all items that the first takes beyond half of her value, positive.
        joint: `[draws, 2]`, sampled values of both for the same items, to judge eps by.

    Returns:
        `order` (agent 0 first where τ is equal up to rounding), `tau`, `r`, `share` (None without `joint`) and `mechanism`.

    Raises:
        ValueError: `eps` is not positive or leaves the second no item, `joint` is not `[draws, 2]`, or a law is constant or has
            negative values.

    Warns:
        UserWarning: by `joint` the second envies, or the sample cannot tell (within three standard errors); a law is unbounded or
            has atoms.

    Source: Halpern, Psomas and Zhang, appendix B [P].

    Example:
        >>> from fairhand.models import Power, Uniform
        >>> found = correlated_two_agent(Uniform(), Power(0.5))
        >>> found.order.tolist(), [round(float(t), 3) for t in found.tau]
        ([1, 0], [0.707, 0.794])
    """
    check_law(law_1, "law_1")
    check_law(law_2, "law_2")
    halves = jnp.stack([r_half(law_1), r_half(law_2)])
    known, extra = concrete(halves), as_array(eps)
    require(np.ndim(extra) == 0, f"`eps` must be one number, got {eps!r}.")
    rounding = 64 * float(jnp.finfo(halves.dtype).eps)
    swap = halves[1] < halves[0] - rounding
    order = jnp.where(swap, jnp.array([1, 0]), jnp.array([0, 1]))
    r = jnp.where(swap, halves[1], halves[0]) + jnp.asarray(extra, halves.dtype)
    if known is None or concrete(extra) is None:
        r = stop_if(
            r, ~((jnp.asarray(extra) > 0) & (r < 1)), "`eps` must be positive and leave the second agent something."
        )
        return CorrelatedPick(order, 1 - halves, r, _share(law_1, law_2, swap, r, joint, judge=False), None)
    require(
        extra > 0,
        f"`eps` must be positive, got {eps}: at 0 the first to pick holds half of her value, and envies half the time.",
    )
    require(
        r < 1,
        f"`eps` = {eps} leaves the second agent nothing: r = {float(r):.4g}. It must be below {float(1 - (r - extra)):.4g}.",
    )
    share = _share(law_1, law_2, swap, r, joint, judge=True)
    first = np.asarray(order)
    return CorrelatedPick(first, 1 - halves, float(r), share, PickR(as_r(float(r)), order=first))


def _share(law_1: AbstractLaw, law_2: AbstractLaw, swap: Any, r: Any, joint: Any, judge: bool) -> Any:
    """What part of the second one's value lies in the first one's top r, by the sample; warned of where `judge`."""
    if joint is None:
        return None
    joint = jnp.asarray(as_array(joint))
    require(
        joint.ndim == 2 and joint.shape[1] == 2 and joint.shape[0] >= 2,
        f"`joint` must be sampled values [draws, 2], a row an item and a column an agent; got shape {joint.shape}.",
    )
    known = concrete(joint)
    require(
        known is None or bool(np.all((known >= 0) & (known < np.inf))),
        "`joint` must hold finite values that are not negative; drop or replace the others.",
    )
    cut = jnp.where(swap, law_2.quantile(1 - r), law_1.quantile(1 - r))
    first, second = jnp.where(swap, joint[:, 1], joint[:, 0]), jnp.where(swap, joint[:, 0], joint[:, 1])
    taken = (first >= cut).astype(second.dtype)
    share = jnp.sum(taken * second) / jnp.sum(second)
    if judge:
        error = jnp.sqrt(jnp.sum((second * (taken - share)) ** 2)) / jnp.sum(second)
        gap = float(share - 0.5)
        if gap > -3 * float(error):
            verdict = "envies" if gap > 3 * float(error) else "may envy"
            warnings.warn(
                f"By `joint` the second agent {verdict}: the first bundle holds {float(share):.4f} ± {float(error):.4f} of his "
                "value, and must hold less than half. Lower `eps`, or give more draws.",
                stacklevel=3,
            )
    return share
