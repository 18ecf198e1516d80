"""Sums over ranks, by one sort: what `measures` computes, for rows that may stand for several agents.

`xp` is NumPy, or JAX inside a program. Arguments of a call have one shape.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: From so many agents on, orders are found in the bits.
MANY = 1 << 14


def weighted_welfare(u: Any, alpha: Any, beta: Any, counts: Any = None, xp: ModuleType = np) -> Any:
    """`welfare`, where row k stands for `counts[k]` agents; arguments of one shape."""
    n = u.shape[-1]
    plain = u.sum(-1) if counts is None else (counts * u).sum(-1)
    if n == 1:
        return plain
    order, ranked = _order(u, xp)
    sort = lambda x: _take(x, order, xp)
    step = ranked[..., 1:] - ranked[..., :-1]
    behind, ahead = _take_both(alpha, beta, order, xp)
    if counts is None:
        total, below = n, xp.broadcast_to(xp.arange(1, n, dtype=u.dtype), step.shape)
    else:
        g = sort(xp.broadcast_to(counts.astype(u.dtype), u.shape))
        total, behind, ahead = counts.sum(), g * behind, g * ahead
        below = _sums(g, xp)[..., :-1]
    mine = _sums(behind, xp)[..., :-1]  # alpha of those below the step
    theirs = _sums(ahead, xp)
    theirs = theirs[..., -1:] - theirs[..., :-1]  # beta of those above it
    penalty = step * (below * theirs + (total - below) * mine)
    return plain - penalty.sum(-1) / (total - 1)


def weighted_supergradient(u: Any, alpha: Any, beta: Any, counts: Any = None, xp: ModuleType = np) -> Any:
    """`supergradient`, where row k stands for `counts[k]` agents, each of which has its entry: sum counts * sigma = 0."""
    n = u.shape[-1]
    if counts is None:
        one, total, ranks = 1, n, xp.arange(n, dtype=u.dtype)
    else:
        one, total = counts.astype(u.dtype), counts.sum()
    if n == 1:
        return xp.zeros_like(u)
    order, _ = _order(u, xp)
    sort = lambda x: _take(xp.broadcast_to(x, u.shape), order, xp)
    a, b = sort(alpha), sort(beta)
    g = 1 if counts is None else sort(one)
    below = ranks if counts is None else _sums(g, xp) - g
    above = total - below - g
    mine, theirs = g * a, g * b
    if counts is None:
        below, above = xp.broadcast_to(below, u.shape), xp.broadcast_to(above, u.shape)
    lower, upper = _sums(mine, xp) - mine, _sums(theirs[..., ::-1], xp)[..., ::-1] - theirs
    sigma = (a * above - b * below - lower + upper) / (total - 1)
    return _unsort(sigma, order, xp)


def weighted_inequality(u: Any, counts: Any = None, xp: ModuleType = np) -> tuple[Any, Any]:
    """I+ and I-, where row k stands for `counts[k]` agents."""
    n = u.shape[-1]
    if n == 1:
        return xp.zeros_like(u), xp.zeros_like(u)
    order, ranked = _order(u, xp)
    step = ranked[..., 1:] - ranked[..., :-1]
    if counts is None:
        total, below = n, xp.broadcast_to(xp.arange(1, n, dtype=u.dtype), step.shape)
    else:
        total = counts.sum()
        g = _take(xp.broadcast_to(counts.astype(u.dtype), u.shape), order, xp)
        below = _sums(g, xp)[..., :-1]
    none = xp.zeros_like(u[..., :1])
    ahead = xp.concatenate([none, _sums(below * step, xp)], -1) / (total - 1)
    behind = xp.concatenate([_sums(((total - below) * step)[..., ::-1], xp)[..., ::-1], none], -1) / (total - 1)
    return _unsort(behind, order, xp), _unsort(ahead, order, xp)


def _take(x: Any, order: Any, xp: ModuleType) -> Any:
    if xp is np and not any(x.strides):  # one number for all
        return x
    return x.take(order, mode="clip") if xp is np and x.ndim == 1 else xp.take_along_axis(x, order, -1)


def _order(u: Any, xp: ModuleType) -> tuple[Any, Any]:
    """What sorts the last axis, and that sorted.

    NumPy sorts whole numbers several times faster than it finds an order. Positive floats are ordered as their bits are,
    so many of them are sorted with the index in place of the lowest bits; those that are alike but for these are put
    right after.
    """
    n = u.shape[-1]
    if xp is jnp or u.ndim > 1 or n < MANY:
        order = xp.argsort(u, -1)
        return order, _take(u, order, xp)
    mask = np.int64((1 << (n - 1).bit_length()) - 1)
    key = (u - u.min() + 0.0).view(np.int64)
    key &= ~mask
    key |= np.arange(n)
    key.sort()
    alike = np.flatnonzero((key[1:] ^ key[:-1]) <= mask)
    key &= mask
    if len(alike):
        at = np.union1d(alike, alike + 1)
        some = key[at]
        key[at] = some[np.argsort(u[some])]
    return key, np.sort(u)


def _take_both(x: Any, y: Any, order: Any, xp: ModuleType) -> tuple[Any, Any]:
    """`_take` of two arrays: looking up pairs of numbers takes little longer than looking up numbers."""
    if xp is jnp or x.ndim > 1 or len(x) < MANY or not any(x.strides) or not any(y.strides):
        return _take(x, order, xp), _take(y, order, xp)
    both = np.empty(len(x), complex)
    both.real, both.imag = x, y
    both = both.take(order, mode="clip")
    return both.real, both.imag


def _sums(x: Any, xp: ModuleType) -> Any:
    """Running sums of the last axis; JAX's own are slow in big programs on CPUs."""
    if xp is np and not any(x.strides):
        return x * np.arange(1, x.shape[-1] + 1)
    return jax.lax.associative_scan(jnp.add, x, axis=x.ndim - 1) if xp is jnp else np.cumsum(x, -1)


def _unsort(x: Any, order: Any, xp: ModuleType) -> Any:
    if xp is jnp:
        return jnp.put_along_axis(jnp.zeros_like(x), order, x, -1, inplace=False)
    out = np.empty_like(x)
    np.put_along_axis(out, order, x, -1)
    return out
