r"""Two agents of unlike taste lose little: they compete for few items.

Agents are γ-dissimilar when :math:`\langle a_1, a_2 \rangle \le \gamma \|a_1\|_1 \|a_2\|_1`; agents of one taste have a γ of at
least 1/m. Values are in [0, 1] here.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from ....models._check import require
from .._check import check_values, numbers
from .closed_forms import inside, plain


def dissimilarity(values: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""The least γ for which two agents are γ-dissimilar: :math:`\langle a_1, a_2 \rangle / (\|a_1\|_1 \|a_2\|_1)`.

    Args:
        values: `[..., 2, items]`, not negative.

    Returns:
        γ in [0, 1], scale-free; 0 where an agent values nothing.

    Raises:
        ValueError: not two agents, or values that are negative or not finite.

    Source: Shirali, Finocchiaro and Abebe (2024), section 3.1 [P].

    Example:
        >>> float(dissimilarity([[1.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0]]))
        0.25
    """
    a = check_values(values)
    require(a.shape[-2] == 2, f"`values` must be [..., 2, items]; got shape {a.shape}.")
    norms = a.sum(-1)
    unit = a / np.where(norms > 0, norms, 1.0)[..., None]
    return plain(unit.prod(-2).sum(-1))


def dissimilar_bound(coefficients: Any, aversion: Any, gamma: Any, tau: Any = 0.5) -> Float[np.ndarray, "*batch items"]:
    r"""How much two γ-dissimilar agents can lose at most, as a sum over items.

    With :math:`G = \gamma \|a_1\|_1`, :math:`r_1 = (1 - A)/(1 + A)`, :math:`c_1 = 1 - r_1`: for G > 1 the terms are
    :math:`c_1 a_{1j}`, else

    .. math::
        c_1 (1 + 2/r_1)\, G^{1 - \tau} \ (a_{1j} < G), \qquad 2 c_1 G^\tau \ (G \le a_{1j} < G + G^\tau), \qquad
        0 \ (\text{above}).

    Only their **sum** bounds the loss: they are terms of a Lagrangian, and the loss on one item may exceed its own [D]. The
    sum can exceed the plain :math:`c_1 \|a_1\|_1`; use the smaller one. Large γ (m γ > 1) tells nothing.

    Args:
        coefficients: a₁, `[..., items]`, values in [0, 1] of the agent who is richer under the utilitarian optimum.
        aversion: A = β₁ + α₂ in [0, 1), of that agent being ahead.
        gamma: γ ≥ 0, see `dissimilarity`.
        tau: any number in [0, 1]; 1/2 without knowledge of a₁, 2/3 for uniform values.

    Returns:
        The terms, `[..., items]`, in utils.

    Raises:
        ValueError: a value outside [0, 1], or another argument out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), theorem D.1 [P].

    Example:
        >>> dissimilar_bound([0.05, 0.2, 1.0], 0.2, 0.05).round(3).tolist()  # G = 1/16
        [0.333, 0.167, 0.0]
    """
    a = inside(coefficients, "coefficients", 0.0, 1.0, "[0, 1], as theorem D.1 assumes; divide by the largest")
    require(a.ndim >= 1, "`coefficients` must be [..., items]; got one number.")
    aversion, gamma, tau = (x[..., None] for x in _parameters(aversion, gamma, tau))
    r = (1 - aversion) / (1 + aversion)
    c = 1 - r
    g = gamma * a.sum(-1, keepdims=True)
    small, middle = c * (1 + 2 / r) * g ** (1 - tau), 2 * c * g**tau
    terms = np.where(a < g, small, np.where(a < g + g**tau, middle, 0.0))
    return plain(np.where(g > 1, c * a, terms))


def dissimilar_expected(
    items: Any, aversion: Any, gamma: Any, shape: Any = 1.0
) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""How much two γ-dissimilar agents lose at most on average when the richer one's values are Beta(s, 1).

    .. math:: E\,\text{loss} \le m\, c_1 K\, (\gamma m)^{(s + 1)^2/(s + 2)}, \qquad K = 1 + 2/r_1 + 2 \max(2^s - 1, 1)

    at :math:`\tau = (s + 1)/(s + 2)`. For U(0, 1), s = 1, the exponent is 4/3 and :math:`K = 3 + 2/r_1`. The paper prints
    :math:`K = 2(1 + 1/r_1)`, less than its own equation (67) adds up to; K for other s is ours [D].

    Args:
        items: m.
        aversion: A in [0, 1).
        gamma: γ with γ m ≤ 1.
        shape: s ≥ 0 of the law of values.

    Returns:
        Utils, of the broadcast shape.

    Raises:
        ValueError: γ m exceeds 1, or an argument is out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), corollary D.2 and the proof of theorem 3.5 [P], constant corrected [D].

    Example:
        >>> round(float(dissimilar_expected(100, 0.1, 0.001)), 3)  # c₁ = 2/11, K = 3 + 22/9
        4.595
    """
    m = inside(items, "items", 1.0, np.inf, "[1, ∞)")
    s = inside(shape, "shape", np.finfo(float).tiny, np.finfo(float).max, "(0, ∞)")
    aversion, gamma, _ = _parameters(aversion, gamma, 0.5)
    require(np.all(gamma * m <= 1), f"`gamma` must be at most 1/items; gamma * items is {np.max(gamma * m):g}.")
    r = (1 - aversion) / (1 + aversion)
    constant = 1 + 2 / r + 2 * np.maximum(2**s - 1, 1)
    return plain(m * (1 - r) * constant * (gamma * m) ** ((s + 1) ** 2 / (s + 2)))


def loss_curve(coefficient: Any, other: Any, aversion: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""What an item of the richer agent can contribute to the loss.

    .. math:: (a_{1j} - a_{2j})\, 1\{r_1 a_{1j} \le a_{2j} \le a_{1j}\}

    Args:
        coefficient: a₁ⱼ ≥ 0.
        other: a₂ⱼ ≥ 0.
        aversion: A in [0, 1).

    Returns:
        Utils, of the broadcast shape.

    Raises:
        ValueError: an argument is out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), equation (14), figure 1 [P].

    Example:
        >>> loss_curve(0.9, [0.5, 0.6, 0.9], 0.2).round(2).tolist()
        [0.0, 0.3, 0.0]
    """
    a, x = (inside(y, name, 0.0, np.inf, "[0, ∞)") for y, name in ((coefficient, "coefficient"), (other, "other")))
    aversion, _, _ = _parameters(aversion, 0.0, 0.5)
    gap = a - x
    return plain(np.where((gap >= 0) & (gap <= aversion * (a + x) + 1e-12 * a), gap, 0.0))


def loss_majorant(coefficient: Any, other: Any, aversion: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""The smooth curve above `loss_curve` on which theorem D.1 rests: two parabolas that meet at their top, :math:`x = r_1 a`.

    .. math::
        \frac{c}{r}\, x \Bigl(2 - \frac{x}{r a}\Bigr) \ (x < r a), \qquad
        c a\, \frac{(1 - x)(x + 1 - 2 r a)}{(1 - r a)^2} \ (x \ge r a)

    Args:
        coefficient: a = a₁ⱼ in (0, 1].
        other: x = a₂ⱼ in [0, 1].
        aversion: A in (0, 1).

    Returns:
        Utils, of the broadcast shape.

    Raises:
        ValueError: an argument is out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), equation (40), figure 4 [P].

    Example:
        >>> loss_majorant(0.9, [0.0, 0.6, 1.0], 0.2).round(3).tolist()
        [0.0, 0.3, 0.0]
    """
    a = inside(coefficient, "coefficient", np.finfo(float).tiny, 1.0, "(0, 1]")
    x = inside(other, "other", 0.0, 1.0, "[0, 1]")
    aversion, _, _ = _parameters(aversion, 0.0, 0.5)
    require(np.all(aversion > 0), "`aversion` must be positive: without it nothing is lost.")
    r = (1 - aversion) / (1 + aversion)
    c = 1 - r
    below = c / r * x * (2 - x / (r * a))
    above = c * a * (1 - x) * (x + 1 - 2 * r * a) / (1 - r * a) ** 2
    return plain(np.where(x < r * a, below, above))


def _parameters(aversion: Any, gamma: Any, tau: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    aversion = inside(aversion, "aversion", 0.0, 1.0, "[0, 1)")
    require(np.all(aversion < 1), "`aversion` must lie in [0, 1); got 1, where everything moves.")
    gamma = numbers(gamma, "gamma")
    require(np.all(gamma >= 0), f"`gamma` must not be negative; got {gamma.min():g}.")
    return aversion, gamma, inside(tau, "tau", 0.0, 1.0, "[0, 1]")
