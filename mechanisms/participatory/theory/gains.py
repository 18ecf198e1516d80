"""Lower bounds on what two agents gain, and how gain compares with loss."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ....models._check import require
from .._check import check_social, check_values, common_batch, numbers
from .bounds import standard_shares
from .closed_forms import inside, plain


class GainBounds(eqx.Module):
    """Lower bounds for two agents without caps; NaN where a statement does not apply.

    Attributes:
        proposition_4_1: lower bound on the gain, (23), in utils [P]; exact up to items that are split.
        ratio_4_2: lower bound on gain / loss for similar agents, (25) [P].
        ratio_4_3: lower bound on gain / loss, A / Δ₁ − 1 [P].
    """

    proposition_4_1: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    ratio_4_2: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    ratio_4_3: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)


def gain_bounds(values: Any, alpha: Any, beta: Any, *, threshold: Any = None) -> GainBounds:
    r"""How much two agents gain at least when their aversion to inequality is heard.

    With agents labelled so that :math:`u_1(x^*) \ge u_2(x^*)`, :math:`A = \beta_1 + \alpha_2`, and
    :math:`\Delta_1 \in [0, A]` the optimal threshold of lemma 3.1,

    .. math::
        \text{gain} &\ge \sum_{a_{1j} > a_{2j}} [(1 + A) a_{2j} - (1 - A) a_{1j}]\, 1\{\rho_j < \Delta_1\} && (23) \\
        \frac{\text{gain}}{\text{loss}} &\ge \frac{A f(u(x^*))}{\|a_1 - a_2\|_1} - A\, \frac{1 + \Delta_1}{\Delta_1} && (25) \\
        \frac{\text{gain}}{\text{loss}} &\ge \frac{A}{\Delta_1} - 1

    with :math:`\rho_j = (a_{1j} - a_{2j})/(a_{1j} + a_{2j})`. Item by item gain over loss is :math:`A/\rho_j - 1` exactly [D].

    Args:
        values: `[..., 2, items]`.
        alpha: `[..., 2]` or a number.
        beta: `[..., 2]` or a number.
        threshold: `[..., 2]`, lowest and highest optimal Δ of the agent of index 0, as in the solution of `two_agents`;
            solved for if not given.

    Returns:
        `GainBounds`. Ratios are NaN where utilities are equal under x* or an aversion is negative; where loss = 0 they say
        nothing.

    Raises:
        ValueError: not two agents, or shapes and numbers that do not fit.

    Source: Shirali, Finocchiaro and Abebe (2024), propositions 4.1–4.3 [P].

    Example:
        >>> found = gain_bounds([[1.0, 0.8, 0.3], [0.95, 0.6, 0.1]], 0.2, 0.2)
        >>> round(float(found.proposition_4_1), 3), round(float(found.ratio_4_3), 3)
        (0.73, 1.8)
    """
    values = check_values(values)
    require(values.shape[-2] == 2, f"`values` must be [..., 2, items]; got shape {values.shape}.")
    alpha, beta = check_social(alpha, "alpha", 2), check_social(beta, "beta", 2)
    if threshold is None:
        from ..solvers.two_agents import two_agents

        threshold = two_agents(values, alpha, beta).threshold
    threshold = numbers(threshold, "threshold")
    require(threshold.shape[-1:] == (2,), f"`threshold` must be [..., 2]; got shape {threshold.shape}.")
    batch = common_batch(
        ("values", values.shape[:-2]),
        ("alpha", alpha.shape[:-1]),
        ("beta", beta.shape[:-1]),
        ("threshold", threshold.shape[:-1]),
    )
    utilities = (values * standard_shares(values, np.ones(values.shape[-1]))).sum(-1)
    swap = np.broadcast_to(utilities[..., 0] < utilities[..., 1], batch)
    first, second = values[..., 0, :], values[..., 1, :]
    rich, poor = np.where(swap[..., None], second, first), np.where(swap[..., None], first, second)
    sides = beta[..., 0] + alpha[..., 1], beta[..., 1] + alpha[..., 0]
    a = np.where(swap, sides[1], sides[0])
    low = np.where(swap, -threshold[..., 1], threshold[..., 0])
    high = np.where(swap, -threshold[..., 0], threshold[..., 1])
    gap, both = rich - poor, rich + poor
    terms = np.where((gap > 0) & (gap < (high[..., None] - 1e-12) * both), a[..., None] * both - gap, 0.0)
    signed = np.minimum(*sides) >= 0
    clear = signed & (utilities[..., 0] != utilities[..., 1]) & (high > 0)
    keep = lambda x, where: np.asarray(np.where(where, x, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        similar = a * utilities.sum(-1) / np.abs(gap).sum(-1) - a * (1 + high) / high
        plain = a / np.where(low > 0, low, high) - 1
    return GainBounds(keep(terms.sum(-1), signed), keep(similar, clear), keep(plain, clear))


def gain_curve(coefficient: Any, other: Any, aversion: Any, threshold: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""What an item of the richer agent contributes to the gain.

    .. math:: [(1 + A) a_{2j} - (1 - A) a_{1j}]\, 1\{r_1(\Delta_1) a_{1j} < a_{2j} < a_{1j}\}, \qquad r_1(D) = (1 - D)/(1 + D)

    Divided by the loss on the item it is :math:`A/\rho_j - 1` [D]. It tends to :math:`2 A a_{1j}` where both value the
    item alike.

    Args:
        coefficient: a₁ⱼ ≥ 0.
        other: a₂ⱼ ≥ 0.
        aversion: A in [0, 1).
        threshold: Δ₁ in [0, A].

    Returns:
        Utils, of the broadcast shape.

    Raises:
        ValueError: an argument is out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), equation (23), figure 2 [P].

    Example:
        >>> gain_curve(0.8, [0.6, 0.7, 0.9], 0.2, 0.1).round(2).tolist()
        [0.0, 0.2, 0.0]
    """
    a, x = (inside(y, name, 0.0, np.inf, "[0, ∞)") for y, name in ((coefficient, "coefficient"), (other, "other")))
    aversion, threshold = inside(aversion, "aversion", 0.0, 1.0, "[0, 1)"), numbers(threshold, "threshold")
    require(
        np.all((threshold >= 0) & (threshold <= aversion)), "`threshold` must lie between 0 and `aversion`, as Δ₁ does."
    )
    gap = a - x
    return plain(np.where((gap > 0) & (gap < threshold * (a + x)), aversion * (a + x) - gap, 0.0))
