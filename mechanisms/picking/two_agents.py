r"""Two agents: the share that is safe for every law, and shares of which neither envies the other.

All turns on one number, `r_half(law)`: the top fraction of the items that holds half the value. Pick-r leaves no envy, with high
probability, iff r lies strictly between it and 1/2, since above it the first agent holds more than half of her value, and below
1/2 the second gets more items than he leaves [D].
"""

import math
import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models._check import concrete, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_r, quotas
from ._laws import check_law, count
from ._root import root
from ._types import Count, Law
from .coupling import limits
from .pick_r import PickR

R0 = 1 - math.sqrt(0.5)
ALPHA_2 = (2 + math.sqrt(2)) / 4
Number = Float[Array | np.ndarray, ""] | float


class TwoAgentEF(eqx.Module):
    """The share that `two_agent_ef` chose, and why.

    Attributes:
        r: the first agent's fraction of the items.
        category: 1 where the safe share leaves no envy, else 2.
        surplus: A, twice the value of the top r0 of the quantiles less the mean, in units of the values.
        window: `[2]`, (r_half, 1/2), outside which one of the two envies.
        guarantee: least welfare ratio that the paper proves for the category, up to o(1).
        ratio: welfare over that of the best allocation at this r, up to o(1).
        margins: `[2, 2]`, envy margins per item at this r; see `asymptotics`.
        mechanism: `PickR(r)`.
    """

    r: Number
    category: Int[Array, ""] | int
    surplus: Float[Array, ""]
    window: Float[Array, "2"]
    guarantee: Number
    ratio: Float[Array, ""]
    margins: Float[Array, "2 2"]
    mechanism: PickR


def two_agent_tight() -> PickR:
    r"""Pick-r with r0 = 1 − √2/2: at least (2 + √2)/4 of the best welfare, up to o(1), for all laws at once.

    No truthful rule does better on all of them (theorem 3.1). It may leave envy; see `two_agent_ef`.

    Returns:
        The rule.

    Source: Halpern, Psomas and Zhang, proposition 3.3 [P].

    Example:
        >>> two_agent_tight().r.round(4).tolist()
        [0.2929, 0.7071]
    """
    return PickR(as_r(R0))


def r_half(law: Law) -> Float[Array, ""]:
    r"""The top fraction of the items that holds half the value of all.

    .. math:: T(1 - r) = E X / 2

    At most 1/2, and less unless the law is constant. Differentiable in the law's parameters.

    Args:
        law: the law of values.

    Returns:
        r in (0, 1/2].

    Source: appendix B of Halpern, Psomas and Zhang, whose threshold τ is 1 − r [P].

    Example:
        >>> from fairhand.models import Uniform
        >>> round(float(r_half(Uniform())), 4)
        0.2929
    """
    return _half(law)


@compiled
def _half(law: AbstractLaw) -> Float[Array, ""]:
    half = law.mean / 2
    return root(lambda r: law.tail_integral(1 - r) - half, jnp.zeros_like(half), jnp.full_like(half, 0.5))


def two_agent_ef(law: Law, items: Count, schedule: Any = None) -> TwoAgentEF:
    r"""A Pick-r for two agents that is envy-free with high probability and has a welfare ratio of at least (2 + √2)/4 − o(1).

    With :math:`A = 2 T(1 - r_0) - E X`: if A > 0 (category 1) the safe share r0 leaves no envy. Otherwise (category 2)
    :math:`r = 1/2 - m^{-1/4}`, whose ratio is at least 7/8 − o(1). U[0, 1] lies on the boundary, A = 0, where r0 leaves envy
    half of the time; a surplus that is zero up to rounding counts as category 2.

    "With high probability" takes many items in category 2: no fewer than :math:`(1/2 - r_{half})^{-4}`, 543 for U[0, 1] and
    23,000 for U[1/2, 1]. Read `margins`, and pass a `schedule` of your own.

    Args:
        law: the law of all values.
        items: m, how many items there are.
        schedule: distance from 1/2 in category 2, a function of m or a constant; default m^(−1/4).

    Returns:
        `r`, `category`, `surplus`, `window`, `guarantee`, `ratio`, `margins` and `mechanism`. Under `jit` or `vmap` they are
        arrays, and an r out of range is refused when the program runs.

    Raises:
        ValueError: r is not inside (0, 1/2) or gives the first agent no item, as the default schedule does up to 23 items; or
            the law is constant or has negative values.

    Warns:
        UserWarning: the surplus is zero up to rounding; r does not exceed r_half yet, so that there is envy; the law is unbounded
            or has atoms.

    Source: Halpern, Psomas and Zhang, theorem 3.7 and appendix E [P]; window and numbers of items [D].

    Example:
        >>> from fairhand.models import Power
        >>> found = two_agent_ef(Power(0.5), 1000)
        >>> found.category, round(found.r, 4), bool((found.margins > 0).all())
        (1, 0.2929, True)
    """
    items = count(items, "items", 1)
    check_law(law)
    distance = items**-0.25 if schedule is None else schedule(items) if callable(schedule) else schedule
    surplus, mean, half = _surplus(law)
    settled = 256 * float(jnp.finfo(surplus.dtype).eps) * mean
    first = surplus > settled
    known = concrete(distance)
    if known is None or any(concrete(x) is None for x in (first, half, surplus, settled)):
        r = _either(first, distance, items, known)
        category, guarantee = jnp.where(first, 1, 2), jnp.where(first, ALPHA_2, 7 / 8)
    else:
        r, category, guarantee = (R0, 1, ALPHA_2) if first else (0.5 - float(known), 2, 7 / 8)
        _refuse(r, items)
        _warn(r, items, float(half), abs(float(surplus)) <= float(settled))
    both = jnp.stack([jnp.asarray(r, surplus.dtype), jnp.asarray(1 - r, surplus.dtype)])
    found = limits(both, law)
    window = jnp.stack([half, jnp.full_like(half, 0.5)])
    return TwoAgentEF(r, category, surplus, window, guarantee, found.ratio, found.margins, PickR(as_r(r)))


@compiled
def _surplus(law: AbstractLaw) -> tuple[Array, Array, Array]:
    mean = law.mean
    return 2 * law.tail_integral(1 - R0) - mean, mean, _half(law)


WORDS = (
    "`schedule` gives r = 1/2 - epsilon with {what}. Give more items, or a smaller epsilon; the default, items**-0.25, needs "
    "at least 24 items."
)


def _refuse(r: float, items: int) -> None:
    require(0 < r < 0.5, WORDS.format(what=f"r = {r:.4g} outside (0, 1/2) at {items} items"))
    require(
        quotas([r, 1 - r], items)[0] >= 1,
        WORDS.format(what=f"r = {r:.4g}, no item for the first agent of {items} items"),
    )


def _warn(r: float, items: int, half: float, tied: bool) -> None:
    if tied:
        warnings.warn(
            "`law` lies on the boundary of the two categories: its surplus is 0 up to rounding, and it counts as category 2.",
            stacklevel=3,
        )
    if r <= half:
        need = math.floor(max(0.5 - half, 1e-9) ** -4) + 1
        warnings.warn(
            f"`items` = {items} are too few: r = {r:.4f} does not exceed r_half = {half:.4f}, so that the first agent "
            f"envies. The default schedule needs at least {need:,} items; pass a smaller `schedule`.",
            stacklevel=3,
        )


def _either(first: Any, distance: Any, items: int, known: Any) -> Any:
    """The share where the category or the distance is known to the program only."""
    second = 0.5 - jnp.asarray(distance)
    if quotas([R0, 1 - R0], items)[0] < 1:
        second = eqx.error_if(second, first, WORDS.format(what=f"r = r0, no item for an agent at {items} items"))
    if known is None or not (0 < known < 0.5 and quotas([0.5 - known, 0.5 + known], items)[0] >= 1):
        some = quotas(jnp.stack([second, 1 - second]), items)[0] >= 1
        bad = ~first & ~((second > 0) & (second < 0.5) & some)
        second = eqx.error_if(second, bad, WORDS.format(what=f"no item for an agent at {items} items"))
    return jnp.where(first, R0, second)
