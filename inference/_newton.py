r"""Damped Newton for many small smooth problems at once, inside a compiled program.

Each round solves :math:`(H + \lambda s I)\,p = -g`, s the greatest :math:`|H_{ii}|`, by Cholesky, and goes to
:math:`z + p` if that lowers the value by Armijo's rule. Where the value does not fall, :math:`\lambda` grows and z stays;
where the quadratic model foretold the fall, :math:`\lambda` shrinks, to 0 in the end, and Newton's own steps follow. Where
the matrix is not positive definite, a bound on its least eigenvalue is added (Levenberg 1944; Nocedal and Wright 2006,
chapters 3 and 4). A round evaluates the function once, whether it goes or stays, so problems side by side do not wait for
each other's line searches.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

ARMIJO = 1e-4
FIRST, LAST = 1e-3, 1e8  # shifts: the first one tried, and where no step is small enough to help
WRITTEN_OUT = 8  # dimensions up to which the factor is written out entry by entry, each a vector over problems

Derivatives = Callable[..., tuple[Array, Array, Array]]


class Found(NamedTuple):
    """Where Newton's method stopped, problem by problem.

    Attributes:
        z: the point. `value`, `gradient`, `hessian`: of the function there.
        gradient_norm: greatest absolute entry of the gradient.
        steps: evaluations of the function after that at the start.
        converged: whether `gradient_norm` is within the tolerance.
    """

    z: Float[Array, "*problems size"]
    value: Float[Array, "*problems"]
    gradient: Float[Array, "*problems size"]
    hessian: Float[Array, "*problems size size"]
    gradient_norm: Float[Array, "*problems"]
    steps: Int[Array, "*problems"]
    converged: Bool[Array, "*problems"]


class _State(NamedTuple):
    z: Array
    value: Array
    gradient: Array
    hessian: Array
    move: Array
    slope: Array  # of the value along `move`
    bend: Array  # the second derivative along it
    shift: Array
    steps: Array
    done: Array


def derivatives_of(value: Callable[..., Array]) -> Derivatives:
    """Value, gradient and Hessian of a function of one vector (and more arguments), as `newton` takes them."""

    def all_three(z, *args):
        found, gradient = jax.value_and_grad(value)(z, *args)
        return found, gradient, jax.hessian(value)(z, *args)

    return all_three


def newton(
    derivatives: Derivatives,
    start: Float[Array, "*problems size"],
    *args: Any,
    steps: int = 50,
    tolerance: float | None = None,
) -> Found:
    """Find minima of one or of many smooth functions of a short vector.

    Problems stand side by side in leading axes, which `derivatives` maps itself, or come by `jax.vmap` of this function.
    One that is done stays where it is while others go on. No derivative is taken through the search: apply
    `stop_gradient` to what goes in, and the implicit function theorem to what comes out.

    Args:
        derivatives: `(z [*problems, size], *args)` to value `[*problems]`, gradient `[*problems, size]` and Hessian
            `[*problems, size, size]`; see `derivatives_of`.
        start: where to begin; its dtype is that of the search.
        *args: passed on, a pytree of arrays.
        steps: evaluations at most, that at the start not counted.
        tolerance: greatest absolute entry of the gradient to be called converged; None is 1e-7 in double and 1e-3 in
            single precision.

    Returns:
        `Found`; a function that is not finite at the start, or has no minimum, is `converged` False.

    Source: Levenberg (1944), Quarterly of Applied Mathematics 2; Armijo (1966), Pacific Journal of Mathematics 16.

    Example:
        >>> banana = lambda z: (1 - z[0]) ** 2 + 100 * (z[1] - z[0] ** 2) ** 2
        >>> found = newton(derivatives_of(banana), jnp.array([-1.2, 1.0]))
        >>> found.z.round(3).tolist(), bool(found.converged)
        ([1.0, 1.0], True)
    """
    start = jnp.asarray(start)
    if tolerance is None:
        tolerance = 1e-7 if start.dtype == jnp.float64 else 1e-3
    slack = 8 * jnp.finfo(start.dtype).eps  # values this close in proportion are not told apart

    def advance(state: _State) -> _State:
        z = state.z + state.move
        value, gradient, hessian = derivatives(z, *args)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient), -1) & jnp.all(jnp.isfinite(hessian), (-1, -2))
        first = state.steps < 0
        noise = jnp.where(first, 0.0, slack * jnp.abs(state.value))
        fall, foretold = state.value - value, -state.slope - state.bend / 2
        goes = finite & (fall >= -ARMIJO * state.slope - noise) & ~state.done
        shift = jnp.where(fall >= 0.5 * foretold - noise, state.shift / 10, state.shift)
        shift = jnp.where(shift < FIRST / 10, 0.0, shift)
        shift = jnp.where(goes, shift, jnp.maximum(state.shift * 10, FIRST))
        pick = lambda new, old: jnp.where(goes.reshape(*goes.shape, *(1,) * (new.ndim - goes.ndim)), new, old)
        z, value, gradient, hessian = map(pick, (z, value, gradient, hessian), state[:4])
        move, positive = _shifted_solve(hessian, -gradient, shift)
        slope = jnp.sum(gradient * move, -1)
        bend = jnp.sum(move * jnp.einsum("...ij,...j->...i", hessian, move), -1)
        settled = goes & (jnp.max(jnp.abs(gradient), -1) <= tolerance)
        stuck = (shift > LAST) | ~positive | (first & ~finite)
        return _State(
            z, value, gradient, hessian, move, slope, bend, shift, state.steps + ~state.done,
            state.done | settled | stuck,
        )  # fmt: skip

    problems, size = start.shape[:-1], start.shape[-1]
    full = lambda number, *more: jnp.full((*problems, *more), number, start.dtype)
    before = _State(
        start, full(jnp.inf), full(jnp.nan, size), full(jnp.nan, size, size), full(0.0, size), full(0.0), full(0.0),
        full(0.0), jnp.full(problems, -1), jnp.zeros(problems, bool),
    )  # fmt: skip
    last = jax.lax.while_loop(lambda s: jnp.any(~s.done & (s.steps < steps)), advance, before)
    norm = jnp.max(jnp.abs(last.gradient), -1)
    return Found(*last[:4], norm, last.steps, norm <= tolerance)


def _shifted_solve(matrix: Array, vector: Array, shift: Array) -> tuple[Array, Array]:
    """Solution with `shift` times the greatest diagonal entry added, or more where that is not positive definite.

    Also says whether what was solved is positive definite: where numbers are lost to rounding, not even more helps.
    """
    diagonal = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    scale = jnp.maximum(jnp.max(jnp.abs(diagonal), -1), jnp.finfo(matrix.dtype).tiny)
    solve = _written_out if vector.shape[-1] <= WRITTEN_OUT else _by_library
    move, positive = solve(matrix, vector, shift * scale, scale)
    more = jnp.maximum(shift, FIRST) * scale + _deficit(matrix, diagonal)
    safe, surely = solve(matrix, vector, more, scale)
    return jnp.where(positive[..., None], move, safe), positive | surely


def _deficit(matrix: Array, diagonal: Array) -> Array:
    """What makes any symmetric matrix positive semidefinite when added: the lesser of two bounds.

    By Gershgorin's circles; and by the trace, as an eigenvalue lies within sqrt(n - 1) deviations of their mean (Wolkowicz
    and Styan 1980).
    """
    size = diagonal.shape[-1]
    circles = jnp.max(jnp.sum(jnp.abs(matrix), -1) - jnp.abs(diagonal) - diagonal, -1)
    mean = jnp.mean(diagonal, -1)
    variance = jnp.sum(matrix**2, (-1, -2)) / size - mean**2
    return jnp.maximum(jnp.minimum(circles, jnp.sqrt(jnp.maximum(variance, 0.0) * (size - 1)) - mean), 0.0)


def _by_library(matrix: Array, vector: Array, added: Array, scale: Array) -> tuple[Array, Array]:
    size = vector.shape[-1]
    factor = jnp.linalg.cholesky(matrix + added[..., None, None] * jnp.eye(size, dtype=matrix.dtype))
    pivots = jnp.diagonal(factor, axis1=-2, axis2=-1) ** 2
    positive = jnp.all(pivots > _least(size, scale + added)[..., None], -1)  # NaN is not greater
    down = jax.lax.linalg.triangular_solve(factor, vector[..., None], left_side=True, lower=True)
    up = jax.lax.linalg.triangular_solve(factor, down, left_side=True, lower=True, transpose_a=True)
    return jnp.where(positive[..., None], up[..., 0], 0.0), positive


def _written_out(matrix: Array, vector: Array, added: Array, scale: Array) -> tuple[Array, Array]:
    size = vector.shape[-1]
    low: dict[tuple[int, int], Array] = {}
    positive = jnp.ones(scale.shape, bool)
    least = _least(size, scale + added)
    down: dict[int, Array] = {}
    for j in range(size):
        pivot = matrix[..., j, j] + added
        for k in range(j):
            pivot = pivot - low[j, k] ** 2
        positive &= pivot > least
        root = jnp.sqrt(jnp.where(pivot > least, pivot, 1.0))
        low[j, j] = root
        rest = vector[..., j]
        for k in range(j):
            rest = rest - low[j, k] * down[k]
        down[j] = rest / root
        for i in range(j + 1, size):
            entry = matrix[..., i, j]
            for k in range(j):
                entry = entry - low[i, k] * low[j, k]
            low[i, j] = entry / root
    up: dict[int, Array] = {}
    for j in reversed(range(size)):
        rest = down[j]
        for i in range(j + 1, size):
            rest = rest - low[i, j] * up[i]
        up[j] = rest / low[j, j]
    return jnp.where(positive[..., None], jnp.stack([up[j] for j in range(size)], -1), 0.0), positive


def _least(size: int, scale: Array) -> Array:
    """A pivot below this is lost to rounding, and its step would be noise."""
    return 4 * size * jnp.finfo(scale.dtype).eps * scale
