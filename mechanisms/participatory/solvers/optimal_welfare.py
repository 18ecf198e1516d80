r"""The best welfare as a number that can be differentiated: slopes by the envelope rule, round whatever solver finds it.

The allocation is piecewise constant in alpha and beta, so that a gradient through the linear program is zero. Its *value* has
honest slopes, those of the saddle function at the saddle point (x, sigma):

.. math::
    \frac{\partial W^*}{\partial \alpha_i} = -I^+_i, \quad
    \frac{\partial W^*}{\partial \beta_i} = -I^-_i, \quad
    \frac{\partial W^*}{\partial a_{ij}} = (1 + \sigma_i)\, x_{ij}, \quad
    \frac{\partial W^*}{\partial b_j} = \sum_i \mu_{ij},

with mu the multipliers of the caps. Where many are equal, sigma must be the optimal dual: the slope of an order of utilities
(`supergradient`) gives wrong gradients there.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....models._check import require
from ....models._host import host_call
from .._check import (
    ROUNDING,
    check_caps,
    check_concave,
    check_disposal,
    check_problem,
    check_room,
    check_social,
    check_values,
    common_batch,
    traced,
)
from ..measures import inequality
from .solution import Solution
from .solve import solve
from .types import merge

#: Up to so many different agents the linear program is solved, whose dual is exact; beyond, what `solve` chooses.
EXACT_ROWS = 150


def optimal_welfare(
    values: Any, alpha: Any, beta: Any, *, caps: Any = 1.0, disposal: str = "forbidden"
) -> Float[Array | np.ndarray | np.generic, "*batch"]:
    r"""The greatest welfare that any allocation has, differentiable in everything that it depends on.

    .. math:: W^* = \max_{x \in X} \sum_i u_i - \alpha_i I^+_i - \beta_i I^-_i

    Solved on the host, in float64, also under `jit`, `vmap`, `grad` and `jvp`. Slopes hold almost everywhere. At a kink one
    saddle point's come; for caps with 1 / b whole, what a tighter cap costs. Second derivatives are refused: they are not
    zero, but not known here.

    Args:
        values: `[..., agents, items]`, in utils, not negative.
        alpha: `[..., agents]` or a number, aversion to being behind, dimensionless.
        beta: `[..., agents]` or a number, aversion to being ahead.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" or "free".

    Returns:
        `[...]`, in utils: NumPy's float64 where all numbers are known; inside a program the dtype that came, and NaN for
        numbers that would be refused outside.

    Raises:
        ValueError: bad input, by the name of the argument, where its numbers are known.
        RuntimeError: outside a program, if the gap stays above 1e-6.
        NotImplementedError: a derivative of a derivative.

    Source: the envelope rule for the saddle form of Shirali, Finocchiaro and Abebe's program [D]; Milgrom and Segal (2002).

    Example:
        >>> a = [[1.0], [0.8]]
        >>> round(float(optimal_welfare(a, 0.3, 0.2)), 4)  # both get 4/9, and nobody minds
        0.8889
        >>> slope = jax.grad(lambda a: optimal_welfare(a, 0.3, 0.2))(jnp.array(a))
        >>> [round(float(s), 4) for s in slope.ravel()]
        [0.3951, 0.6173]
    """
    disposal = check_disposal(disposal)
    if not traced(values, alpha, beta, caps):
        problem = check_problem(values, alpha, beta, caps, disposal)
        found = [float(_solve(p.values, p.alpha, p.beta, p.caps, disposal, True).primal) for p in problem.each()]
        return np.reshape(np.array(found), problem.batch)[()]
    values, alpha, beta, caps = _arguments(values, alpha, beta, caps, disposal)
    one = lambda a, alpha, beta: _welfare(a, alpha, beta, caps, disposal)
    for _ in range(values.ndim - 2):
        one = jax.vmap(one)
    return one(values, alpha, beta)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def _welfare(values: Array, alpha: Array, beta: Array, caps: Array, disposal: str) -> Array:
    return _saddle(values, alpha, beta, caps, disposal)[0]


@_welfare.defjvp
def _envelope(disposal, primals, tangents):
    n, m = primals[0].shape
    packed = _saddle(*primals, disposal)
    welfare, *slopes = jnp.split(packed, np.cumsum([1, n * m, n, n]))
    slopes = [s.reshape(t.shape) for s, t in zip(slopes, tangents, strict=True)]
    return welfare[0], sum((jnp.sum(s * t) for s, t in zip(slopes, tangents, strict=True)), jnp.zeros_like(welfare[0]))


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def _saddle(values: Array, alpha: Array, beta: Array, caps: Array, disposal: str) -> Array:
    """W*, then its slopes in values, alpha, beta and caps, in one array; NaN where there is no answer."""
    n, m = values.shape
    on_host = functools.partial(_pack, disposal=disposal)
    if not traced(values, alpha, beta, caps):
        return jnp.asarray(on_host(*map(np.asarray, (values, alpha, beta, caps))), values.dtype)
    return host_call(on_host, jnp.zeros(1 + n * m + 2 * n + m, values.dtype), values, alpha, beta, caps)


@_saddle.defjvp
def _no_curvature(disposal, primals, tangents):
    raise NotImplementedError(
        "`optimal_welfare` has first derivatives only: how its slopes change is not known from one optimum. Take "
        "differences of gradients."
    )


def _pack(values: Any, alpha: Any, beta: Any, caps: Any, *, disposal: str) -> np.ndarray:
    values, alpha, beta, caps = (np.asarray(x, np.float64) for x in (values, alpha, beta, caps))
    try:
        check_problem(values, alpha, beta, caps, disposal)
        found = _solve(values, alpha, beta, caps, disposal, False)
    except ValueError:
        found = None
    if found is None or not found.converged:
        return np.full(1 + values.size + 2 * alpha.size + caps.size, np.nan)
    unequal = inequality(found.utilities)
    sigma = np.asarray(found.sigma)
    slopes = (1 + sigma)[:, None] * found.shares
    at_caps = cap_slopes(sigma, values, caps, disposal)
    parts = [[found.primal], slopes.ravel(), -unequal.disadvantage, -unequal.advantage, at_caps]
    return np.concatenate(parts)


def _solve(values: Any, alpha: Any, beta: Any, caps: Any, disposal: str, throw: bool) -> Solution:
    few = len(merge(values, alpha, beta).values) <= EXACT_ROWS
    special = len(values) <= 2 or values.shape[1] == 1
    method = "types" if few and not special else "auto"
    return solve(values, alpha, beta, caps=caps, disposal=disposal, method=method, throw=throw)


def cap_slopes(
    sigma: Float[np.ndarray, " agents"], values: Float[np.ndarray, "agents items"], caps: Any, disposal: str
) -> Float[np.ndarray, " items"]:
    r"""What a looser cap on each item is worth, from the optimal dual.

    Item j is worth :math:`w_i = (1 + \sigma_i) a_{ij}` to agent i, and goes to the best :math:`1 / b_j`. The next one
    sets the price, :math:`\lambda_j`, and the multiplier of the cap of agent i is :math:`\mu_{ij} = (w_i - \lambda_j)^+`.
    """
    n = len(values)
    ranked = -np.sort(-(1 + sigma)[:, None] * values, 0)
    full = np.floor(1 / caps + ROUNDING).astype(int)
    price = np.take_along_axis(ranked, np.minimum(full, n - 1)[None], 0)[0]
    if disposal == "free":
        price = np.where(full < n, np.maximum(price, 0.0), 0.0)
    return np.maximum(ranked - price, 0.0).sum(0)


def _arguments(values: Any, alpha: Any, beta: Any, caps: Any, disposal: str) -> tuple[Array, ...]:
    """JAX arrays of one dtype and batch; what is known now is checked now."""
    known = {}
    if not traced(values):
        known["values"] = check_values(values)
    shape = np.shape(values)
    require(len(shape) >= 2, f"`values` must be [..., agents, items]; got shape {shape}.")
    for name, x in (("alpha", alpha), ("beta", beta)):
        if not traced(x):
            known[name] = check_social(x, name, shape[-2])
        else:
            own = np.shape(x)
            require(
                own[-1:] in ((), (shape[-2],)),
                f"`{name}` must be a number or have one entry an agent: there are {shape[-2]}, `{name}` has shape {own}.",
            )
    if "alpha" in known and "beta" in known:
        batch = common_batch(("alpha", known["alpha"].shape[:-1]), ("beta", known["beta"].shape[:-1]))
        check_concave(*(np.broadcast_to(known[name], (*batch, shape[-2])) for name in ("alpha", "beta")))
    if not traced(caps):
        known["caps"] = check_caps(caps, shape[-1])
        check_room(known["caps"], disposal, shape[-2])
    require(
        np.shape(caps) in ((), (1,), (shape[-1],)), f"`caps` must be a number or [items]; got shape {np.shape(caps)}."
    )
    values, alpha, beta, caps = (jnp.asarray(x) for x in (values, alpha, beta, caps))
    dtype = jnp.result_type(values, alpha, beta, caps, jnp.float32)
    batch = common_batch(("values", shape[:-2]), ("alpha", alpha.shape[:-1]), ("beta", beta.shape[:-1]))
    spread = lambda x, own: jnp.broadcast_to(x.astype(dtype), (*batch, *own))
    return (
        spread(values, shape[-2:]),
        spread(alpha, shape[-2:-1]),
        spread(beta, shape[-2:-1]),
        jnp.broadcast_to(caps.astype(dtype), shape[-1:]),
    )
