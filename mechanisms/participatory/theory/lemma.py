"""Lemma 3.3: who can hold an item that somebody else would still take."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from ....models._check import require
from .._check import check_caps, check_social, check_values, common_batch, numbers
from .closed_forms import plain


class LemmaCheck(eqx.Module):
    """Whether shares pass the test of lemma 3.3.

    Attributes:
        holds: bool, `[...]`: no item violates it by more than the tolerance.
        violation: `[...]`, the largest violation in utils per whole item; 0 or less when there is none.
        item: `[...]`, the item where it is.
        giver: `[...]`, the agent i who is below the cap and would have to have the item.
        holder: `[...]`, the agent k who has some of it; −1 (and i = −1) where no pair can be compared.
    """

    holds: Bool[np.ndarray | np.bool_, "*batch"] = eqx.field(converter=plain)
    violation: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    item: Int[np.ndarray | np.int64, "*batch"] = eqx.field(converter=plain)
    giver: Int[np.ndarray | np.int64, "*batch"] = eqx.field(converter=plain)
    holder: Int[np.ndarray | np.int64, "*batch"] = eqx.field(converter=plain)


def check_lemma_3_3(values: Any, alpha: Any, beta: Any, shares: Any, *, caps: Any = 1.0, tol: Any = 1e-6) -> LemmaCheck:
    r"""Whether an allocation can be the participatory optimum, item by item: no one holds what is worth far too little to them.

    If agent i is below the cap of item j and agent k has some of it, then at an optimum :math:`a_{kj} \ge r_{ik} a_{ij}`,

    .. math::
        r_{ik} = \frac{1 - \beta_i - (\|\alpha\|_1 - \alpha_i)/(n - 1)}{1 + \alpha_k + (\|\beta\|_1 - \beta_k)/(n - 1)}.

    Necessary, not sufficient. Checked multiplied out, so that negative weights and weights above 1 are fine as long as welfare is
    concave, in one pass over the shares: numerator and denominator belong to one agent each, and no pair is looked at.

    Args:
        values: `[..., agents, items]`.
        alpha: `[..., agents]` or a number.
        beta: `[..., agents]` or a number.
        shares: `[..., agents, items]`.
        caps: `[items]` or a number.
        tol: a share within `tol` of 0 or of the cap counts as there; a violation up to `tol` times the item's best value is none.

    Returns:
        `LemmaCheck`, with the worst pair as a witness.

    Raises:
        ValueError: fewer than two agents, or shapes and numbers that do not fit.

    Source: Shirali, Finocchiaro and Abebe (2024), lemma 3.3, equation (17) [P]. For two agents r is that of theorem 3.2.

    Example:
        >>> found = check_lemma_3_3([[1.0], [0.5]], 0.1, 0.1, [[0.0], [1.0]])  # r = 2/3: agent 1 must not lose the item
        >>> bool(found.holds), int(found.giver), int(found.holder)
        (False, 0, 1)
    """
    values = check_values(values)
    n, m = values.shape[-2:]
    require(n >= 2, "`values` must have at least two agents: the lemma is about pairs.")
    alpha, beta = check_social(alpha, "alpha", n), check_social(beta, "beta", n)
    shares, caps = numbers(shares, "shares"), check_caps(caps, m)
    require(
        shares.shape[-2:] == (n, m),
        f"`shares` must be [..., agents, items] like `values`; got shapes {shares.shape} and {values.shape}.",
    )
    batch = common_batch(
        ("values", values.shape[:-2]),
        ("alpha", alpha.shape[:-1]),
        ("beta", beta.shape[:-1]),
        ("shares", shares.shape[:-2]),
    )
    values, shares = (np.broadcast_to(x, (*batch, n, m)) for x in (values, shares))
    give, take = retained(alpha, beta)
    wants = np.where(shares < caps - tol, give[..., None] * values, -np.inf)
    holds = np.where(shares > tol, take[..., None] * values, np.inf)
    giver, holder = wants.argmax(-2), holds.argmin(-2)
    at = lambda x, i: np.take_along_axis(x, i[..., None, :], -2)[..., 0, :]
    drop = lambda x, i, empty: np.where(np.arange(n)[:, None] == i[..., None, :], empty, x)
    others_want, others_hold = drop(wants, giver, -np.inf), drop(holds, holder, np.inf)
    # i and k are two agents: where the best of both lists is one agent, one of the two must be the runner-up.
    options = np.stack(
        [
            np.where(giver == holder, -np.inf, at(wants, giver) - at(holds, holder)),
            others_want.max(-2) - at(holds, holder),
            at(wants, giver) - others_hold.min(-2),
        ],
        -2,
    )
    best = options.max(-2)
    item = np.argmax(best / np.maximum(values.max(-2), np.finfo(float).tiny), -1)
    pick = lambda x: np.take_along_axis(x, item[..., None], -1)[..., 0]
    violation, scale, option = pick(best), pick(values.max(-2)), pick(options.argmax(-2))
    some = np.isfinite(violation)
    i = np.where(option == 1, pick(others_want.argmax(-2)), pick(giver))
    k = np.where(option == 2, pick(others_hold.argmin(-2)), pick(holder))
    return LemmaCheck(
        np.asarray(~some | (violation <= tol * scale)),
        np.asarray(violation),
        np.asarray(item),
        np.asarray(np.where(some, i, -1)),
        np.asarray(np.where(some, k, -1)),
    )


def retained(alpha: Any, beta: Any) -> tuple[Float[np.ndarray, "*batch agents"], Float[np.ndarray, "*batch agents"]]:
    r"""Numerator (of i) and denominator (of k) of :math:`r_{ik}`: the least of 1 + σ_i and the greatest of 1 + σ_k.

    Args:
        alpha: `[..., agents]`, at least two.
        beta: `[..., agents]`.

    Returns:
        Both, `[..., agents]`; :math:`c_{ik} = 1 - \text{give}_i / \text{take}_k` is equation (101).

    Example:
        >>> give, take = retained(np.array([0.1, 0.1]), np.array([0.1, 0.1]))
        >>> (give / take).round(4).tolist()
        [0.6667, 0.6667]
    """
    others = alpha.shape[-1] - 1
    give = 1 - beta - (alpha.sum(-1, keepdims=True) - alpha) / others
    take = 1 + alpha + (beta.sum(-1, keepdims=True) - beta) / others
    return give, take
