r"""How an agent who sees bundles through a logit chooses at given prices, when nobody knows the budget.

Between two neighbouring costs the affordable set does not change, so the integral over budgets is a finite sum. With
bundles sorted by cost, :math:`k_1 \le \dots \le k_B`, write :math:`S(k) = P(b \ge k)`,
:math:`m_r = S(k_r) - S(k_{r+1})` for the chance that exactly the first r are affordable, and
:math:`L_r = \log\sum_{q \le r} e^{v_q}`. Then

.. math:: P(y_q) = \sum_{r \ge q} m_r e^{v_q - L_r} = e^{v_q - L_q} C_q, \qquad C_q = m_q + e^{L_q - L_{q+1}} C_{q+1}.

The recurrence has factors between 0 and 1 only, and no logarithm of a chance, so it neither overflows nor loses a
derivative where two costs tie.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import concrete, require
from .laws import AbstractLaw

NOTHING = -1e30  # stands for log 0: finite, so that no difference of two of them is NaN
TOLERANCE = 1e-12  # of a token: a budget that equals a cost but for rounding buys the bundle


def affordable(cost: Float[Array | np.ndarray, "*batch"], eps: Any, law: Any = None) -> Float[Array, "*batch"]:
    """P(budget ≥ cost), under `law` or the uniform law on [1 − eps, 1].

    Args:
        cost: tokens; a full budget is 1.
        eps: width of the budget interval.
        law: None, or an object with `cdf(x)`. Where it may have atoms, a cost is lowered by the tolerance first, so
            that a budget equal to it buys.
    """
    cost = jnp.asarray(cost)
    if law is None:
        return jnp.clip((1 - cost) / eps, 0.0, 1.0)
    if isinstance(law, AbstractLaw) and law.atoms.shape[-1] == 0:
        return law.survival(cost)
    lowered = cost - max(TOLERANCE, 8 * float(jnp.finfo(cost.dtype).eps))
    return jnp.clip(1 - jnp.asarray(law.cdf(lowered), cost.dtype), 0.0, 1.0)


def budget_logit(utility: Any, bundles: Any, price: Any, eps: Any, law: Any = None) -> Float[Array, "*batch bundles"]:
    r"""Chance of each bundle at given prices, for a logit choice among what an unknown budget can buy.

    .. math::
        P(y) = \int 1\{p \cdot y \le b\}\, \frac{e^{v(y)}}{\sum_{y' : p \cdot y' \le b} e^{v(y')}}\, dG(b)

    The sum over costs is exact, in :math:`O(B \log B)` for the sort; nothing is discretised. Differentiable in `utility`,
    `price`, `eps` and the leaves of the law (where two costs tie, from one side). `jit` and `vmap` it freely.

    Args:
        utility: `[..., B]`, v, in units of the standard Gumbel error; −inf is infeasible.
        bundles: `[B, m]`, units of each good. Row 0 is usually the empty bundle; without a free feasible bundle the
            chances sum to that of a budget which buys any.
        price: `[..., m]`, tokens; a full budget is 1.
        eps: width of the budget interval [1 − eps, 1], in (0, 1].
        law: the budget's law on that interval: None is uniform; otherwise an object with a traceable `cdf(x)`.
            Affordability is weak, so an atom at a cost buys the bundle (tolerance 1e-12, in single precision 1e-6).

    Returns:
        `[..., B]`, probabilities.

    Raises:
        ValueError: shapes that do not fit, a NaN, `eps` outside (0, 1], a law with mass outside [1 − eps, 1].

    Source: demand of Eq. (1) in Nguyen, Teytelboym and Vardi (2023), with logit errors [X]; the finite sum is [D].

    Example:
        >>> bundles = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        >>> np.asarray(budget_logit(np.zeros(4), bundles, np.array([0.5, 0.9]), 0.2), float).round(3).tolist()
        [0.417, 0.417, 0.167, 0.0]
    """
    utility, bundles, price = (x if isinstance(x, jax.Array) else jnp.asarray(x) for x in (utility, bundles, price))
    dtype = jnp.result_type(utility, price, jnp.float32)
    require(
        bundles.ndim == 2 and utility.ndim >= 1 and utility.shape[-1] == bundles.shape[0],
        f"`utility` is [..., bundles] and `bundles` [bundles, goods]; got {utility.shape} and {bundles.shape}.",
    )
    require(
        price.ndim >= 1 and price.shape[-1] == bundles.shape[1],
        f"`price` must have one entry for each of the {bundles.shape[1]} goods; got shape {price.shape}.",
    )
    _check_numbers(utility, price, eps, law)
    cost = jnp.einsum("...m,bm->...b", price.astype(dtype), bundles.astype(dtype), precision=jax.lax.Precision.HIGHEST)
    shape = jnp.broadcast_shapes(utility.shape, cost.shape)
    worth, cost = jnp.broadcast_to(utility.astype(dtype), shape), jnp.broadcast_to(cost, shape)
    return chances(worth, cost, affordable(cost, eps, law))


@jax.jit
def chances(
    worth: Float[Array, "*batch options"], cost: Float[Array, "*batch options"], afford: Float[Array, "*batch options"]
) -> Float[Array, "*batch options"]:
    """The sum over costs, given `afford` = P(budget ≥ cost); −inf in `worth` is infeasible."""
    order = jnp.argsort(cost, -1)
    along = lambda x: jnp.take_along_axis(x, order, -1)
    v = along(jnp.where(jnp.isneginf(worth), NOTHING, worth))
    s = along(afford)
    mass = s - jnp.concatenate([s[..., 1:], jnp.zeros_like(s[..., :1])], -1)
    total = running_log_sum(v)
    step = jnp.concatenate([jnp.exp(total[..., :-1] - total[..., 1:]), jnp.zeros_like(total[..., :1])], -1)

    def back(dearer, here):
        weight = here[0] + here[1] * dearer
        return weight, weight

    first = lambda x: jnp.moveaxis(x, -1, 0)
    _, weight = jax.lax.scan(back, jnp.zeros_like(v[..., 0]), (first(mass), first(step)), reverse=True)
    weight = jnp.moveaxis(weight, 0, -1)
    found = jnp.where(v > NOTHING / 2, jnp.exp(v - total) * weight, 0.0)
    return jnp.take_along_axis(found, jnp.argsort(order, -1), -1)


def running_log_sum(x: Float[Array, "*batch options"], reverse: bool = False) -> Float[Array, "*batch options"]:
    """Log of the running sum of exponentials, from the first option on, or from the last one back.

    One scan: it compiles several times faster than JAX's cumulative operators, and from thirty options on it runs faster.
    """

    def add(sofar, here):
        both = jnp.logaddexp(sofar, here)
        return both, both

    start = jnp.full(x.shape[:-1], NOTHING, x.dtype)
    _, found = jax.lax.scan(add, start, jnp.moveaxis(x, -1, 0), reverse=reverse)
    return jnp.moveaxis(found, 0, -1)


def _check_numbers(utility: Any, price: Any, eps: Any, law: Any) -> None:
    v, p, e = concrete(utility), concrete(price), concrete(eps)
    require(v is None or not np.any(np.isnan(v) | (v == np.inf)), "`utility` must be finite, or -inf where infeasible.")
    require(p is None or np.all((p >= 0) & np.isfinite(p)), f"`price` must be finite and not negative, got {p}.")
    require(e is None or np.all((e > 0) & (e <= 1)), f"`eps` must be in (0, 1], got {eps}.")
    if law is None:
        return
    require(hasattr(law, "cdf"), f"`law` must have a method `cdf(x)`, or be None for the uniform law; got {law!r}.")
    if e is None or e.ndim:
        return
    ends = concrete(jnp.asarray(law.cdf(jnp.asarray([1 - float(e) - 1e-4, 1.0 + 1e-6]))))
    require(
        ends is None or (np.all(ends[..., 0] < 1e-4) and np.all(ends[..., 1] > 1 - 1e-4)),
        f"`law` must lie on [1 - eps, 1] = [{1 - float(e):.6g}, 1]; its cdf is {ends} just below and above: use a law on "
        "that interval, or a wider `eps`.",
    )
