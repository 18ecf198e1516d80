r"""Pick-r and the i.i.d. prophet: sharing an item among n agents in turn is stopping a sequence of n draws.

Item by item and draw by draw, QT-s gives the item to the very agent at which the rule "accept x_i iff F(x_i) ≥ 1 − s_i" stops
(proposition 3.8), so that a welfare ratio of the one is a competitive ratio of the other. What is known of stopping is thus
known of sharing: the best rule for a known law is a dynamic programme (`optimal_pick`), and what holds for all laws is in
`prior_free`.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_r, r_to_s, s_to_r
from ._laws import check_law, count
from ._types import Count, Law
from .pick_r import PickR

Vector = Float[Array | np.ndarray, " agents"]


class OptimalPick(eqx.Module):
    """The best Pick-r for a known law.

    Attributes:
        values: `[agents]`, V_1, …, V_n: expected reward of optimal stopping with so many draws to come.
        s: `[agents]`, fraction of what is left.
        r: `[agents]`, fraction of all items.
        ratio: welfare over that of the best allocation.
        mechanism: `PickR(r)`.
    """

    values: Float[Array, " agents"]
    s: Float[Array, " agents"]
    r: Float[Array, " agents"]
    ratio: Float[Array, ""]
    mechanism: PickR


class PickFromRule(eqx.Module):
    """The Pick-r that dominates a stopping rule.

    Attributes:
        r: `[agents]`, fraction of all items.
        s: `[agents]`, fraction of what is left.
        mechanism: `PickR(r)`.
    """

    r: Vector
    s: Vector
    mechanism: PickR


class StoppingRule(eqx.Module):
    """Accept the i-th draw iff F(x_i) ≥ `quantiles[i]`; the last is accepted always.

    Attributes:
        z: `[draws]`, probability to stop at each draw.
        s: `[draws]`, probability to stop there once there.
        quantiles: `[draws]`, 1 − s.
    """

    z: Vector
    s: Vector
    quantiles: Vector


def optimal_pick(law: Law, n: Count) -> OptimalPick:
    r"""The Pick-r of most welfare for n agents whose values follow a known law.

    .. math:: V_1 = E X, \quad V_{k+1} = E \max(X, V_k) = V_k + E (X - V_k)^+, \quad s_i = P(X \ge V_{n-i}), \quad s_n = 1

    and r = s R. Its welfare is V_n per item, up to o(1), and at least 1/a_n (`hill_kertz`) of the best allocation's. Plug in an
    `Empirical` law or, with `jax.vmap`, a posterior of laws; all fields are differentiable in the law's parameters. The law
    must not be learned from the bids that the rule will serve.

    Args:
        law: the law of all values.
        n: number of agents, at least 2.

    Returns:
        `values`, `s`, `r`, `ratio` and `mechanism`.

    Raises:
        ValueError: `n` is no whole number of at least 2, or the law is constant or has negative values.

    Warns:
        UserWarning: the law is unbounded; then nothing is claimed of Pick-r, though the numbers hold for QT-s.

    Source: Halpern, Psomas and Zhang, corollary 3.9 [P], by the standard dynamic programme (Gilbert and Mosteller 1966).

    Example:
        >>> from fairhand.models import Uniform
        >>> best = optimal_pick(Uniform(), 2)
        >>> best.values.tolist(), best.r.tolist(), float(best.ratio)
        ([0.5, 0.625], [0.5, 0.5], 0.9375)
    """
    n = count(n, "n", 2)
    check_law(law, atoms="fine")
    values, s, r, ratio = _programme(law, n)
    return OptimalPick(values, s, r, ratio, PickR(r))


@compiled
def _programme(law: AbstractLaw, n: int) -> tuple[Array, Array, Array, Array]:
    first = law.mean

    def one_more(value, _):
        more = value + law.expected_excess(value)
        return more, more

    later = lax.scan(one_more, first, length=n - 1)[1]
    values = jnp.concatenate([first[None], later])
    s = jnp.append(law.survival(values[-2::-1]), jnp.ones_like(first))
    return values, s, s_to_r(s), values[-1] / law.expected_max(n)


def pick_from_stopping_rule(z: Any) -> PickFromRule:
    r"""The Pick-r whose welfare is at least the reward of any stopping rule that stops at draw i with probability z_i.

    Among rules with these probabilities the threshold rule with :math:`s_i = z_i / P(\text{reach } i)` gets most, so r = z. A
    rule that is randomised, or that may never stop, is dominated too: its last fraction is all that is left,
    :math:`1 - \sum_{i<n} z_i`, since values are not negative.

    Args:
        z: `[draws]`, probability to stop at each draw, not negative, of sum at most 1.

    Returns:
        `r`, `s` and `mechanism`.

    Raises:
        ValueError: fewer than two draws, an entry of `z` is negative or NaN, or they sum to more than 1.

    Source: Halpern, Psomas and Zhang, proposition 3.8 (2) [P].

    Example:
        >>> pick_from_stopping_rule([0.25, 0.25, 0.25]).r.tolist()
        [0.25, 0.25, 0.5]
    """
    z = as_array(z)
    require(np.ndim(z) == 1 and np.shape(z)[0] >= 2, f"`z` needs one entry a draw, at least two; got {z!r}.")
    known = concrete(z)
    if known is not None:
        require(np.all(known >= 0), f"`z` must not be negative, got {known}.")
        total, loose = np.sum(known, dtype=float), 1e-8 if known.dtype == np.float64 else 1e-5
        require(total <= 1 + loose, f"`z` must not sum to more than 1, got {total}; a rule stops at most once.")
        known = known.astype(float)
        r = np.append(known[:-1], max(1 - known[:-1].sum(), 0.0))
    else:
        r = jnp.append(z[:-1], 1 - jnp.sum(z[:-1]))
    return PickFromRule(r, r_to_s(r), PickR(r))


def stopping_rule_from_pick(r: Any) -> StoppingRule:
    """The stopping rule whose reward on a sequence is the welfare of QT-s, and up to o(1) of Pick-r, per item.

    Args:
        r: `[agents]`, fraction of all items of each picker; a bare number is the first of two.

    Returns:
        `z`, which is r, with `s` and the `quantiles` to accept from.

    Raises:
        ValueError: `r` is no probability vector of at least two entries.

    Source: Halpern, Psomas and Zhang, proposition 3.8 [P].

    Example:
        >>> stopping_rule_from_pick([0.25, 0.375, 0.375]).quantiles.tolist()
        [0.75, 0.5, 0.0]
    """
    r = as_r(r)
    s = r_to_s(r)
    return StoppingRule(r, s, 1 - s)
