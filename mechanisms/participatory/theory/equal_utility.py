"""The best allocation that leaves nobody better off than anybody else, and what it says about the agent who gives up most."""

from typing import Any

import equinox as eqx
import numpy as np
import scipy.optimize
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from ....models._check import require
from .._check import check_caps, check_disposal, check_problem, check_room, check_values, numbers
from ..measures import weighted_welfare
from .bounds import standard_shares
from .closed_forms import plain


class EqualUtility(eqx.Module):
    """The best equal-utility allocation x^e.

    Attributes:
        shares: `[..., agents, items]`; NaN where there is none.
        utility: u^e, `[...]`, what each agent has; NaN where there is none.
        exists: bool, `[...]`.
    """

    shares: Float[np.ndarray, "*batch agents items"]
    utility: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    exists: Bool[np.ndarray | np.bool_, "*batch"] = eqx.field(converter=plain)


def equal_utility(values: Any, *, caps: Any = 1.0, disposal: Any = "forbidden") -> EqualUtility:
    r"""The best allocation under which all agents have the same utility, by a linear program.

    .. math:: \max_{x, t} t \quad \text{s.t.} \quad \sum_j a_{ij} x_{ij} = t \ \text{for all } i

    With enough aversion it is the participatory optimum. Without caps it always exists: shares in proportion to
    :math:`1/\|a_i\|_1` are equal, and whoever values nothing can be given everything [D]. If everybody values everything, t is
    the maximin utility; otherwise it can be less. With caps and no disposal it may not exist.

    Args:
        values: `[..., agents, items]`.
        caps: `[items]` or a number, one agent's largest share.
        disposal: "forbidden" (all is given away) or "free".

    Returns:
        `EqualUtility`.

    Raises:
        ValueError: shapes and numbers that do not fit.

    Source: x^e of Shirali, Finocchiaro and Abebe (2024), proposition 5.2; that it must be the *best* one is ours [D].

    Example:
        >>> round(float(equal_utility([[1.0], [0.5]]).utility), 4)
        0.3333
        >>> bool(equal_utility([[1.0], [0.5]], caps=0.5).exists)
        False
    """
    values = check_values(values)
    n, m = values.shape[-2:]
    caps, disposal = check_caps(caps, m), check_disposal(disposal)
    check_room(caps, disposal, n)
    batch = values.shape[:-2]
    shares, utility = np.full((*batch, n, m), np.nan), np.full(batch, np.nan)
    for at in np.ndindex(batch):
        found = _solve(values[at], caps, disposal)
        if found is not None:
            shares[at], utility[at] = found
    return EqualUtility(shares, utility, np.asarray(~np.isnan(utility)))


def _solve(values: np.ndarray, caps: np.ndarray, disposal: str) -> tuple[np.ndarray, float] | None:
    n, m = values.shape
    scale = float(values.max()) or 1.0
    agents, items = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    cells = np.arange(n * m)
    own = sp.csr_array((values.ravel() / scale, (agents, cells)), shape=(n, n * m))
    equal = sp.hstack([own, sp.csr_array(-np.ones((n, 1)))], format="csr")
    totals = sp.csr_array((np.ones(n * m), (items, cells)), shape=(m, n * m + 1))
    free = disposal == "free"
    answer = scipy.optimize.linprog(
        np.append(np.zeros(n * m), -1.0),
        A_eq=equal if free else sp.vstack([equal, totals]),
        b_eq=np.zeros(n) if free else np.append(np.zeros(n), np.ones(m)),
        A_ub=totals if free else None,
        b_ub=np.ones(m) if free else None,
        bounds=np.stack([np.zeros(n * m + 1), np.append(np.tile(caps, n), np.inf)], 1),
        method="highs",
    )
    if answer.status == 2:
        return None
    if answer.status != 0:
        raise RuntimeError(f"the linear program of `equal_utility` was not solved: {answer.message}")
    shares = np.clip(answer.x[:-1].reshape(n, m), 0.0, caps)
    return shares, float(answer.x[-1] * scale)


class TradeoffBound(eqx.Module):
    """What proposition 5.2 says about the agent who gives up most.

    Attributes:
        tradeoff: IT, the greatest ratio of utility before and after, 0/0 = 1, `[...]`.
        agent: who that is, `[...]`.
        applies: whether the condition of the proposition holds.
        bound: max u(x*) / u^e; an upper bound on `tradeoff` where `applies`, inf where x^e does not exist or leaves nothing.
        simple: max u(x*) / min u(x*); at least `bound` if everybody values everything and there are no caps.
    """

    tradeoff: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    agent: Int[np.ndarray | np.int64, "*batch"] = eqx.field(converter=plain)
    applies: Bool[np.ndarray | np.bool_, "*batch"] = eqx.field(converter=plain)
    bound: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)
    simple: Float[np.ndarray | np.float64, "*batch"] = eqx.field(converter=plain)


def tradeoff_bound(
    values: Any, alpha: Any, beta: Any, shares: Any, *, caps: Any = 1.0, disposal: Any = "forbidden"
) -> TradeoffBound:
    r"""An upper bound on how much the agent who gives up most gives up, where its condition holds.

    Let i give up most, and J be the agents with at least her utility under x^θ. If

    .. math:: Q(x^\theta) \ge \sum_{k \in J} \bigl(u_k(x^\theta) - u_i(x^\theta)\bigr)

    then :math:`\text{IT} \le \max u(x^*) / u^e`. In the paper's case, α = β equal for all,
    :math:`Q = \alpha \sum_k (I^+_k + I^-_k)`: the printed condition leaves out the factor α, and with it the conclusion
    fails. The general form follows from :math:`n u^e = W(x^e) \le W(x^\theta) \le n u_i` [D].

    Args:
        values: `[..., agents, items]`.
        alpha: `[..., agents]` or a number.
        beta: `[..., agents]` or a number.
        shares: `[..., agents, items]`, a participatory optimum.
        caps: `[items]` or a number.
        disposal: "forbidden" or "free".

    Returns:
        `TradeoffBound`.

    Raises:
        ValueError: shapes and numbers that do not fit.

    Source: Shirali, Finocchiaro and Abebe (2024), proposition 5.2 and lemma G.1 [P], condition corrected [D].

    Example:
        >>> found = tradeoff_bound([[1.0], [0.5]], 0.4, 0.4, [[1 / 3], [2 / 3]])
        >>> round(float(found.tradeoff), 3), bool(found.applies), round(float(found.bound), 3)
        (3.0, True, 3.0)
    """
    problem = check_problem(values, alpha, beta, caps, disposal)
    shares = numbers(shares, "shares")
    require(
        shares.shape == problem.values.shape,
        f"`shares` must be like `values`, {problem.values.shape}; got shape {shares.shape}.",
    )
    before = (problem.values * standard_shares(problem.values, problem.caps)).sum(-1)
    after = (problem.values * shares).sum(-1)
    n = after.shape[-1]
    floor = 1e-12 * np.maximum(before.max(-1, keepdims=True), np.finfo(float).tiny)
    ratio = np.where(before > floor, before / np.maximum(after, np.finfo(float).tiny), 1.0)
    agent = ratio.argmax(-1)
    own = np.take_along_axis(after, agent[..., None], -1)
    above = np.maximum(after - own, 0.0).sum(-1)
    q = after.sum(-1) - weighted_welfare(after, problem.alpha, problem.beta)
    slack = 1e-9 * after.sum(-1) / n
    equal = equal_utility(problem.values, caps=problem.caps, disposal=disposal)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(equal.exists, before.max(-1) / equal.utility, np.inf)
        simple = before.max(-1) / before.min(-1)
    return TradeoffBound(
        np.asarray(ratio.max(-1)),
        np.asarray(agent),
        np.asarray((q >= above - slack) & equal.exists),
        np.asarray(np.where(np.isnan(bound), np.inf, bound)),
        np.asarray(np.where(np.isnan(simple), np.inf, simple)),
    )
