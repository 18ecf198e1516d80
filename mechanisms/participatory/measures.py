r"""How unequal utilities are, and what people think of it, in O(n log n).

With utilities sorted and :math:`d_l = u_{(l)} - u_{(l-1)}`, agent of rank r is ahead of the others by
:math:`\sum_{l \le r} (l - 1) d_l` and behind them by :math:`\sum_{l > r} (n - l + 1) d_l` in total. All terms are
positive, so nothing cancels, and no pair of agents is ever looked at.

All functions take NumPy, JAX arrays and lists. Where numbers are known they compute in NumPy's float64; inside a JAX
program (`jit`, `vmap`, `grad`) in JAX, in the dtype that came.
"""

from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ...models._check import require
from ._check import ROUNDING, check_social, common_batch, numbers, traced

#: From so many agents on, orders are found in the bits.
MANY = 1 << 14

Vector = Float[Any, "*batch agents"]
Number = Float[Any, "*batch"]


class Inequality(eqx.Module):
    """How far each agent is behind the others, and ahead of them, on average.

    Attributes:
        disadvantage: I+, `[..., agents]`, in units of utility: sum of what others have more, over n - 1.
        advantage: I-, `[..., agents]`: sum of what others have less, over n - 1.
    """

    disadvantage: Vector
    advantage: Vector


def inequality(utilities: Any) -> Inequality:
    r"""How far each agent is behind the others, and ahead of them, on average.

    .. math:: I^+_i = \frac{1}{n-1} \sum_{k \ne i} (u_k - u_i)^+, \qquad I^-_i = \frac{1}{n-1} \sum_{k \ne i} (u_i -
    u_k)^+

    Mind the sign: I+ is about others who are *richer*. Both are 0 for a single agent.

    Args:
        utilities: `[..., agents]`, finite.

    Returns:
        Fields `disadvantage` (I+) and `advantage` (I-), in units of utility.

    Raises:
        ValueError: no agent, or an entry that is not finite.

    Source: Shirali, Finocchiaro and Abebe (2024), equations 10 and 11 [P]; the sorted form is ours [D].

    Example:
        >>> inequality([3.0, 1.0, 0.0]).disadvantage.tolist()
        [0.0, 1.0, 2.0]
    """
    if traced(utilities):
        return _inequality(jnp.asarray(utilities), None, jnp)
    return _inequality(_utilities(utilities), None, np)


def welfare(utilities: Any, alpha: Any, beta: Any) -> Number:
    r"""What utilities are worth to people who mind inequality, summed over them.

    .. math:: W(u) = \sum_i u_i - Q(u), \qquad Q(u) = \sum_i \alpha_i I^+_i + \beta_i I^-_i

    Args:
        utilities: `[..., agents]`.
        alpha: `[..., agents]` or a number, aversion to being behind, dimensionless; may be negative.
        beta: `[..., agents]` or a number, aversion to being ahead.

    Returns:
        `[...]`, in units of utility.

    Raises:
        ValueError: shapes that do not fit, or an entry that is not finite.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 9 [P], after Fehr and Schmidt (1999).

    Example:
        >>> float(welfare([1.0, 0.0], 0.3, 0.2))  # 1 - 0.2 for the one ahead, - 0.3 for the one behind
        0.5
    """
    u, a, b, xp = _arguments(utilities, alpha, beta)
    return weighted_welfare(u, a, b, None, xp)


def supergradient(utilities: Any, alpha: Any, beta: Any) -> Vector:
    r"""A slope of welfare: how much more than one util it is worth to give an agent one util.

    At utilities in strict order, with `below` and `above` counting the others,

    .. math:: (n - 1)\, \sigma_i = \alpha_i \#\text{above} - \beta_i \#\text{below}
        - \sum_{\text{below}} \alpha_k + \sum_{\text{above}} \beta_k

    so that :math:`W(u) = \sum_i (1 + \sigma_i) u_i` and :math:`\sum_i \sigma_i = 0`. It is a vertex of the base
    polytope Σ of duals. At ties any order gives a supergradient and the same W; here the later index counts as above.
    At an optimum with equal utilities the *optimal* dual is usually no vertex: take `Solution.sigma`, not this.

    Args:
        utilities: `[..., agents]`.
        alpha: `[..., agents]` or a number.
        beta: `[..., agents]` or a number.

    Returns:
        sigma, `[..., agents]`, dimensionless.

    Raises:
        ValueError: shapes that do not fit, or an entry that is not finite.

    Source: [D].

    Example:
        >>> supergradient([1.0, 0.0], 0.3, 0.2).tolist()
        [-0.5, 0.5]
    """
    u, a, b, xp = _arguments(utilities, alpha, beta)
    return weighted_supergradient(u, a, b, None, xp)


def is_concave(alpha: Any, beta: Any) -> Bool[Any, "*batch"]:
    r"""Whether welfare is concave, so that an optimum can be certified.

    .. math:: \alpha_i + \beta_i + \alpha_k + \beta_k \ge 0 \quad \text{for all } i \ne k

    The two smallest values of alpha + beta decide. Negative weights are fine as long as this holds. Rounding of a
    part in 1e12 is forgiven.

    Args:
        alpha: `[..., agents]`, or a number, which stands for one agent.
        beta: `[..., agents]`, or a number.

    Returns:
        bool, `[...]`.

    Raises:
        ValueError: shapes that do not fit, or an entry that is not finite.

    Source: [D].

    Example:
        >>> bool(is_concave([-0.3, 0.1], [0.1, 0.2])), bool(is_concave([-0.3, 0.1], [0.1, 0.0]))
        (True, False)
    """
    if traced(alpha, beta):
        xp, alpha, beta = jnp, jnp.asarray(alpha), jnp.asarray(beta)
    else:
        xp, alpha, beta = np, numbers(alpha, "alpha"), numbers(beta, "beta")
    shape = _broadcast(("alpha", alpha.shape), ("beta", beta.shape))
    require(shape[-1:] != (0,), f"`alpha` must have at least one agent; got shape {shape}.")
    if shape in ((), (1,)) or shape[-1] == 1:
        return xp.ones(shape[:-1], bool)
    alpha, beta = xp.broadcast_to(alpha, shape), xp.broadcast_to(beta, shape)
    total, scale = alpha + beta, xp.abs(alpha) + xp.abs(beta)
    least = xp.argsort(total, -1)[..., :2] if xp is jnp else np.argpartition(total, 1, -1)[..., :2]
    two = lambda x: xp.take_along_axis(x, least, -1).sum(-1)
    rounding = ROUNDING if total.dtype == np.float64 else 1e-6
    return two(total) >= -rounding * two(scale)


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


def _inequality(u: Any, counts: Any, xp: ModuleType) -> Inequality:
    n = u.shape[-1]
    if n == 1:
        return Inequality(xp.zeros_like(u), xp.zeros_like(u))
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
    return Inequality(_unsort(behind, order, xp), _unsort(ahead, order, xp))


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


def _utilities(utilities: Any) -> np.ndarray:
    u = numbers(utilities, "utilities")
    require(u.ndim >= 1 and u.shape[-1] >= 1, f"`utilities` must be [..., agents]; got shape {u.shape}.")
    return u


def _arguments(utilities: Any, alpha: Any, beta: Any) -> tuple[Any, Any, Any, ModuleType]:
    """Utilities and weights in one shape and one dtype, and who computes."""
    if traced(utilities, alpha, beta):
        u, a, b = (jnp.asarray(x) for x in (utilities, alpha, beta))
        shape = _broadcast(("utilities", u.shape), ("alpha", a.shape), ("beta", b.shape))
        dtype = jnp.result_type(u, a, b, jnp.float32)
        u, a, b = (jnp.broadcast_to(x.astype(dtype), shape) for x in (u, a, b))
        return u, a, b, jnp
    u = _utilities(utilities)
    a, b = check_social(alpha, "alpha", u.shape[-1]), check_social(beta, "beta", u.shape[-1])
    batch = common_batch(("utilities", u.shape[:-1]), ("alpha", a.shape[:-1]), ("beta", b.shape[:-1]))
    u, a, b = (np.broadcast_to(x, (*batch, u.shape[-1])) for x in (u, a, b))
    return u, a, b, np


def _broadcast(*named: tuple[str, tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(shape for _, shape in named))
    except ValueError:
        told = ", ".join(f"`{name}` is {shape}" for name, shape in named)
        raise ValueError(f"shapes must agree, one entry an agent or a number: {told}.") from None
