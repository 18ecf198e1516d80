"""How far an allocation is from Pareto efficient: the exact fractional factor, by a linear program, and its certificate."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.optimize import linprog

from ..models._check import as_array, concrete, require
from ..models.population import Population
from .base import Allocation


class ParetoFactor(eqx.Module):
    """What `pareto_factor` found.

    Attributes:
        factor: 1/θ*, in [0, 1]; 1 means that no fractional allocation is better for all. It is the certificate at `weights`,
            so that anyone can recompute it.
        weights: `[agents]`, the dual weights that prove it, the greatest 1; an agent with utility 0 has weight 0, and all have
            weight 1 where nobody has any. In units of 1/value.
        certificate: the lower bound on `factor` at the weights that were given; None without.
        gap: how far above `factor` the best fractional allocation found would put it; round-off only.
    """

    factor: float
    weights: Float[np.ndarray, " agents"]
    certificate: float | None
    gap: float


def pareto_factor(values: Any, allocation: Any, weights: Any = None) -> ParetoFactor:
    r"""The greatest α such that no fractional allocation gives every agent more than 1/α of her utility.

    .. math:: \frac1\alpha = \theta^* = \max_{x \ge 0,\, \sum_i x_{ij} \le 1}
        \min_{i : u_i > 0} \frac{\sum_j v_{ij} x_{ij}}{u_i}
        = \min_{w \ge 0} \frac{\sum_j \max_i w_i v_{ij}}{\sum_i w_i u_i}

    Any weights bound α from below (`certificate`), and the dual solution attains it. Agents with utility 0 drop out of the
    constraints; if all do, the factor is 0. One profile, on the host, in float64: not for use inside `jit`.

    Args:
        values: `[agents, items]`, one profile of true values, a `Population` or an array; finite and not negative.
        allocation: an `Allocation` with shares `[agents, items]`, or the owner of each item `[items]`.
        weights: `[agents]`, not negative and not all 0: where to evaluate the certificate.

    Returns:
        A `ParetoFactor`: `factor`, `weights`, `certificate`, `gap`.

    Raises:
        ValueError: an argument has a wrong shape or entries out of range, or is not known (inside `jit`).
        RuntimeError: the solver stopped without an optimum, which no valid input is known to cause.

    Source: Halpern, Psomas and Zhang, section 2 and the proof of theorem A.1 for the certificate [P]; the linear program and
    its dual are [D].

    Example:
        >>> values = np.array([[3.0, 1.0], [1.0, 2.0]])
        >>> pareto_factor(values, [0, 1]).factor, round(pareto_factor(values, [1, 0], weights=[1, 1]).certificate, 3)
        (1.0, 0.4)
    """
    v = _values(values)
    x = _shares(allocation, v.shape)
    u = np.sum(v * x, 1)
    given = None if weights is None else _certificate(v, u, _weights(weights, len(v)))
    if not np.any(u > 0):
        return ParetoFactor(0.0, np.ones(len(v)), given, 0.0)
    dual, upper = _solve(v, u)
    factor = _certificate(v, u, dual)
    return ParetoFactor(factor, dual, given, max(upper - factor, 0.0))


def _certificate(v: np.ndarray, u: np.ndarray, w: np.ndarray) -> float:
    most = np.sum(np.max(w[:, None] * v, 0))
    # Never above 1 but by round-off, since the allocation itself is among those compared.
    return float(min(w @ u / most, 1.0)) if most > 0 else 0.0


def _solve(v: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, float]:
    """Dual weights, and the factor that the best allocation found would give: an upper bound, as that one is feasible."""
    keep = np.flatnonzero(u > 0)
    top = v[keep].max(1)
    a, need = (
        v[keep] / top[:, None],
        u[keep] / top,
    )  # each agent in her own unit, so that no scale is hard for the solver
    unit = need.max()
    n, m = a.shape
    agent, item = np.nonzero(a)
    cell = np.arange(agent.size)
    worth = sparse.coo_array((-a[agent, item], (agent, cell)), (n, agent.size))
    given = sparse.coo_array((np.ones(agent.size), (item, cell)), (m, agent.size))
    target = sparse.coo_array(need[:, None] / unit)
    rows = sparse.block_array([[worth, target], [given, None]], format="csr")
    cost = np.append(np.zeros(agent.size), -1.0)
    found = linprog(cost, rows, np.append(np.zeros(n), np.ones(m)), bounds=(0, None), method="highs")
    if found.status != 0:
        raise RuntimeError(f"HiGHS could not solve the linear program of `pareto_factor`: {found.message}")
    w = np.zeros(len(v))
    w[keep] = np.maximum(-found.ineqlin.marginals[:n], 0) / top
    x = np.maximum(found.x[:-1], 0)
    x = x / np.maximum(np.atleast_1d(given @ x), 1)[item]
    best = np.bincount(agent, a[agent, item] * x, n)
    # Needs below the solver's tolerance are met by giving everybody a little of everything.
    little = np.append(0.0, np.logspace(-15, -3, 49))[:, None]
    theta = np.max(np.min(((1 - little) * best + little * a.sum(1) / n) / need, 1))
    return w / w.max(), float(1 / max(theta, 1.0))


def _values(values: Any) -> np.ndarray:
    v = concrete(as_array(values.values if isinstance(values, Population) else values))
    require(v is not None, "`values` must be known numbers: `pareto_factor` runs on the host, outside `jit`.")
    assert v is not None
    require(v.ndim == 2 and v.size > 0, f"`values` must be one profile [agents, items]; got shape {v.shape}.")
    require(np.all(np.isfinite(v) & (v >= 0)), "`values` must be finite and not negative.")
    return v.astype(np.float64)


def _shares(allocation: Any, shape: tuple[int, ...]) -> np.ndarray:
    agents, items = shape
    if isinstance(allocation, Allocation):
        x = concrete(allocation.shares)
        require(x is not None, "`allocation` must be known numbers: `pareto_factor` runs on the host, outside `jit`.")
        assert x is not None
        require(x.shape == shape, f"`allocation` must have shares {shape} like `values`, got {x.shape}.")
        total = x.sum(0, dtype=np.float64)
        require(
            np.all(x >= 0) and np.all(total <= 1 + 1e-6),
            "`allocation` must have shares that are not negative and sum to at most 1 on each item.",
        )
        return x.astype(np.float64)
    owner = concrete(np.asarray(allocation) if isinstance(allocation, list | tuple) else allocation)
    require(
        owner is not None and owner.dtype.kind in "iu" and owner.shape == (items,),
        f"`allocation` must be an `Allocation`, or the owner of each of the {items} items as whole numbers [items].",
    )
    assert owner is not None
    require(
        np.all((owner >= 0) & (owner < agents)),
        f"`allocation` must name owners 0 to {agents - 1}, got {owner.min()} to {owner.max()}.",
    )
    return (np.arange(agents)[:, None] == owner).astype(np.float64)


def _weights(weights: Any, agents: int) -> np.ndarray:
    w = concrete(as_array(weights))
    require(
        w is not None and w.shape == (agents,) and np.all(np.isfinite(w) & (w >= 0)) and np.any(w > 0),
        f"`weights` must be {agents} finite numbers, one an agent, not negative and not all 0; got {weights!r}.",
    )
    assert w is not None
    return w.astype(np.float64)
