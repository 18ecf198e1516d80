"""The worst partner of an agent: how close theorem D.1 comes to what a dissimilar agent can really do."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.optimize import Bounds as Box
from scipy.optimize import LinearConstraint, milp

from ....models._check import require
from .closed_forms import inside
from .dissimilar import _parameters


class Adversary(eqx.Module):
    """A γ-dissimilar partner for whom the item-wise bound (14) is greatest.

    Attributes:
        values: a₂, `[items]`.
        loss: the sum of (14) over items at that partner, in utils: no γ-dissimilar partner has more.
        upper: what the solver proves, at least `loss`; equal up to its tolerance where `converged`.
        converged: whether the search was completed.
    """

    values: Float[np.ndarray, " items"]
    loss: float
    upper: float
    converged: bool


def worst_partner(coefficients: Any, aversion: Any, gamma: Any, *, max_seconds: Any = 60.0) -> Adversary:
    r"""The γ-dissimilar partner with whom an agent can lose most, by a mixed-integer program.

    .. math::
        \max_{a_2 \in [0, 1]^m} \sum_j (a_{1j} - a_{2j})\, 1\{r_1 a_{1j} \le a_{2j} \le a_{1j}\} \quad
        \text{s.t.} \quad \langle a_1, a_2 \rangle \le \gamma \|a_1\|_1 \|a_2\|_1

    One whole variable an item, so for some 20 items. It is the quantity that `dissimilar_bound` bounds; the loss that is realised
    is smaller still, since utilities stop at equality.

    Args:
        coefficients: a₁, `[items]`, in [0, 1], not all zero.
        aversion: A in [0, 1).
        gamma: γ ≥ 0.
        max_seconds: after which the search stops with `converged` False.

    Returns:
        `Adversary`.

    Raises:
        ValueError: an argument is out of its range.

    Source: ours [D], for theorem D.1 of Shirali, Finocchiaro and Abebe (2024).

    Example:
        >>> found = worst_partner([1.0, 0.5, 0.5], 0.2, 1.0)  # γ = 1 allows everything: c₁ ‖a₁‖₁
        >>> round(found.loss, 4)
        0.6667
    """
    a = inside(coefficients, "coefficients", 0.0, 1.0, "[0, 1], as theorem D.1 assumes; divide by the largest")
    require(a.ndim == 1 and a.size > 0 and a.any(), "`coefficients` must be [items], not all zero.")
    averse, least, _ = _parameters(aversion, gamma, 0.5)
    require(averse.ndim == least.ndim == 0, "`aversion` and `gamma` must be numbers here.")
    m = a.size
    low = a * (1 - averse) / (1 + averse)
    eye, none = np.eye(m), np.zeros((m, m))
    # Variables: a_2, whether the item counts, and what a_2 takes off it: w >= a_2 - (1 - z), w >= low z.
    rows = np.vstack(
        [
            np.hstack([eye, -np.diag(low), none]),
            np.hstack([-eye, -eye, eye]),
            np.hstack([none, -np.diag(low), eye]),
            np.hstack([least * a.sum() - a, np.zeros(2 * m)])[None],
        ]
    )
    floor: Any = np.concatenate([np.zeros(m), np.full(m, -1.0), np.zeros(m + 1)])
    found = milp(
        np.concatenate([np.zeros(m), -a, np.ones(m)]),
        constraints=LinearConstraint(rows, floor, np.inf),
        integrality=np.repeat([0, 1, 0], m),
        bounds=Box(0.0, 1.0),
        options={"mip_rel_gap": 1e-9, "time_limit": float(max_seconds)},
    )
    require(found.x is not None, f"`max_seconds` = {max_seconds} is too short to find any partner; raise it.")
    counts = found.x[m : 2 * m] > 0.5
    partner = np.clip(np.where(counts, np.maximum(found.x[:m], low), found.x[:m]), 0.0, 1.0)
    loss = float(np.sum(np.maximum(a - partner, 0.0) * counts))
    return Adversary(partner, loss, float(max(-found.mip_dual_bound, loss)), bool(found.status == 0))
