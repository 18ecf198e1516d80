"""Who should pick first, when agents' values follow laws of their own."""

import itertools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models._check import concrete, require
from ._fractions import as_r, r_to_s, reach
from ._types import LawList
from .pick_r import PickR

_MOST = 8  # 8! = 40,320 orders


class BestOrder(eqx.Module):
    """The best order of picking.

    Attributes:
        order: `[agents]`, which agent picks k-th.
        welfare: expected welfare per item with it, in units of the values.
        orders: `[orders, agents]`, all that were compared.
        each: `[orders]`, the welfare of each.
        mechanism: `PickR(r, order=order)`.
    """

    order: Int[np.ndarray, " agents"]
    welfare: Float[Array, ""]
    orders: Int[np.ndarray, "orders agents"]
    each: Float[Array, " orders"]
    mechanism: PickR


def best_order(r: Any, laws: LawList) -> BestOrder:
    r"""The order of picking with the greatest welfare, by comparing all of them.

    .. math:: W(\pi) = \sum_k R_k T_{\pi(k)}(1 - s_k)

    The welfare of QT-s when the k-th picker's values follow a law of her own, independent of the others' [D]: lemma 3.6 (2) of
    Halpern, Psomas and Zhang, whose agents share one law, picker by picker. An order is a discrete choice without a gradient, so
    all are compared, at most 8! of them.

    Args:
        r: `[agents]`, fractions by place in the order.
        laws: one law of values an agent, at most 8.

    Raises:
        ValueError: r is no probability vector, or there are not as many laws, or too many of them.

    Example:
        >>> from fairhand.models import Uniform
        >>> best_order([0.3, 0.7], [Uniform(0.4, 0.6), Uniform()]).order.tolist()  # who cares most about which, first
        [1, 0]
    """
    r = as_r(r)
    n = r.shape[-1]
    require(len(laws) == n, f"`laws` must be one an agent: got {len(laws)} for {n} entries of `r`.")
    require(n <= _MOST, f"`laws` are {n}, and all orders of at most {_MOST} agents can be compared.")
    s = r_to_s(jnp.asarray(r))
    at = jnp.stack([law.tail_integral(1 - s) for law in laws])  # [agents, places]
    orders = np.array(list(itertools.permutations(range(n))))
    each = jnp.sum(reach(s)[None] * at[orders, np.arange(n)[None]], -1)
    best = int(jnp.argmax(each))
    known = concrete(r)
    return BestOrder(orders[best], each[best], orders, each, PickR(r if known is None else known, order=orders[best]))
