"""What an exchange of fixed bundles is worth on the instance that no truthful rule for two agents does well on."""

from fractions import Fraction
from functools import lru_cache
from math import comb, factorial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, dtype_of, require
from ._types import Count


class ExchangeWelfare(eqx.Module):
    """An exchange in the limit p, δ → 0 of the worst-case family.

    Attributes:
        welfare: expected welfare per item; sending every item to its owner is worth 1.
        tau: chance that an agent values agent 0's endowment above agent 1's; agent 0 wants to trade with chance 1 − τ.
    """

    welfare: Float[Array, ""]
    tau: Float[Array, ""]


def exchange_welfare(l: Count, k: Count, q: Any) -> ExchangeWelfare:  # noqa: E741  the paper's name
    r"""Welfare per item of trading l items against k, where values are 0 or 1, rarely huge, and never quite tied.

    Values are those of `WorstCaseFamily(p, delta, q)` as p, δ → 0: 1 with chance q, (1 − q)/p with chance p, else 0, and
    noise that settles ties. With :math:`B_l, B_k` independent binomial (l, q) and (k, q), s = l + k, and
    :math:`\tau = P(B_l > B_k) + P(B_l = B_k) P(S_l > S_k)`, where :math:`S_l` is a sum of l uniform numbers,

    .. math:: \frac{s q + \tau E (B_k - B_l)^+ + (1 - \tau) E (B_l - B_k)^+ + (1 - q) (s + k \tau + l (1 - \tau))}{s}

    At q = 2 − √2 every exchange stays below √2, the best picking rule [P, for s ≥ 3 by a bound, which this formula
    replaces by the number itself]; l = k = 1 gives (3 − q²)/2 [P].

    Source: Halpern, Psomas and Zhang, proof of theorem 3.1 and appendix C; the formula is ours [D].

    Args:
        l: items of agent 0.
        k: items of agent 1; not both 0.
        q: chance of the value 1, in [0, 1]; differentiable.

    Raises:
        ValueError: l or k is no whole number, is negative, or both are 0; q leaves [0, 1].

    Example:
        >>> trade = exchange_welfare(1, 1, 0.5)
        >>> float(trade.welfare), float(trade.tau)
        (1.375, 0.5)
    """
    for name, count in (("l", l), ("k", k)):
        require(
            isinstance(count, int | np.integer) and count >= 0,
            f"`{name}` must be a whole number of items, at least 0; got {count!r}.",
        )
    first, second = int(l), int(k)
    s = first + second
    require(s >= 1, "`l` and `k` must not both be 0: an exchange needs an item.")
    q = as_array(q)
    known = concrete(q)
    require(known is None or (known.ndim == 0 and 0 <= known <= 1), f"`q` must be a number in [0, 1], got {q}.")
    dtype = dtype_of(q)
    q = jnp.asarray(q, dtype)
    ones = _binomial(s, q)
    tau, gain_first, gain_second = (ones @ jnp.asarray(part, dtype) for part in _given_ones(first, second))
    rare = (1 - q) * (s + second * tau + first * (1 - tau))
    return ExchangeWelfare((s * q + tau * gain_first + (1 - tau) * gain_second + rare) / s, tau)


def _binomial(s: int, q: Float[Array, ""]) -> Float[Array, " ones"]:
    """Chances of 0, …, s ones; by adding one item at a time, since that is precise and smooth at q = 0 and 1 too."""

    def add(chances, _):
        return (1 - q) * chances + q * jnp.concatenate([jnp.zeros_like(chances[:1]), chances[:-1]]), None

    return lax.scan(add, jnp.zeros(s + 1, q.dtype).at[0].set(1.0), length=s)[0]


@lru_cache
def _given_ones(first: int, second: int) -> np.ndarray:
    """Given how many of all items are worth 1: τ, and how many more of them the second and the first owns, `[3, items + 1]`."""
    s, tie = first + second, noise_favours(first, second)
    rows = []
    for ones in range(s + 1):
        tau = up = down = Fraction(0)
        for mine in range(max(0, ones - second), min(first, ones) + 1):
            chance = Fraction(comb(first, mine) * comb(second, ones - mine), comb(s, ones))
            ahead = 2 * mine - ones
            tau += chance * (tie if ahead == 0 else int(ahead > 0))
            up, down = up + chance * max(-ahead, 0), down + chance * max(ahead, 0)
        rows.append([float(tau), float(up), float(down)])
    return np.array(rows).T


@lru_cache
def noise_favours(first: int, second: int) -> Fraction:
    r"""P(S_l > S_k) for sums of l = `first` and of k = `second` independent uniform numbers, exactly.

    Reflecting the k turns it into P(S_{l+k} > k) = P(S_{l+k} < l), the cdf of Irwin and Hall:
    :math:`\frac{1}{s!} \sum_{j \le l} (-1)^j \binom{s}{j} (l - j)^s`.

    Example:
        >>> noise_favours(2, 1)
        Fraction(5, 6)
    """
    s = first + second
    return Fraction(sum((-1) ** j * comb(s, j) * (first - j) ** s for j in range(first + 1)), factorial(s))
