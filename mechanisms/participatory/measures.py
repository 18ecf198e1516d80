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
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ...models._check import require
from ._check import ROUNDING, check_social, common_batch, numbers, traced
from ._ranks import weighted_inequality
from ._ranks import weighted_supergradient as weighted_supergradient
from ._ranks import weighted_welfare as weighted_welfare

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
        return Inequality(*weighted_inequality(jnp.asarray(utilities), None, jnp))
    return Inequality(*weighted_inequality(_utilities(utilities)))


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
        alpha: `[..., agents]`, or a number for everybody. Two numbers stand for two agents or more, all alike.
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
    shape = shape or (2,)
    if shape[-1] == 1:
        return xp.ones(shape[:-1], bool)
    alpha, beta = xp.broadcast_to(alpha, shape), xp.broadcast_to(beta, shape)
    total, scale = alpha + beta, xp.abs(alpha) + xp.abs(beta)
    least = xp.argsort(total, -1)[..., :2] if xp is jnp else np.argpartition(total, 1, -1)[..., :2]
    two = lambda x: xp.take_along_axis(x, least, -1).sum(-1)
    rounding = ROUNDING if total.dtype == np.float64 else 1e-6
    return two(total) >= -rounding * two(scale)


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
