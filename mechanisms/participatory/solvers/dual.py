r"""The bound that makes an answer certain: D(σ) is at least the best welfare, for every σ in the base polytope Σ.

.. math:: W^* = \min_{\sigma \in \Sigma} D(\sigma), \qquad
    D(\sigma) = \sum_j \max_{x_j \in X_j} \sum_i (1 + \sigma_i) a_{ij} x_{ij}

Given σ each item goes to the agents with the greatest weight :math:`(1 + \sigma_i) a_{ij}`, each up to her cap:
`fill`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....models._check import require
from .._check import (
    ROUNDING,
    check_caps,
    check_disposal,
    check_room,
    check_values,
    common_batch,
    numbers,
    traced,
)

#: Numbers looked at in one pass, so that no more than this is copied.
BLOCK = 1 << 22


def dual_value(sigma: Any, values: Any, *, caps: Any = 1.0, disposal: Any = "forbidden") -> Float[Any, "*batch"]:
    r"""An upper bound on what any allocation is worth, from weights on the agents.

    .. math:: D(\sigma) = \sum_j \max_{x_j \in X_j} \sum_i (1 + \sigma_i) a_{ij} x_{ij} \ge W^*
        \quad \text{for every } \sigma \in \Sigma

    NumPy, JAX arrays and lists are taken; inside a JAX program the same is computed by JAX. Whether sigma lies in Σ
    is not
    checked: those of `supergradient` and of the solvers do.

    Args:
        sigma: `[..., agents]`, in Σ; 0 gives the greatest total utility where 0 lies in Σ.
        values: `[..., agents, items]`, in utils.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" (all is given away) or "free".

    Returns:
        `[...]`, in utils.

    Raises:
        ValueError: shapes that do not fit, negative or non-finite numbers, or caps that leave no way to give all
            away.

    Source: [D]; the program is that of Shirali, Finocchiaro and Abebe (2024), equation 3.

    Example:
        >>> float(dual_value([0.0, 0.0], [[3.0, 1.0], [2.0, 2.0]]))
        5.0
    """
    disposal = check_disposal(disposal)
    if traced(sigma, values, caps):
        sigma, values, caps = jnp.asarray(sigma), jnp.asarray(values), caps if traced(caps) else np.asarray(caps)
        xp, dtype = jnp, jnp.result_type(sigma, values, jnp.float32)
        sigma, values = sigma.astype(dtype), values.astype(dtype)
    else:
        xp, sigma, values = np, numbers(sigma, "sigma"), check_values(values)
    require(
        np.ndim(values) >= 2 and sigma.shape[-1:] == values.shape[-2:-1],
        f"`sigma` must have one entry an agent: `values` is {values.shape}, `sigma` is {sigma.shape}.",
    )
    if not traced(caps):
        caps = check_caps(caps, values.shape[-1])
        check_room(caps, disposal, values.shape[-2])
    batch = common_batch(("sigma", sigma.shape[:-1]), ("values", values.shape[:-2]))
    sigma = xp.broadcast_to(sigma, (*batch, sigma.shape[-1]))
    values = xp.broadcast_to(values, (*batch, *values.shape[-2:]))
    if xp is np:
        out = np.empty(batch)
        for at in np.ndindex(batch):
            out[at] = bound(sigma[at], values[at], caps, disposal)
        return out[()]
    one = functools.partial(_bound_jax, caps=caps, disposal=disposal)
    for _ in batch:
        one = jax.vmap(one)
    return one(sigma, values)


def bound(
    sigma: np.ndarray, values: np.ndarray, caps: np.ndarray, disposal: str, counts: np.ndarray | None = None
) -> Any:
    """D(σ) of checked problems on the host, `[...]`; `counts` as in `solve`. Items are streamed in blocks."""
    batch, (n, m) = values.shape[:-2], values.shape[-2:]
    if batch and not (counts is None and (caps >= 1).all() and values.size <= BLOCK):
        each = [bound(sigma[at], values[at], caps, disposal, counts) for at in np.ndindex(batch)]
        return np.array(each).reshape(batch)
    width = max(1, BLOCK // n)
    each = np.empty((*batch, m))
    for j in range(0, m, width):
        weights = (1 + sigma)[..., None] * values[..., j : j + width]
        each[..., j : j + width] = _best(weights, caps[j : j + width], disposal, counts)
    return each.sum(-1) if batch else float(each.sum())


def fill(
    weights: np.ndarray, caps: np.ndarray, disposal: str = "forbidden", counts: np.ndarray | None = None
) -> np.ndarray:
    """The shares that maximise the weighted sum: each item to its best agents, each up to her cap.

    Ties go to the lower index. Under free disposal nothing goes where the weight is negative.

    Args:
        weights: `[agents, items]`, any sign; with `counts`, of one member.
        caps: `[items]`.
        disposal: "forbidden" or "free".
        counts: `[agents]`, how many agents each row stands for.

    Returns:
        Shares `[agents, items]`, of one member of each row.
    """
    n, m = weights.shape
    shares = np.zeros((n, m))
    if counts is None and (caps >= 1).all():
        best = weights.argmax(0)
        shares[best, np.arange(m)] = 1.0
        if disposal == "free":
            shares[:, weights.max(0) < 0] = 0.0
        return shares
    width = max(1, BLOCK // n)
    for j in range(0, m, width):
        now = weights[:, j : j + width]
        order = np.argsort(-now, axis=0, kind="stable")
        room = np.broadcast_to(caps[j : j + width], now.shape)
        if counts is not None:
            room = room * counts[order]
        got = _pour(room)
        if disposal == "free":
            got = np.where(np.take_along_axis(now, order, 0) < 0, 0.0, got)
        if counts is not None:
            got = got / counts[order]
        np.put_along_axis(shares[:, j : j + width], order, got, 0)
    return shares


def fill_jax(weights: Array, caps: Any, disposal: str = "forbidden") -> Array:
    """`fill` inside a JAX program, `[agents, items]`; caps may be traced."""
    order = jnp.argsort(-weights, 0, stable=True)
    ranked = jnp.take_along_axis(weights, order, 0)
    got = _places(ranked.shape[0], caps, ranked)
    if disposal == "free":
        got = jnp.where(ranked < 0, 0, got)
    return jnp.put_along_axis(jnp.zeros_like(weights), order, got, 0, inplace=False)


def _best(weights: np.ndarray, caps: np.ndarray, disposal: str, counts: np.ndarray | None) -> np.ndarray:
    """The weighted sum of `fill`, item by item."""
    n = weights.shape[-2]
    if counts is None and (caps >= 1).all():
        top = weights.max(-2)
        return np.maximum(top, 0) if disposal == "free" else top
    if counts is not None:
        return (weights * counts[:, None] * fill(weights, caps, disposal, counts)).sum(0)
    served = min(n, int(np.ceil(1 / caps.min())))
    top = weights if served == n else np.partition(weights, n - served, 0)[n - served :]
    top = np.sort(top, 0)[::-1]
    if disposal == "free":
        top = np.maximum(top, 0)
    return (top * _pour(np.broadcast_to(caps, top.shape))).sum(0)


def _pour(room: np.ndarray) -> np.ndarray:
    """One unit of each item, poured into rows of this much room one after another."""
    before = np.cumsum(room, 0) - room
    got = np.clip(1 - before, 0, room)
    return np.where(got < ROUNDING, 0.0, got)  # what 1 - k b leaves by rounding is nobody's


def _places(rows: int, caps: Any, like: Array) -> Array:
    """The share of the r-th best agent, clip(1 - r b, 0, b); what rounding leaves is nobody's."""
    b = jnp.broadcast_to(jnp.asarray(caps, like.dtype), like.shape[1:])[None]
    rank = jnp.arange(rows, dtype=like.dtype)[:, None]
    left = 1 - rank * b
    left = jnp.where(left < 8 * jnp.finfo(like.dtype).eps, 0, left)
    return jnp.minimum(left, b)


def _bound_jax(sigma: Array, values: Array, *, caps: Any, disposal: str) -> Array:
    weights = (1 + sigma)[:, None] * values
    if isinstance(caps, np.ndarray):  # known while tracing: only as many agents as an item can be split among
        served = min(weights.shape[0], int(np.ceil(1 / caps.min() - ROUNDING)))
        ranked = jax.lax.top_k(weights.T, served)[0].T if served > 1 else weights.max(0, keepdims=True)
    else:
        ranked = -jnp.sort(-weights, 0)
    if disposal == "free":
        ranked = jnp.maximum(ranked, 0)
    return (ranked * _places(ranked.shape[0], caps, ranked)).sum()
