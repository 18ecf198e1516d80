"""What theory knows in closed form about two agents with random values: expectations, not bounds on one instance."""

from typing import Any

import equinox as eqx
import numpy as np
import scipy.special
from jaxtyping import Float

from ....models._check import require
from .._check import numbers


def plain(x: Any) -> Any:
    """Arrays as they are, a single number as NumPy's scalar, which can be rounded and printed."""
    return np.asarray(x)[()]


class UniformPair(eqx.Module):
    """Expectations for two agents with independent U(0, 1) values.

    Attributes:
        loss: E loss, in utils.
        gain: E gain, in utils.
        tradeoff: E IT, the greatest ratio of utilities before and after.
    """

    loss: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    gain: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    tradeoff: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)


def inside(x: Any, name: str, low: Any, high: Any, words: str) -> np.ndarray:
    """`x` as float64 within [low, high], or a refusal that says `words`."""
    found = numbers(x, name)
    bad = ~((found >= low) & (found <= high))
    require(not bad.any(), f"`{name}` must lie in {words}; got {found[bad].flat[0] if bad.any() else 0:g}.")
    return found


def _below_one(aversion: Any) -> np.ndarray:
    a = inside(aversion, "aversion", 0.0, 1.0, "[0, 1)")
    require(
        np.all(a < 1), "`aversion` must lie in [0, 1); got 1, where the poorer agent's share is unbounded in value."
    )
    return a


def uniform_pair(aversion: Any) -> UniformPair:
    r"""What two agents with one item, worth independent U(0, 1) to each, lose and gain on average.

    With :math:`A = \beta_1 + \alpha_2 = \beta_2 + \alpha_1`,

    .. math::
        E\,\text{loss} = \tfrac43 \bigl[\ln(1 + A) - \tfrac{A}{1 + A}\bigr], \quad
        E\,\text{gain} = \tfrac43 [A - \ln(1 + A)], \quad
        E\,\text{IT} = 1 + \ln\tfrac{1 + A}{1 - A}.

    Where the two sides differ, take the mean of the results at :math:`\beta_1 + \alpha_2` and :math:`\beta_2 + \alpha_1`:
    each agent is the richer one half of the time.

    Args:
        aversion: A in [0, 1), dimensionless; any shape.

    Returns:
        `loss`, `gain` (utils) and `tradeoff`, each of the shape of `aversion`.

    Raises:
        ValueError: `aversion` is outside [0, 1).

    Source: ours [D], in the setting of lemma 3.1 of Shirali, Finocchiaro and Abebe (2024).

    Example:
        >>> found = uniform_pair(0.5)
        >>> round(float(found.loss), 4), round(float(found.gain), 4), round(float(found.tradeoff), 4)
        (0.0962, 0.126, 2.0986)
    """
    a = _below_one(aversion)
    log = np.log1p(a)
    # Differences of nearly equal numbers below 0.05: their power series instead.
    k = np.arange(2, 22)
    powers = np.where(a < 0.05, a, 0.0)[..., None] ** k * (-1.0) ** k
    loss = np.where(a < 0.05, (powers * (k - 1) / k).sum(-1), log - a / (1 + a))
    gain = np.where(a < 0.05, (powers / k).sum(-1), a - log)
    return UniformPair(np.asarray(loss * 4 / 3), np.asarray(gain * 4 / 3), np.asarray(1 + log - np.log1p(-a)))


def uniform_many_items(aversion: Any, items: Any) -> UniformPair:
    r"""Where `uniform_pair` tends to with many items: the loss stops at 3/16 util, while the gain grows with the root of m.

    .. math::
        E\,\text{loss} \to \tfrac{3}{16}, \qquad E\,\text{gain} \approx A \sqrt{m / \pi} - \tfrac{3}{16}, \qquad
        E\,\text{IT} \approx 1 + \tfrac{3}{2} (\pi m)^{-1/2}

    The loss does not depend on A: the gap of order :math:`\sqrt m` between the two is closed with items that are worth
    nearly the same to both. The bound `items * beta_bound(1, c)` grows like :math:`m c^2 / 3` meanwhile.

    Args:
        aversion: A in (0, 1), with :math:`A \sqrt m` well above 1; any shape.
        items: m; any shape that broadcasts.

    Returns:
        `loss`, `gain` (utils) and `tradeoff`.

    Raises:
        ValueError: `aversion` is outside [0, 1), or `items` below 1.

    Source: ours [D].

    Example:
        >>> found = uniform_many_items(0.2, 10_000)
        >>> round(float(found.loss), 4), round(float(found.gain), 2)
        (0.1875, 11.1)
    """
    a, m = np.broadcast_arrays(_below_one(aversion), inside(items, "items", 1.0, np.inf, "[1, ∞)"))
    loss = np.full(a.shape, 3 / 16)
    return UniformPair(loss, np.asarray(a * np.sqrt(m / np.pi) - loss), np.asarray(1 + 1.5 / np.sqrt(np.pi * m)))


def beta_bound(shape: Any, c: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""Expected bound on the loss of one item whose worth to each of two agents is an independent Beta(s, 1).

    .. math::
        \frac{s}{(s + 1/2)(s + 1)} \bigl[1 - (1 + c s)(1 - c)^s\bigr] = \frac{s}{(s + 1/2)(s + 1)}\, I_c(2, s)

    with the regularised incomplete beta function I (the right side is ours, exact also for small c). For s = 1, U(0, 1), it is
    :math:`c^2 / 3`. For :math:`s \ge 1` it is at most :math:`s^3 c^2 / ((s + 1/2)(s + 1)) \le s c^2`.

    It is the expectation of the *bound* (14), with either agent as the richer one, and not of the realised loss, which is
    smaller: see `uniform_pair` and `uniform_many_items`.

    Args:
        shape: s > 0; any shape.
        c: :math:`2 A / (1 + A)` with A the greater of :math:`\beta_1 + \alpha_2` and :math:`\beta_2 + \alpha_1`, in [0, 1].

    Returns:
        Utils per item, of the broadcast shape.

    Raises:
        ValueError: `shape` is not positive or `c` outside [0, 1].

    Source: Shirali, Finocchiaro and Abebe (2024), equation (77); (78) and (74) [P].

    Example:
        >>> round(float(beta_bound(1, 0.3)), 6)  # c² / 3
        0.03
    """
    s = inside(shape, "shape", np.finfo(float).tiny, np.finfo(float).max, "(0, ∞)")
    c = inside(c, "c", 0.0, 1.0, "[0, 1]")
    return plain(s / ((s + 0.5) * (s + 1)) * scipy.special.betainc(2.0, s, c))
