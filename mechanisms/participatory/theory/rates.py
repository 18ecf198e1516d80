"""How the loss of many agents grows, up to a constant that nobody has specified.

These are rates, not bounds: `constant` says so, and there is no number to compare a loss with. Use them to compare populations,
or read `bounds`, which needs no constant.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ....models._check import require
from .._check import check_caps, check_values, numbers
from .bounds import bounds
from .closed_forms import inside
from .clusters import Clusters
from .clusters import clusters as find


class Rate(eqx.Module):
    """A rate of growth.

    Attributes:
        rate: the expression inside O(·), in utils; NaN where the statement does not apply.
        terms: its terms, which add up to `rate`.
        applies: whether the data meet the assumptions that can be checked on data.
        constant: "unspecified": the loss is at most a constant times `rate`, and the paper does not say which.
        notes: what is not met, or cannot be checked.
    """

    rate: float
    terms: Float[np.ndarray, " terms"]
    applies: bool
    constant: str = eqx.field(static=True, default="unspecified")
    notes: tuple[str, ...] = eqx.field(static=True, default=())


def cluster_rate(
    values: Any,
    alpha: Any,
    beta: Any,
    *,
    cap: Any = 1.0,
    clusters: Clusters | None = None,
    shape: Any = None,
) -> Rate:
    r"""How the loss grows when agents come in K clusters, tight and unlike each other. A rate: the constant is unspecified.

    .. math:: E\,\text{loss} = O\Bigl(\delta b K \min\{n, m/b\} + (K - 1) (\gamma m)^{p} \sum_j c_j\Bigr)

    with c_j of theorem 3.4 and p = 1/2, or :math:`(s + 1)^2/(s + 2)` if the top agents' values are Beta(s, 1). The paper prints
    min{n, m}: with many seats an item that is too small, see `families.crowd` [D].

    Args:
        values: `[agents, items]`, in [0, 1].
        alpha: `[agents]` or a number, not negative.
        beta: `[agents]` or a number, not negative.
        cap: b, the same for all items; 1/b must be whole.
        clusters: what `clusters` found; by default it is asked.
        shape: s, if the top agents' values are known to be Beta(s, 1).

    Returns:
        `Rate`, whose terms are those within clusters and between them.

    Raises:
        ValueError: a value above 1, one agent alone, or shapes and numbers that do not fit.

    Source: Shirali, Finocchiaro and Abebe (2024), theorem 3.5 [P], corrected [D].

    Example:
        >>> found = cluster_rate([[1.0, 0.0], [0.9, 0.0], [0.0, 1.0]], 0.1, 0.1)
        >>> round(found.rate, 3), found.constant
        (0.4, 'unspecified')
    """
    a = check_values(values)
    require(a.ndim == 2 and a.shape[0] >= 2, f"`values` must be [agents, items], two agents or more; got {a.shape}.")
    inside(a, "values", 0.0, 1.0, "[0, 1] here")
    n, m = a.shape
    b = float(check_caps(cap, m)[0])
    require(np.ndim(cap) == 0, "`cap` must be one number: the theorem has the same cap for all items.")
    found = find(a) if clusters is None else clusters
    factors = bounds(a, alpha, beta, caps=b).item_factors
    spread = found.gamma * m
    power = 0.5 if shape is None else (float(shape) + 1) ** 2 / (float(shape) + 2)
    notes = []
    if np.isnan(factors).any():
        notes.append("Theorem 3.4 does not apply (1/b not whole, or a negative weight), so this rate does not either.")
    if spread > 1:
        notes.append(f"gamma * items is {spread:.3g}, above 1: the clusters are not distinguishable enough.")
    terms = np.array([found.delta * b * found.count * min(n, m / b), (found.count - 1) * spread**power * factors.sum()])
    if notes:
        terms = np.full(2, np.nan)
    return Rate(float(terms.sum()), terms, not notes, notes=tuple(notes))


def iid_rate(agents: Any, item_factors: Any, spread: Any, *, caps: Any) -> Rate:
    r"""How the loss grows when agents' values of an item are independent draws from one law. The constant is unspecified.

    .. math:: E\,\text{loss} = O\Bigl(\sum_j c_j^2 \kappa_j^2 b_j n\Bigr), \qquad n \to \infty,\ n b_j \text{ bounded}

    Quadratic in the aversion. The proof is asymptotic and has "with high probability" steps, so that no finite n is promised
    anything.

    Args:
        agents: n.
        item_factors: c_j, `[items]`, as `bounds` gives.
        spread: κ_j of the law of each item, `[items]` or a number, see `spread`.
        caps: b_j, `[items]` or a number.

    Returns:
        `Rate`, with one term an item. It applies where :math:`\kappa_j \le 1/(b_j n c_j)`.

    Raises:
        ValueError: shapes and numbers that do not fit.

    Source: Shirali, Finocchiaro and Abebe (2024), theorem 3.6 [P].

    Example:
        >>> found = iid_rate(100, [0.1, 0.2], 1.0, caps=0.02)
        >>> round(found.rate, 3), found.applies
        (0.1, True)
    """
    n = float(inside(agents, "agents", 1.0, np.inf, "[1, ∞)"))
    c = inside(item_factors, "item_factors", 0.0, np.inf, "[0, ∞)")
    require(c.ndim == 1, f"`item_factors` must be [items]; got shape {c.shape}.")
    kappa = numbers(spread, "spread")
    require(
        kappa.shape in ((), c.shape) and np.all(kappa >= 0),
        f"`spread` must be one number or [items], not negative; got shape {kappa.shape}.",
    )
    b = check_caps(caps, c.size)
    terms = c**2 * kappa**2 * b * n
    notes = ["The proof is asymptotic: n must be large and n b_j bounded, which one population cannot show."]
    applies = bool(np.all(kappa * b * n * c <= 1))
    if not applies:
        notes.append("kappa_j exceeds 1/(b_j n c_j) for some item.")
        terms = np.full(c.size, np.nan)
    return Rate(float(terms.sum()), terms, applies, notes=tuple(notes))
