"""The law on which no truthful rule for two agents beats 0.8536 of the best welfare."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._check import as_array, require
from ._validate import numbers
from .piecewise import AbstractPiecewise, Pieces


class WorstCaseFamily(AbstractPiecewise):
    r"""Mostly nothing, often 1, and rarely a fortune: the family behind the upper bound for two truthful agents.

    .. math::
        X = B + U[0, \delta], \quad
        B = \begin{cases} (1 - q)/p & \text{with probability } p \\ 1 & q \\ 0 & 1 - q - p \end{cases}

    .. math::
        E X = 1 + \frac{\delta}{2}, \quad
        E \max_2 X = 2 - q^2 - q p - p + \frac{\delta}{2} + \frac{\delta}{6} \left(p^2 + q^2 + (1 - p - q)^2\right)

    As p and δ fall, no picking and no exchange gives more than √2 of 4√2 − 4. Values are not rescaled to [0, 1]. The rare
    value carries 1 − q of the mean, 41 %, whatever p: plain sampling needs many more than 1/p draws to see it, while
    every formula here is a sum of three exact terms, precise for any p. Gradients in p and q are those of the formulas;
    draws and quantiles move along their piece and miss the jumps between pieces. In 32 bit uniform numbers are multiples
    of 1e-7, so draws with p below 1e-4 want 64 bit; the formulas do not.

    Source: Halpern, Psomas and Zhang, "Truthful Fair Division under Stochastic Valuations", theorem 3.1, lemma 3.2 and
    appendix C [P]; the exact expected maximum with noise [D] (the paper writes δ/2 for its last two terms).

    Args:
        p: scalar, probability of the rare value, positive, at most 1 − q.
        delta: scalar, width of the noise, positive, at most 1.
        q: scalar, probability of the value 1; the theorem's 2 − √2 unless given.

    Raises:
        ValueError: a number is not finite, `p` or `delta` is not positive, `q` is outside (0, 1), p + q exceeds 1, or the
            levels overlap: `delta` above 1 or (1 − q)/p below 1 + `delta`.

    Example:
        >>> law = WorstCaseFamily(1e-4, 1e-4)
        >>> best, picked = float(law.expected_max(2)), float(2 - law.q - law.p)  # per item, of the best and of any Pick-r
        >>> round(best, 3), round(picked / best, 3), law.is_valid, law.is_regular
        (1.657, 0.854, True, False)
    """

    p: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    delta: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array)
    q: Float[Array | np.ndarray, "*draws"] = eqx.field(converter=as_array, default=2 - math.sqrt(2))
    _rank: ClassVar[int] = 0

    def __check_init__(self):
        p, delta, q = (numbers(name, getattr(self, name)) for name in ("p", "delta", "q"))
        if p is not None:
            require(np.all(p > 0), f"`p` must be positive, got {p}; it is the limit p → 0 that is never reached.")
        if delta is not None:
            require(np.all(delta > 0), f"`delta` must be positive, got {delta}: without noise the law has atoms.")
            require(np.all(delta <= 1), f"`delta` must be at most 1, got {delta}: the noise on 0 would pass 1.")
        if q is not None:
            require(np.all((q > 0) & (q < 1)), f"`q` must be between 0 and 1, got {q}.")
        if p is not None and q is not None:
            require(np.all(p + q <= 1), f"`p` and `q` must not exceed 1 together, got {p} and {q}; lower `p`.")
            if delta is not None:
                require(
                    np.all((1 - q) / p >= 1 + delta),
                    f"`p` is too large: levels overlap unless (1 - q)/p >= 1 + delta; got p={p}, q={q}, delta={delta}.",
                )

    def _pieces(self) -> Pieces:
        p, q, d, none = self.p, self.q, self.delta, jnp.zeros_like(self.p)
        low = jnp.stack([none, none + 1, (1 - q) / p])
        rest = (1 - q) - p
        return Pieces(
            low=low,
            high=low + d,
            span=jnp.stack([d, d, d]),
            width=jnp.stack([rest, q, p]),
            start=jnp.stack([none, rest, 1 - p]),
            end=jnp.stack([rest, 1 - p, none + 1]),
            above=jnp.stack([p + q, p, none]),
            worth=jnp.stack([rest * d / 2, q * (1 + d / 2), (1 - q) + p * d / 2]),
            jump=jnp.stack([(1 - d) * (p + q), (1 - q) - p * (1 + d)]),
        )
