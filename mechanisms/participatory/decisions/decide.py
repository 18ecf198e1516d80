"""Deciding once, before people's view of inequality is known for sure."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from ....models._check import require
from .._check import check_social, check_tolerance, check_values, common_batch
from ..compare import compare
from ..measures import is_concave, welfare
from ..solvers.solution import Solution
from ..solvers.solve import solve

Number = Float[Any, ""]
PerDraw = Float[Any, " draws"]


class Decision(eqx.Module):
    """One allocation for all that may be true, and what knowing more would be worth.

    Attributes:
        committed: `Solution` at the posterior mean of alpha and beta, which is best on average.
        expected_welfare: mean over draws of W(committed; draw), in utils.
        value_of_information: EVPI, mean over draws of `regret`, at least 0.
        regret: `[draws]`, W*(draw) - W(committed; draw).
        loss: `[draws]`, total utility that the best allocation for the draw gives up. It takes few values: show its atoms.
        gain: `[draws]`, welfare which that allocation has more than the one of greatest total utility.
        concave: `[draws]`, whether welfare is concave at the draw. Where not, the other numbers are NaN.
        used: how many draws the means are over, those that are concave.
        status: empty, or a sentence on draws that were left out.
    """

    committed: Solution
    expected_welfare: Number
    value_of_information: Number
    regret: PerDraw
    loss: PerDraw
    gain: PerDraw
    concave: Bool[Array | np.ndarray, " draws"]
    used: int = eqx.field(static=True)
    status: str = eqx.field(static=True, default="")


def decide(
    values: Any, alpha: Any, beta: Any, *, caps: Any = 1.0, disposal: str = "forbidden", tol: float = 1e-6
) -> Decision:
    r"""The one allocation that is best on average over what we believe of people, and what we may regret.

    .. math:: \max_x E\, W(x; \theta) = W^*(E\,\theta), \qquad
        \text{EVPI} = E\, W^*(\theta) - E\, W(x; \theta) \ge 0

    At fixed shares welfare is linear in theta = (alpha, beta), so the mean of the draws is all that matters: not their median,
    and not the mean of draws cut to some range. The mean is taken over all draws, whether concave or not, and must be concave
    itself.

    Args:
        values: `[agents, items]`, known, in utils. Where they are not, W is not linear in them: average over draws of both by
            `solve`.
        alpha: draws `[draws, agents]`, or what broadcasts to them. `beta`: the same.
        caps: as in `solve`. `disposal`: as in `solve`.
        tol: relative gap of each solve.

    Returns:
        `Decision`.

    Raises:
        ValueError: bad input, no draws, or a mean that is not concave, or no draw that is.
        RuntimeError: a gap above `tol`.

    Source: [D]; expected value of perfect information after Raiffa and Schlaifer (1961).

    Example:
        >>> alpha = np.array([[0.0, 0.0], [0.5, 0.5]])
        >>> found = decide([[1.0], [0.8]], alpha, 0.0)
        >>> found.committed.shares.round(4).tolist(), found.regret.round(4).tolist()
        ([[0.4444], [0.5556]], [0.1111, 0.0])
    """
    values, alpha, beta = draws_of(values, alpha, beta)
    tol, _ = check_tolerance(tol)
    fine = np.asarray(is_concave(alpha, beta))
    require(fine.any(), "`alpha` and `beta` make welfare nonconcave in every draw: there is nothing to average over.")
    how = {"caps": caps, "disposal": disposal, "tol": tol}
    committed = solve(values, alpha.mean(0), beta.mean(0), **how)
    sides = compare(values, alpha[fine], beta[fine], **how)
    here = np.asarray(welfare(np.broadcast_to(committed.utilities, alpha.shape), alpha, beta))
    short = lambda x: _spread(np.asarray(x), fine)
    # Of two answers within the gap of each other the better one counts.
    regret = np.maximum(np.asarray(sides.participatory.primal) - here[fine], 0.0)
    used = int(fine.sum())
    left = fine.size - used
    status = f"{left} of {fine.size} draws are not concave and left out: means are over {used}." if left else ""
    return Decision(
        committed,
        here[fine].mean(),
        regret.mean(),
        short(regret),
        short(sides.loss),
        short(sides.gain),
        fine,
        used,
        status,
    )


def draws_of(values: Any, alpha: Any, beta: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One society's values, and alpha and beta as `[draws, agents]`, float64."""
    values = check_values(values)
    require(values.ndim == 2, f"`values` must be [agents, items], one society for all draws; got shape {values.shape}.")
    n = len(values)
    alpha, beta = check_social(alpha, "alpha", n), check_social(beta, "beta", n)
    batch = common_batch(("alpha", alpha.shape[:-1]), ("beta", beta.shape[:-1]))
    require(
        len(batch) == 1 and batch[0] >= 1,
        f"`alpha` and `beta` must be draws, [draws, agents]; their leading axes are {batch}. For one draw pass `solve` instead.",
    )
    return values, np.broadcast_to(alpha, (*batch, n)), np.broadcast_to(beta, (*batch, n))


def _spread(x: np.ndarray, fine: np.ndarray) -> np.ndarray:
    out = np.full(fine.shape, np.nan)
    out[fine] = x
    return out
