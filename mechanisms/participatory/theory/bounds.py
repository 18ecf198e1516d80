"""Upper bounds on what the designer's welfare loses when people's aversion to inequality is heard.

The paper's bounds in their corrected form, and ours next to them, which are sharper wherever both apply. Unlike
`compare`, nothing here is solved: a bound costs one sort of the values.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._check import check_caps, check_room, check_social, check_values, common_batch
from ..measures import weighted_welfare
from .closed_forms import plain
from .lemma import retained

Number = Float[np.ndarray | np.float64, "*batch"]
# Ties count as moved: what rounding may do to a_1 - a_2 <= A (a_1 + a_2), relative to the sum, so that bounds stay bounds.
_TIED = 1e-12


class Bounds(eqx.Module):
    """Upper bounds on the loss, in units of the values; NaN where a statement does not apply.

    Attributes:
        theorem_3_2: (14), two agents, no caps: items of the richer agent that can move at all [P].
        equation_15: c₁ times what the richer agent's items are worth to her; never less than the former [P].
        theorem_3_4: sum of `item_factors` times the mean of the top agents' values; needs whole 1/b_j [P].
        derived_gap: A (u₁* − u₂*), two agents; at most equation (15), and attained [D].
        derived_similar: δ / (2 − c₁) with δ = ‖a₁ − a₂‖₁, two agents, no caps; the paper has δ [D].
        derived_inequality: Q(x*), any number of agents and any caps [D].
        derived_simple: (max α + max β) f(u*), likewise [D].
        item_factors: c_j of (18), `[..., items]` [P].
        equation_101: theorem 3.4 with the factors c_ik of each pair that can exchange the item, at most 1 each [D].
        notes: sentences on what is outside the theory; empty when nothing is.
    """

    theorem_3_2: Number = eqx.field(converter=plain)
    equation_15: Number = eqx.field(converter=plain)
    theorem_3_4: Number = eqx.field(converter=plain)
    derived_gap: Number = eqx.field(converter=plain)
    derived_similar: Number = eqx.field(converter=plain)
    derived_inequality: Number = eqx.field(converter=plain)
    derived_simple: Number = eqx.field(converter=plain)
    item_factors: Float[np.ndarray, "*batch items"]
    equation_101: Number = eqx.field(converter=plain)
    notes: tuple[str, ...] = eqx.field(static=True)


def bounds(values: Any, alpha: Any, beta: Any, *, caps: Any = 1.0) -> Bounds:
    r"""How much welfare can be lost at most when people's aversion to inequality is heard, without solving anything.

    With x* the utilitarian optimum, :math:`A = \beta_1 + \alpha_2` for two agents labelled so that
    :math:`u_1(x^*) \ge u_2(x^*)`, :math:`r_1 = (1 - A)/(1 + A)` and :math:`c_1 = 1 - r_1`,

    .. math::
        \text{loss} &\le \sum_{j:\,a_{1j} > a_{2j}} (a_{1j} - a_{2j})\, 1\{a_{2j} \ge r_1 a_{1j}\}
            \le c_1 \sum_{j:\,a_{1j} > a_{2j}} a_{1j} && (14), (15) \\
        \text{loss} &\le \sum_j c_j\, b_j \sum_{i \in \text{top}_j} a_{ij}, \qquad
            c_j = \frac{\max_{\text{top}_j} \beta + \max \alpha + (\|\alpha\|_1 + \|\beta\|_1)/(n - 1)}
            {1 + \max \alpha + \|\beta\|_1/(n - 1)} && (18), (19) \\
        \text{loss} &\le Q(x^*) - Q(x^\theta) \le Q(x^*) \le (\max \alpha + \max \beta) f(u(x^*)) && [D]

    The last line holds for any feasible set, since loss + gain = Q(x*) − Q(x^θ) and gain is not negative. It needs
    :math:`\beta_i + \alpha_k \ge 0` for all pairs, or Q(x^θ) can be negative and the loss larger. All scale with the unit of
    the values, so that values above 1 are fine. Relative to f(u(x*)), none depends on the number of agents.

    Args:
        values: `[..., agents, items]`, not negative.
        alpha: `[..., agents]` or a number, aversion to being behind.
        beta: `[..., agents]` or a number, aversion to being ahead.
        caps: `[items]` or a number in (0, 1], one agent's largest share.

    Returns:
        `Bounds`. Fields are NaN where a statement does not apply: other than two agents, caps other than 1, 1/b_j not whole, one
        agent alone, weights that are negative where the proof needs a sign. `notes` says when α < β or a weight is 1/2 or more,
        which the paper excludes; what is not NaN still holds then, but can exceed f(u(x*)).

    Raises:
        ValueError: shapes that do not fit; negative or non-finite numbers; caps out of range or too small to give all away.

    Source: Shirali, Finocchiaro and Abebe (2024), theorems 3.2 and 3.4 [P]; the rest ours [D].

    Example:
        >>> found = bounds([[1.0, 0.8], [0.9, 0.1]], 0.1, 0.1)
        >>> round(float(found.theorem_3_2), 3), round(float(found.equation_15), 3), round(float(found.derived_gap), 3)
        (0.1, 0.6, 0.36)
    """
    values = check_values(values)
    n, m = values.shape[-2:]
    alpha, beta = check_social(alpha, "alpha", n), check_social(beta, "beta", n)
    batch = common_batch(("values", values.shape[:-2]), ("alpha", alpha.shape[:-1]), ("beta", beta.shape[:-1]))
    caps = check_caps(caps, m)
    check_room(caps, "forbidden", n)
    values = np.broadcast_to(values, (*batch, n, m))
    alpha, beta = (np.broadcast_to(x, (*batch, n)) for x in (alpha, beta))
    shares = standard_shares(values, caps)
    utilities = (values * shares).sum(-1)
    total = utilities.sum(-1)
    two = _two_agents(values, alpha, beta, caps, utilities)
    many = _many_agents(values, alpha, beta, caps, shares)
    signed = np.asarray(least_pair(alpha, beta) >= 0)
    inequality = total - weighted_welfare(utilities, alpha, beta)
    simple = (alpha.max(-1) + beta.max(-1)) * total if n > 1 else np.zeros(batch)
    keep = lambda x: np.asarray(np.where(signed, x, np.nan))
    return Bounds(
        **two,
        **many,
        derived_inequality=keep(np.maximum(inequality, 0.0)),
        derived_simple=keep(simple),
        notes=_notes(alpha, beta, signed, n),
    )


def standard_shares(values: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """A utilitarian optimum: each item to those who value it most, up to the cap; among equals to the lower index."""
    order = np.argsort(-values, axis=-2, kind="stable")
    ranks = np.arange(values.shape[-2])[:, None]
    filled = np.clip(1 - ranks * caps, 0.0, caps)
    filled[filled < _TIED] = 0.0
    out = np.empty(values.shape)
    np.put_along_axis(out, order, np.broadcast_to(filled, values.shape), -2)
    return out


def least_pair(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The least of beta_i + alpha_k over i != k: what decides whether inequality can be a good thing; inf for one agent."""
    n = alpha.shape[-1]
    if n == 1:
        return np.full(alpha.shape[:-1], np.inf)
    first, second = (np.partition(x, 1, -1)[..., :2] for x in (alpha, beta))
    apart = np.argmin(alpha, -1) != np.argmin(beta, -1)
    crossed = np.minimum(first[..., 0] + second[..., 1], first[..., 1] + second[..., 0])
    return np.where(apart, first[..., 0] + second[..., 0], crossed)


def _two_agents(values: Any, alpha: Any, beta: Any, caps: Any, utilities: Any) -> dict[str, np.ndarray]:
    names = ("theorem_3_2", "equation_15", "derived_gap", "derived_similar")
    if values.shape[-2] != 2:
        return {name: np.full(values.shape[:-2], np.nan) for name in names}
    swap = utilities[..., 0] < utilities[..., 1]
    first, second = values[..., 0, :], values[..., 1, :]
    rich = np.where(swap[..., None], second, first)
    poor = np.where(swap[..., None], first, second)
    side = (beta[..., 0] + alpha[..., 1], beta[..., 1] + alpha[..., 0])
    a = np.where(swap, side[1], side[0])
    gap = rich - poor
    own = gap > 0
    moves = own & (gap <= (a[..., None] + _TIED) * (rich + poor))
    signed = np.minimum(*side) >= 0
    plain = signed & np.all(caps == 1)
    keep = lambda x, where: np.asarray(np.where(where, x, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        c = 2 * a / (1 + a)
    return {
        "theorem_3_2": keep((gap * moves).sum(-1), plain),
        "equation_15": keep(c * (rich * own).sum(-1), plain),
        "derived_gap": keep(a * np.abs(utilities[..., 0] - utilities[..., 1]), signed),
        "derived_similar": keep(np.abs(gap).sum(-1) * (1 + a) / 2, plain),
    }


def _many_agents(values: Any, alpha: Any, beta: Any, caps: Any, shares: Any) -> dict[str, np.ndarray]:
    n, m = values.shape[-2:]
    batch = values.shape[:-2]
    whole = np.abs(1 / caps - np.round(1 / caps)) <= 1e-9 / caps
    signed = (alpha.min(-1) >= 0) & (beta.min(-1) >= 0) & (n > 1)
    if n == 1:
        none = np.full(batch, np.nan)
        return {"theorem_3_4": none, "item_factors": np.full((*batch, m), np.nan), "equation_101": none}
    top = shares > 0
    all_alpha, all_beta = alpha.sum(-1), beta.sum(-1)
    most = alpha.max(-1)
    # Where 1/b_j is not whole, the agents who hold some of the item would be top_j; the paper does not define it.
    own = np.where(top, beta[..., None], -np.inf).max(-2)
    factors = own + (most + (all_alpha + all_beta) / (n - 1))[..., None]
    factors = factors / (1 + most + all_beta / (n - 1))[..., None]
    factors = np.where(signed[..., None] & whole, factors, np.nan)
    paid = (values * shares).sum(-2)
    # c_ik = 1 - keep_i / take_k, with k the outsider of the item to whom it is easiest to give.
    keep, take = retained(alpha, beta)
    easiest = np.where(top, -np.inf, take[..., None]).max(-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        pair = np.clip(1 - keep[..., None] / easiest[..., None, :], 0.0, 1.0)
    # Without an outsider it stays where it is, or is thrown away by people who mind being ahead too much.
    pair = np.where(np.isfinite(easiest)[..., None, :], pair, keep[..., None] < 0)
    sharper = (values * shares * pair).sum((-2, -1))
    usable = signed & whole.all()
    return {
        "theorem_3_4": np.asarray(np.where(usable, (factors * paid).sum(-1), np.nan)),
        "item_factors": factors,
        "equation_101": np.asarray(np.where(usable, sharper, np.nan)),
    }


def _notes(alpha: np.ndarray, beta: np.ndarray, signed: np.ndarray, agents: int) -> tuple[str, ...]:
    if agents == 1:
        return ("One agent alone: there is no inequality, and nothing can be lost.",)
    several = signed.size > 1
    of = lambda x: f" in {int(np.sum(x))} of {signed.size} problems" if several else ""
    found = []
    if np.any(odd := (alpha < beta).any(-1)):
        found.append(f"`alpha` < `beta` for some agent{of(odd)}: outside the paper's assumptions.")
    if np.any(odd := (np.maximum(alpha, beta) >= 0.5).any(-1)):
        found.append(f"A weight of 1/2 or more{of(odd)}: outside the paper's assumptions; bounds may be vacuous.")
    if np.any(odd := (np.minimum(alpha, beta) < 0).any(-1)):
        found.append(f"A negative weight{of(odd)}: theorem 3.4 and (101) are NaN, their proofs need alpha, beta >= 0.")
    if np.any(~signed):
        found.append(f"beta_i + alpha_k < 0 for some pair{of(~signed)}: no bound is known, the loss may exceed Q(x*).")
    return tuple(found)
