"""Instances on which theory is tight, or on which a printed formula fails: values with corrected closed forms.

Each function returns a `Family`. What `loss`, `gain` and `tradeoff` say holds when aversion is at least `threshold`;
`[P]` marks what the paper proves, `[D]` what we derived, and where we differ from the print the docstring says so.
Source: Shirali, Finocchiaro and Abebe, "Participatory objective design via preference elicitation" (FAccT 2024).
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ....models._check import require

Row = Float[np.ndarray, " agents"]
NUMBERS = int | float | np.number | np.ndarray


class Family(eqx.Module):
    """A constructed instance and what is known about it.

    Attributes:
        values: `[agents, items]`, in utils.
        loss: loss of the participatory optimum, in utils.
        gain: gain of it, in utils; NaN where the aversion is left open (see `gain_at`).
        tradeoff: IT, the greatest ratio of utilities before and after; NaN where there is no closed form.
        threshold: least aversion from which the closed forms hold: A = β₁ + α₂ for two agents, else β₁ + α_i.
        alpha: `[agents]`, aversion to being behind for which the family is made; NaN where it is left open.
        beta: `[agents]`, aversion to being ahead, likewise.
        inequality: Q(x*) per unit of homogeneous aversion, in utils.
    """

    values: Float[np.ndarray, "agents items"]
    loss: float = eqx.field(converter=float)
    gain: float = eqx.field(converter=float)
    tradeoff: float = eqx.field(converter=float)
    threshold: float = eqx.field(converter=float)
    alpha: Row
    beta: Row
    inequality: float = eqx.field(converter=float)

    def gain_at(self, aversion: Any) -> float:
        """Gain when every pair weighs its gap by `aversion`, from `threshold` on, where the optimum is equal [D].

        For `two_by_two`, `proposition_5_1`, `aligned`, `crowd` and `lone_winner`: loss + gain = Q(x*) exactly.
        """
        return float(aversion * self.inequality - self.loss)


def _split(aversion: Any, agents: int) -> dict[str, Row]:
    return {"alpha": np.full(agents, aversion / 2), "beta": np.full(agents, aversion / 2)}


def _inside(x: Any, name: str, low: Any, high: Any) -> float:
    require(
        isinstance(x, NUMBERS) and np.ndim(x) == 0 and low < float(x) < high,
        f"`{name}` must be a number between {low:g} and {high:.6g}, both excluded; got {x!r}.",
    )
    return float(x)


def _count(x: Any, name: str, least: int) -> int:
    require(
        isinstance(x, NUMBERS) and np.ndim(x) == 0 and float(x).is_integer() and x >= least,
        f"`{name}` must be a whole number, at least {least}; got {x!r}.",
    )
    return int(x)


def aligned(aversion: Any, items: Any, eps: Any = 1e-6) -> Family:
    r"""Two agents of the same taste, one a little less than r₁ as strong: the worst case for loss.

    :math:`a_1 = 1, a_2 = s = r_1 + \epsilon` with :math:`r_1 = (1 - A) / (1 + A)`. Agent 1 had everything; utilities become
    equal, and :math:`\text{loss} = \|a_1\|_1 (1 - s) / (1 + s) \to A \|a_1\|_1`, which attains the derived bound
    :math:`A (u_1^* - u_2^*)` and :math:`\delta / (2 - c_1)`, and only the fraction (1 + A)/2 of equation (15) [D].

    Args:
        aversion: A = β₁ + α₂ in (0, 1), both agents alike.
        items: m.
        eps: how far agent 2 is above the threshold r₁.

    Returns:
        The family.

    Raises:
        ValueError: an argument is out of its range.

    Source: section 3.1; the closed forms are ours [D].

    Example:
        >>> round(aligned(0.3, 5, 1e-9).loss / 5, 6)
        0.3
    """
    a, m = _inside(aversion, "aversion", 0, 1), _count(items, "items", 1)
    r = (1 - a) / (1 + a)
    s = r + _inside(eps, "eps", 0, 1 - r)
    threshold = (1 - s) / (1 + s)
    loss = m * threshold
    return Family(
        np.stack([np.ones(m), np.full(m, s)]), loss, a * m - loss, (1 + s) / s, threshold, **_split(a, 2), inequality=m
    )


def delta_similar(aversion: Any, items: Any, eps: Any = 1e-6) -> Family:
    r"""Two agents who differ little, and yet lose half of what they differ by.

    :math:`a_1 = 1, a_{2j} = 1 - \delta/m \pm \epsilon` (plus for every other item, from the first) with
    :math:`\delta = m c_1, c_1 = 2A/(1 + A)`. The items with plus move: :math:`\text{loss} = \delta/2 - m\epsilon/2`, so that
    "at least δ/2" holds in the limit only [P, corrected]. Holds for A from `threshold` to
    :math:`(1 - r + \epsilon)/(1 + r - \epsilon)`, where the other items begin to move.

    Args:
        aversion: A in (0, 1).
        items: m, even.
        eps: the distance from the threshold.

    Returns:
        The family; `gain` is that at `aversion`.

    Raises:
        ValueError: an argument is out of its range, or `items` is odd.

    Source: proposition F.1 [P]; gain ours [D].

    Example:
        >>> round(delta_similar(0.25, 4, 1e-9).loss, 6)  # c₁ = 0.4, δ = 1.6
        0.8
    """
    a, m = _inside(aversion, "aversion", 0, 1), _count(items, "items", 2)
    require(m % 2 == 0, f"`items` must be even; got {m}.")
    r = (1 - a) / (1 + a)
    eps = _inside(eps, "eps", 0, min(r, 1 - r))
    second = r + eps * np.where(np.arange(m) % 2 == 0, 1.0, -1.0)
    loss = m / 2 * (1 - r - eps)
    gain = a * m - (1 + a) * loss
    threshold = (1 - r - eps) / (1 + r + eps)
    return Family(np.stack([np.ones(m), second]), loss, gain, 2.0, threshold, **_split(a, 2), inequality=m)


def _weights(alpha: Any, beta: Any) -> tuple[Row, Row]:
    alpha, beta = np.asarray(alpha, float), np.asarray(beta, float)
    require(
        alpha.ndim == 1 and alpha.shape == beta.shape and alpha.size >= 2,
        f"`alpha` and `beta` must be [agents] with at least two agents; got shapes {alpha.shape} and {beta.shape}.",
    )
    for name, x in (("alpha", alpha), ("beta", beta)):
        require(np.all((x >= 0) & np.isfinite(x)), f"`{name}` must be finite and not negative here; got {x.min()}.")
    require(np.all(beta[0] + alpha[1:] > 0), "`alpha` and `beta` must make β₁ + α_i positive for every other agent i.")
    return alpha, beta


def _sparse_threshold(agents: int, eps: float) -> float:
    return eps * (agents - 1) / (agents - eps)


def equation_26(alpha: Any, beta: Any, eps: Any = 1e-3) -> Family:
    r"""As many items as agents, where a tiny loss buys a large gain.

    Row 1 is all ones, :math:`a_{ii} = 1 - \epsilon`, the rest :math:`r_{1i} - \epsilon` with r of lemma 3.3. Agent 1 had
    everything, and then everybody has one item: :math:`\text{loss} = (n - 1)\epsilon` and

    .. math:: \text{gain} = -(n - 1)\epsilon + \frac{n - \epsilon}{n - 1} \sum_{i > 1} (\beta_1 + \alpha_i).

    The printed (27) has :math:`2 - \epsilon` for the fraction, which is right for n = 2 only [D].

    Args:
        alpha: `[agents]`, not negative.
        beta: `[agents]`, not negative.
        eps: distance from a tie.

    Returns:
        The family; `threshold` is on the least :math:`\beta_1 + \alpha_i`.

    Raises:
        ValueError: an argument is out of its range; r₁ᵢ must exceed `eps`.

    Source: section 4.2, equation (26) [P]; the gain corrected [D].

    Example:
        >>> found = equation_26([0.2] * 3, [0.1] * 3, 0.01)
        >>> round(found.loss, 4), round(found.gain, 4)
        (0.02, 0.877)
    """
    alpha, beta = _weights(alpha, beta)
    n = alpha.size
    keep = 1 - beta[0] - alpha[1:].sum() / (n - 1)
    r = keep / (1 + alpha[1:] + (beta.sum() - beta[1:]) / (n - 1))
    eps = _inside(eps, "eps", 0, min(float(r.min()), 1.0))
    values = np.vstack([np.ones(n), np.broadcast_to(r[:, None] - eps, (n - 1, n))])
    values[np.arange(1, n), np.arange(1, n)] = 1 - eps
    pull = float((beta[0] + alpha[1:]).sum())
    loss = (n - 1) * eps
    gain = -loss + (n - eps) / (n - 1) * pull
    return Family(values, loss, gain, float(n), _sparse_threshold(n, eps), alpha, beta, n)


def equation_129(alpha: Any, beta: Any, eps: Any = 1e-3) -> Family:
    r"""Agents with almost nothing in common, whose gain is still unboundedly larger than their loss.

    2n − 1 items: agent i has one of her own (worth 1, and 1 + ε to agent 1), and n − 1 more are worth ε to agent 1 and
    ε(1 − ε) to one other agent each. :math:`\text{loss} = (n - 1)\epsilon^2` and

    .. math:: \text{gain} = -(n - 1)\epsilon^2 + \epsilon\,\frac{n - \epsilon}{n - 1} \sum_{i > 1} (\beta_1 + \alpha_i).

    The printed (130) has :math:`2 - \epsilon` for the fraction, which is right for n = 2 only [D].

    Args:
        alpha: `[agents]`, not negative.
        beta: `[agents]`, not negative.
        eps: worth of the small items, in (0, 1).

    Returns:
        The family; `threshold` is on the least :math:`\beta_1 + \alpha_i`.

    Raises:
        ValueError: an argument is out of its range.

    Source: proposition 4.4 and equation (129) [P]; the gain corrected [D].

    Example:
        >>> found = equation_129([0.2] * 3, [0.1] * 3, 0.01)
        >>> round(found.loss, 6), round(found.gain, 6)
        (0.0002, 0.00877)
    """
    alpha, beta = _weights(alpha, beta)
    n, eps = alpha.size, _inside(eps, "eps", 0, 1)
    own = np.eye(n)
    own[0, 0] += eps
    small = np.vstack([np.full(n - 1, eps), eps * (1 - eps) * np.eye(n - 1)])
    pull = float((beta[0] + alpha[1:]).sum())
    loss = (n - 1) * eps**2
    gain = -loss + eps * (n - eps) / (n - 1) * pull
    tradeoff = (1 + n * eps) / (1 + eps)
    return Family(np.hstack([own, small]), loss, gain, tradeoff, _sparse_threshold(n, eps), alpha, beta, n * eps)


def _open(agents: int) -> dict[str, Row]:
    return {"alpha": np.full(agents, np.nan), "beta": np.full(agents, np.nan)}


def two_by_two(a1: Any, a2: Any) -> Family:
    r"""Two agents, two items, values that sum to one: the better-off agent gives up a share of item 1.

    Rows :math:`(a_1, 1 - a_1), (a_2, 1 - a_2)`. From :math:`A = (a_1 - a_2)/(a_1 + a_2)` on, the share
    :math:`t = (a_1 + a_2 - 1)/(a_1 + a_2)` of item 1 moves, utilities become equal, and

    .. math:: \text{IT} = \frac{a_1}{a_1 (1 - t)} = a_1 + a_2, \qquad \text{loss} = t (a_1 - a_2).

    The printed closed form divides by :math:`a_1 - t` [D]. Below the threshold IT = 1 and loss = 0.

    Args:
        a1: worth of item 1 to agent 1, in (0, 1).
        a2: worth of item 1 to agent 2, less than `a1`, with a₁ + a₂ > 1.

    Returns:
        The family; `gain` is NaN since the aversion is open, see `Family.gain_at`.

    Raises:
        ValueError: an argument is out of its range.

    Source: section 5, equations (29)–(31) [P]; IT corrected [D].

    Example:
        >>> found = two_by_two(0.9, 0.6)
        >>> round(found.tradeoff, 4), round(found.loss, 4), round(found.threshold, 4)
        (1.5, 0.1, 0.2)
    """
    a1 = _inside(a1, "a1", 0, 1)
    require(a1 > 0.5, f"`a1` must exceed 1/2, so that `a2` < `a1` and `a1` + `a2` > 1 can hold; got {a1}.")
    a2 = _inside(a2, "a2", 1 - a1, a1)
    total = a1 + a2
    t = (total - 1) / total
    values = np.array([[a1, 1 - a1], [a2, 1 - a2]])
    return Family(values, t * (a1 - a2), np.nan, total, (a1 - a2) / total, **_open(2), inequality=total - 1)


def proposition_5_1(agents: Any, e1: Any, e2: Any) -> Family:
    r"""One agent gives up almost everything though nothing much is lost: IT comes close to n.

    As many items as agents. Agent 1 has the row :math:`(1 - e_1, e_1/(n - 1), \dots)`, all others
    :math:`(1 - e_2, e_2/(n - 1), \dots)`. From :math:`\alpha + \beta = (e_2 - e_1)/((1 - e_1) + (1 - e_2)/(n - 1))` on,
    utilities become equal and

    .. math:: \text{IT} = n - e_2 - (n - 1) e_1.

    The printed matrices are transposed (columns are agents) and need as many items as agents; n is the supremum of this family
    and no upper bound in general: one item worth (1, r) to two agents has IT = 1 + 1/r [D].

    Args:
        agents: n, at least 2.
        e1: in (0, e2).
        e2: in (e1, 1), and at most (n − 1)(1 − e1).

    Returns:
        The family; `gain` is NaN since the aversion is open, see `Family.gain_at`. `threshold` is on the homogeneous α + β.

    Raises:
        ValueError: an argument is out of its range.

    Source: proposition 5.1 [P], read with agents in rows; IT and threshold ours [D].

    Example:
        >>> found = proposition_5_1(10, 0.001, 0.002)
        >>> round(found.tradeoff, 3), round(found.threshold, 5)
        (9.989, 0.0009)
    """
    n = _count(agents, "agents", 2)
    e1 = _inside(e1, "e1", 0, 1)
    e2 = _inside(e2, "e2", e1, 1)
    require(e2 <= (n - 1) * (1 - e1), f"`e2` must be at most (n - 1)(1 - e1) = {(n - 1) * (1 - e1):g}; got {e2}.")
    e = np.concatenate([[e1], np.full(n - 1, e2)])
    values = np.hstack([1 - e[:, None], np.broadcast_to(e[:, None] / (n - 1), (n, n - 1))])
    rest = (1 - e1) + (1 - e2) / (n - 1)
    moved = ((1 - e1) - e2 / (n - 1)) / rest
    return Family(
        values,
        moved * (e2 - e1),
        np.nan,
        n - e2 - (n - 1) * e1,
        (e2 - e1) / rest,
        **_open(n),
        inequality=1 - e1 - e2 / (n - 1),
    )


def crowd(seats: Any, delta: Any) -> Family:
    r"""One item with many seats, half of the agents at 1 and half at 1 − δ: the printed theorem 3.5 fails on it.

    Cap :math:`b = 1/\text{seats}`, n = 2/b agents, one cluster of radius δ. Once utilities are equal,
    :math:`\text{loss} = \delta / (2 - \delta)` at any b, while the printed term :math:`\delta b K \min\{n, m\}` tends to 0
    with b. With :math:`\min\{n, m/b\}` it is δ [D].

    Args:
        seats: 1/b, at least 1.
        delta: δ in (0, 1).

    Returns:
        The family; use it with `caps=1 / seats`. `threshold` is on the homogeneous α + β.

    Raises:
        ValueError: an argument is out of its range.

    Source: ours [D], against theorem 3.5 of the paper.

    Example:
        >>> crowd(100, 0.5).loss == crowd(1, 0.5).loss
        True
    """
    k, delta = _count(seats, "seats", 1), _inside(delta, "delta", 0, 1)
    values = np.concatenate([np.ones(k), np.full(k, 1 - delta)])[:, None]
    # Moving a share from the upper half to the lower gains (1 − δ)(1 + σ) − (1 − σ) with σ = (α + β) k / (2k − 1).
    threshold = delta / (2 - delta) * (2 * k - 1) / k
    return Family(
        values,
        delta / (2 - delta),
        np.nan,
        (2 - delta) / (1 - delta),
        threshold,
        **_open(2 * k),
        inequality=k / (2 * k - 1),
    )


def lone_winner(aversion: Any, agents: Any, eps: Any = 1e-6) -> Family:
    r"""One item, one agent who values it more than all others: relative loss reaches the aversion at any number of agents.

    Agent 1 values the item at 1, the others at s, with

    .. math::
        s = \frac{(n - 1)(1 - A)}{n - 1 + A} + \epsilon, \qquad
        \text{loss} = \frac{(n - 1)(1 - s)}{n - 1 + s} \to A, \qquad \text{IT} = \frac{s + n - 1}{s}

    for homogeneous A = α + β. So the derived bounds Q(x*) and (max α + max β) f(u*) are attained whatever n is, theorem 3.4
    is not, and IT exceeds n [D].

    Args:
        aversion: A = α + β in (0, 1), the same for all.
        agents: n, at least 2.
        eps: how far the others are above the threshold.

    Returns:
        The family.

    Raises:
        ValueError: an argument is out of its range.

    Source: ours [D], on theorem 3.4 and proposition 5.1 of the paper.

    Example:
        >>> [round(lone_winner(0.3, n, 1e-9).loss, 6) for n in (2, 10, 1000)]
        [0.3, 0.3, 0.3]
    """
    a, n = _inside(aversion, "aversion", 0, 1), _count(agents, "agents", 2)
    least = (n - 1) * (1 - a) / (n - 1 + a)
    s = least + _inside(eps, "eps", 0, 1 - least)
    loss = (n - 1) * (1 - s) / (n - 1 + s)
    values = np.concatenate([[1.0], np.full(n - 1, s)])[:, None]
    return Family(values, loss, a - loss, (s + n - 1) / s, loss, **_split(a, n), inequality=1.0)
