r"""The softened program: unique shares, piecewise smooth in everything, with gradients that are true of it.

.. math:: x_\tau = \arg\max_{x \in X} \sum_i u_i - Q_\mu(u) - \frac{\tau}{2} \|x\|^2

For each pair the penalty :math:`\frac{c + c'}{2} |d| + \frac{c - c'}{2} d` has its :math:`|d|` replaced by Huber's
:math:`d^2 / 2 \mu` up to :math:`\mu` and :math:`|d| - \mu / 2` beyond. So its slope is the mirror map at u / mu, which lies in
the base polytope: the softened rule carries an exact dual bound. Huber's function on each side of the kink alone is not
convex where one of the two weights is negative; for equal weights both are the same [D]. Then

.. math:: 0 \le W^* - W(x_\tau) \le \tau m / 2 + \mu n (\bar\alpha + \bar\beta) / 4

**Why not differentiate the exact rule.** Its shares are piecewise constant in alpha and beta: autodiff gives exactly 0, and so
would learn nothing. Here the optimality condition is :math:`x = \Pi_X((1 + \sigma(u / \mu)) a / \tau)`, linear near almost
every point, so its derivative solves a linear system: symmetric, positive definite, at most n + 1 distinct eigenvalues.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ...models._compiled import compiled
from ..base import Allocation
from ._exact import SolutionCertificate
from ._weights import Program
from .measures import is_concave, welfare
from .solvers._mirror import prefix_sums
from .solvers.dual import dual_value

#: Steps of the accelerated gradient between two Newton steps, and most rounds of both.
STEPS, ROUNDS = 30, 600
#: Most Newton steps to a price.
MOST = 60
#: Slopes left over, relative to the greatest value, that count as solved.
SOLVED = {"float32": 2e-5, "float64": 1e-10}
ADVICE = "The softened program did not settle: raise `temperature`."


class Soft(NamedTuple):
    """One softened program; all JAX arrays of one dtype."""

    values: Array  # [agents, items]
    alpha: Array  # [agents]
    beta: Array  # [agents]
    caps: Array  # [items]
    temperature: Array


class Face(NamedTuple):
    """Which shares are free to move, which are at their cap, and which items are given away completely."""

    free: Array  # [agents, items] bool
    full: Array  # [agents, items] bool
    tight: Array  # [items] bool


def soft_allocation(program: Program, caps: Any, disposal: str, temperature: Any) -> Allocation:
    """The softened allocation and its certificate: residual of its own program, and primal, dual and gap of the exact one."""
    with jax.enable_x64(program.known or jax.dtypes.canonicalize_dtype(float) == np.float64):
        values = jnp.asarray(program.values)
        cast = lambda x: jnp.asarray(x, values.dtype)
        caps = jnp.broadcast_to(cast(caps), values.shape[-1:])
        args = (values, cast(program.alpha), cast(program.beta), caps, cast(temperature))
        shares, residual, parts = _many(*args, disposal)
    certificate = SolutionCertificate(
        residual, SOLVED[str(shares.dtype)], {"shares": shares, **parts}, ADVICE, "softened"
    )
    known = not any(isinstance(x, jax.core.Tracer) for x in (shares, residual))  # pyright: ignore[reportAttributeAccessIssue]
    if known:
        shares, certificate = jax.tree.map(np.asarray, (shares, certificate))
    return Allocation(shares, certificate)


@compiled
def _many(values: Array, alpha: Array, beta: Array, caps: Array, temperature: Array, disposal: str) -> Any:
    one = lambda a, alpha, beta: _one(Soft(a, alpha, beta, caps, temperature), disposal)
    for _ in range(values.ndim - 2):
        one = jax.vmap(one)
    return one(values, alpha, beta)


def _one(p: Soft, disposal: str) -> Any:
    shares, residual = soft_shares(p, disposal == "free")
    still, x = lax.stop_gradient((p, shares))
    utilities = jnp.sum(p.values * shares, -1)
    u = jnp.sum(still.values * x, -1)
    sigma = slopes(still, u, window(still, u))
    primal = welfare(u, still.alpha, still.beta)
    dual = dual_value(sigma, still.values, caps=_room(still, disposal == "free"), disposal=disposal)
    residual = jnp.where(is_concave(still.alpha, still.beta), residual, jnp.inf)
    parts = {"utilities": utilities, "sigma": sigma, "primal": primal, "dual": dual, "gap": dual - primal}
    return shares, residual, parts


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def soft_shares(p: Soft, free: bool) -> tuple[Array, Array]:
    """Shares `[agents, items]` and the residual of one program; differentiable by the optimality condition.

    Args:
        p: the program.
        free: whether items may be kept.
    """
    return _solve(p, free)


@soft_shares.defjvp
def _implicit(free, primals, tangents):
    (p,), (dp,) = primals, tangents
    x, residual = soft_shares(lax.stop_gradient(p), free)
    face = _face_of(x, p, free)
    moved = jax.jvp(lambda p: _condition(x, p, face, free), (p,), (dp,))[1]
    return (x, residual), (_response(x, p, face, moved), jnp.zeros_like(residual))


class Window(NamedTuple):
    """Who is within mu of whom, in the order of utilities: agent i's window is the ranks low_i to high_i - 1."""

    order: Array
    low: Array
    high: Array

    def sums(self, rows: Array) -> tuple[Array, Array]:
        """For `[rows, agents]`: sums over each agent's window, and over all above it."""
        sums = prefix_sums(rows[:, self.order])
        above = sums[:, self.high]
        return above - sums[:, self.low], sums[:, -1:] - above


def window(p: Soft, utilities: Array) -> Window:
    """The windows at these utilities."""
    u = lax.stop_gradient(utilities)
    order = jnp.argsort(u)
    ranked, mu = u[order], lax.stop_gradient(p.temperature)
    edges = jnp.stack([u - mu, u + mu])
    low, high = jnp.searchsorted(ranked, edges, side="right")
    return Window(order, low, high)


def slopes(p: Soft, utilities: Array, near: Window) -> Array:
    r"""Sigma at these utilities: minus the gradient of the smoothed Q, `[agents]`, as in the mirror map with y = u / mu.

    .. math:: (n - 1) \sigma_i = \sum_{k \ne i} (e_i + e_k) R((u_k - u_i) / \mu) - (n - 1) \beta_i - \sum_{k \ne i} \alpha_k
    """
    n = utilities.shape[0]
    if n == 1:
        return jnp.zeros_like(utilities)
    e = p.alpha + p.beta
    y = (utilities - lax.stop_gradient(jnp.min(utilities))) / p.temperature
    (size, total, weight, moment), (heads, _, mass, _) = near.sums(jnp.stack([jnp.ones_like(y), y, e, e * y]))
    ramp = 0.5 * (total + size * (1 - y)) + heads - 0.5
    weighted = 0.5 * (moment + weight * (1 - y)) + mass - 0.5 * e
    return (e * ramp + weighted - (n - 1) * p.beta - (jnp.sum(p.alpha) - p.alpha)) / (n - 1)


def bends(p: Soft, near: Window, du: Array) -> Array:
    """How sigma changes with utilities: minus the Hessian of the smoothed Q, times `du`; symmetric."""
    n = du.shape[0]
    if n == 1:
        return jnp.zeros_like(du)
    e = p.alpha + p.beta
    (size, weight), _ = near.sums(jnp.stack([jnp.ones_like(e), e]))
    (total, moment), _ = near.sums(jnp.stack([du, e * du]))  # apart: these are linear in du, and may be transposed
    return (e * (total - size * du) + moment - weight * du) / (2 * (n - 1) * p.temperature)


def _room(p: Soft, free: bool) -> Array:
    """Caps; where all must be given away and they are too small for it, the smallest that are not."""
    return p.caps if free else jnp.maximum(p.caps, 1 / p.values.shape[0])


def _slope(x: Array, p: Soft) -> Array:
    """Gradient of what is maximised."""
    u = jnp.sum(p.values * x, -1)
    sigma = slopes(p, u, window(p, u))
    return (1 + sigma)[:, None] * p.values - p.temperature * x


def _condition(x: Array, p: Soft, face: Face, free: bool) -> Array:
    """The right side of x = projection(...) on the face of x, where it is smooth."""
    v = (_slope(x, p) + p.temperature * x) / p.temperature
    caps = jnp.broadcast_to(_room(p, free), x.shape)
    count = jnp.maximum(face.free.sum(0), 1)
    over = jnp.sum(jnp.where(face.free, v, 0), 0) + jnp.sum(jnp.where(face.full, caps, 0), 0) - 1
    price = jnp.where(face.tight, over / count, 0)
    return jnp.where(face.free, v - price[None], jnp.where(face.full, caps, 0))


def _response(x: Array, p: Soft, face: Face, moved: Array) -> Array:
    r"""Dx of dx = P M dx + moved: dx = moved + y, (I - P M P) y = P M moved, with P onto the face and M the curvature."""
    p = lax.stop_gradient(p)
    near = window(p, jnp.sum(p.values * x, -1))
    count = jnp.maximum(face.free.sum(0), 1)

    def onto(z):
        z = jnp.where(face.free, z, 0)
        return z - jnp.where(face.free & face.tight[None], (z.sum(0) / count)[None], 0)

    def curve(z):
        du = jnp.sum(p.values * z, -1)
        return bends(p, near, du)[:, None] * p.values / p.temperature

    system = lambda z: z - onto(curve(onto(z)))
    tol = 1e-13 if x.dtype == jnp.float64 else 1e-6
    steps = 4 * x.shape[0] + 40
    solve = lambda f, b: jax.scipy.sparse.linalg.cg(f, b, tol=tol, maxiter=steps)[0]
    return moved + lax.custom_linear_solve(system, onto(curve(moved)), solve, symmetric=True)


def _solve(p: Soft, free: bool) -> tuple[Array, Array]:
    """Accelerated projected gradient to find the face, Newton on it to be exact."""
    n, m = p.values.shape
    tau = p.temperature
    pairs = p.alpha + p.beta
    steep = jnp.max(jnp.sum(p.values**2, -1)) * jnp.maximum(jnp.max(pairs), 0) * n / max(n - 1, 1) / tau + tau
    caps = _room(p, free)
    scale = jnp.maximum(jnp.max(p.values), jnp.finfo(tau.dtype).tiny)
    step = 1 / steep
    ratio = jnp.sqrt(tau * step)
    heavy = (1 - ratio) / (1 + ratio)

    def ahead(x):
        return project(x + step * _slope(x, p), caps, free)

    def glide(_, carry):
        x, y = carry
        new = ahead(y)
        return new, new + jnp.where(jnp.sum((y - new) * (new - x)) > 0, 0, heavy) * (new - x)

    def round_(carry):
        x, _, count = carry
        x, _ = lax.fori_loop(0, STEPS, glide, (x, x))
        face = _face_of(x, p, free)
        newton = jnp.clip(x + _response(x, p, face, _condition(x, p, face, free) - x), 0, caps[None])
        two = jnp.stack([x, newton])
        left = jnp.max(jnp.abs(jax.vmap(ahead)(two) - two), (1, 2)) / step / scale
        better = left[1] < left[0]  # NaN never is
        return jnp.where(better, newton, x), jnp.where(better, left[1], left[0]), count + 1

    x = jnp.broadcast_to(jnp.minimum(caps, 1 / n)[None], (n, m)).astype(tau.dtype)
    start = (x, jnp.asarray(jnp.inf, tau.dtype), 0)
    # A tenth of what counts as solved, so that rounding elsewhere does not matter.
    goal = 0.1 * SOLVED[str(tau.dtype)]
    x, left, _ = lax.while_loop(lambda c: (c[1] > goal) & (c[2] < ROUNDS), round_, start)
    return x, left


def _face_of(x: Array, p: Soft, free: bool) -> Face:
    caps = jnp.broadcast_to(_room(p, free), x.shape)
    tight = jnp.ones(x.shape[1], bool)
    if free:
        tight = x.sum(0) >= 1 - 64 * jnp.finfo(x.dtype).eps
    hair = 1e-9 if x.dtype == jnp.float64 else 1e-5  # shares are solved to about this
    full = x >= caps - hair
    return Face((x > hair) & ~full, full, tight)


def project(v: Array, caps: Array, free: bool) -> Array:
    """The nearest shares: each column of `v` onto 0 <= x <= cap with sum 1 (at most 1 if `free`).

    What is given away, sum of clip(v - price, 0, cap), falls in the price, linearly between breaks: guarded Newton steps end on
    the right piece, and there the price is exact.
    """
    b = jnp.broadcast_to(caps, v.shape)
    near = 16 * v.shape[0] * jnp.finfo(v.dtype).eps

    def at(price):
        d = v - price[None]
        return jnp.sum(jnp.clip(d, 0, b), 0) - 1, jnp.sum((d > 0) & (d < b), 0).astype(v.dtype)

    def newton(carry):
        price, low, high, _, count = carry
        over, moving = at(price)
        low, high = jnp.where(over >= 0, price, low), jnp.where(over <= 0, price, high)
        to = price + over / jnp.maximum(moving, 1)
        there = jnp.abs(over) <= near
        guarded = jnp.where((moving > 0) & (there | ((to > low) & (to < high))), to, (low + high) / 2)
        return jnp.where(there & (moving == 0), price, guarded), low, high, jnp.max(jnp.abs(over)), count + 1

    low, high = jnp.min(v - b, 0), jnp.max(v, 0)
    start = (high - 1 / v.shape[0], low, high, jnp.asarray(jnp.inf, v.dtype), 0)
    price = lax.while_loop(lambda c: (c[3] > near) & (c[4] < MOST), newton, start)[0]
    x = jnp.clip(v - price[None], 0, b)
    if not free:
        return x
    loose = jnp.clip(v, 0, b)
    return jnp.where(jnp.broadcast_to(loose.sum(0) <= 1, v.shape), loose, x)
