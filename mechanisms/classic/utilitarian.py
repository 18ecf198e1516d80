"""The greatest sum of reported utilities, with a bound that anybody can recompute."""

from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._host import host_call
from ...models.population import Population
from ...models.supply import Items, Menu
from ..base import AbstractMechanism, Allocation, Certificate
from ..promises import Feasible

if TYPE_CHECKING:
    from ..promises import AbstractPromise

SOLVED = {"float32": 1e-5, "float64": 1e-9}


class Utilitarian(AbstractMechanism):
    r"""The feasible shares of greatest reported welfare, `supply.best(values)`: the first best if all tell the truth.

    For `Items` each item goes to who values it most; for `Menu` the assignment linear programme is solved by HiGHS on
    the host. The certificate has the `value` reached and the `bound` of weak duality, which holds for *any* prices
    :math:`p \ge 0` of the goods:

    .. math:: \sum_{i,o} v_{io} x_{io} \;\le\; \sum_g p_g\,\mathrm{capacity}_g + \sum_i \max_o
        \Big( v_{io} - \sum_g \mathrm{uses}_{og}\, p_g \Big).

    The `price` given is a dual solution, so the two meet: the residual is their gap relative to the value. It is also
    what one more unit of a good is worth. For other supplies `bound` and `price` are absent and the residual only says
    whether a number came back.

    **No incentive promise**: claiming ten times as much for everything pays. Sums of utilities mean something only
    where the unit is common to all.

    Source: Koopmans and Beckmann (1957), for the assignment and its prices.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> Utilitarian().allocate(Population(jnp.array([[2.0, 1.0], [1.0, 3.0]]))).shares.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    deterministic: ClassVar[bool] = True

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        del key
        values, supply = jnp.asarray(reported.values), reported.supply
        shares = supply.best(values)
        value = reported.utility(shares).sum()
        parts = {"value": value}
        if isinstance(supply, Items):
            price = values.max(0) if supply.all_given else jnp.maximum(values.max(0), 0)
            parts |= {"price": price, "bound": price.sum()}
        elif isinstance(supply, Menu):
            uses, capacity = jnp.asarray(supply.uses, values.dtype), jnp.asarray(supply.capacity, values.dtype)
            price = _prices(values, uses, capacity)
            paid = jnp.where(price > 0, price * capacity, 0.0)  # no price on a good without limit
            parts |= {"price": price, "bound": paid.sum() + jnp.max(values - (uses @ price)[None], -1).sum()}
        gap = parts.get("bound", value) - value
        residual = jnp.abs(gap) / jnp.maximum(1, jnp.abs(value)) + supply.excess(shares)
        certificate = Certificate(
            jnp.where(jnp.isnan(residual), jnp.inf, residual),
            tolerance=SOLVED[str(values.dtype)],
            parts=parts,
            advice="No feasible assignment, or no proof that this one is best: check capacities and -inf values.",
        )
        return Allocation(shares, certificate)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (Feasible(),)


def _prices(
    values: Float[Array, "agents options"], uses: Float[Array, "options goods"], capacity: Float[Array, " goods"]
) -> Float[Array, " goods"]:
    """Prices of the goods that minimise the bound, by HiGHS on the host; batches one by one."""
    return host_call(_dual_lp, jnp.zeros(capacity.shape, values.dtype), values, uses, capacity)


def _dual_lp(values, uses, capacity) -> np.ndarray:
    """Least `capacity @ price + sum(surplus)` with `surplus + uses @ price >= values`; NaN where there is none."""
    import scipy.optimize
    import scipy.sparse as sp

    dtype = np.asarray(values).dtype
    values, uses, capacity = (np.asarray(x, float) for x in (values, uses, capacity))
    (agents, options), goods = values.shape, capacity.size
    limited = np.isfinite(capacity)
    allowed = np.isfinite(values).ravel()
    costs = sp.kron(np.ones((agents, 1)), sp.csr_matrix(uses))
    surplus = sp.kron(sp.eye(agents), np.ones((options, 1)))
    answer = scipy.optimize.linprog(
        np.concatenate([np.where(limited, capacity, 0.0), np.ones(agents)]),
        A_ub=-sp.hstack([costs, surplus]).tocsr()[allowed],
        b_ub=-values.ravel()[allowed],
        bounds=[(0, None if some else 0) for some in limited] + [(None, None)] * agents,
        method="highs",
    )
    return np.full(goods, np.nan, dtype) if answer.x is None else np.maximum(answer.x[:goods], 0.0).astype(dtype)
