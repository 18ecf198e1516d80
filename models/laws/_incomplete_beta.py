r"""The regularised incomplete beta function with all its derivatives.

.. math:: I_x(a, b) = \frac{1}{B(a, b)} \int_0^x t^{a-1} (1-t)^{b-1} dt

JAX's `betainc` has no derivative in a and b, and JAX's `betaln` is good to 1e-7 only, in float64 too. Here, against
mpmath for shapes from 0.02 to 1000: values to 2e-14, derivatives in a and b to 3e-14 (float64, absolute); in float32
values to 2e-6. All functions are scalar; `vmap` them, so that what depends on a and b alone is computed once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import digamma
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def _stirling(z: Array) -> Array:
    """Log Γ(z) − ((z − ½) log z − z + ½ log 2π), by shifting z up to where the asymptotic series is exact."""
    up = z[..., None] + jnp.arange(8, dtype=z.dtype).reshape((1,) * z.ndim + (8,))
    shifts = jnp.sum((up + 0.5) * jnp.log1p(1 / up) - 1, -1)
    z = z + 8
    q = 1 / (z * z)
    series = 1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q * (1 / 1188 - q * (691 / 360360 - q / 156)))))
    return shifts + series / z


def _log_peak(a: Scalar, b: Scalar) -> Scalar:
    """Log of x^a (1 − x)^b / B(a, b) at its maximum x = a / (a + b)."""
    n = a + b
    parts = _stirling(jnp.stack([a, b, n]))
    return 0.5 * jnp.log(a * (b / n) / (2 * np.pi)) - parts[0] - parts[1] + parts[2]


def _deviance(a: Scalar, b: Scalar, x: Scalar, y: Scalar, log_x: Scalar, log_y: Scalar) -> Scalar:
    """How far log of x^a y^b, y = 1 − x, lies below its maximum.

    It is a D(x (a + b)/a − 1) + b D(y (a + b)/b − 1) with D(z) = z − log(1 + z), the saddle-point form of Loader ("Fast and
    accurate computation of binomial probabilities", 2000): large terms cancel on paper and not in floating point.
    """
    n, shape = a + b, jnp.stack([a, b])
    away = jnp.where(x < 0.5, x * n - a, b - y * n)
    z = jnp.stack([away, -away]) / shape
    r = z / (2 + z)  # log(1 + z) = 2 artanh(r)
    q, series = r * r, jnp.zeros_like(z)
    for k in range(21, 1, -2):
        series = series * q + 1 / k
    far = z - (jnp.stack([log_x, log_y]) - jnp.log(shape / n))
    return jnp.sum(shape * jnp.where(jnp.abs(z) < 0.25, r * (z - 2 * q * series), far))


def _log_kernel(a: Scalar, b: Scalar, x: Scalar) -> Scalar:
    """Log of x^a (1 − x)^b / B(a, b)."""
    return _log_peak(a, b) - _deviance(a, b, x, 1 - x, jnp.log(x), jnp.log1p(-x))


def _fraction(a: Scalar, b: Scalar, x: Scalar) -> Scalar:
    """Continued fraction of I_x(a, b) a / kernel by Lentz's method (NIST DLMF 8.17.22), fast for x below the mean."""
    eps = jnp.finfo(x.dtype).eps
    tiny = jnp.finfo(x.dtype).tiny / eps
    away_from_zero = lambda v: jnp.where(jnp.abs(v) < tiny, tiny, v)

    def term(state):
        m, c, d, total, _ = state
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / away_from_zero(1 + even * d), away_from_zero(1 + even / c)
        total = total * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / away_from_zero(1 + odd * d), away_from_zero(1 + odd / c)
        return m + 1, c, d, total * d * c, d * c

    d = 1 / away_from_zero(1 - (a + b) * x / (a + 1))
    one = jnp.ones_like(d)
    going = lambda state: (jnp.abs(state[4] - 1) > eps) & (state[0] < 10_000)
    return lax.while_loop(going, term, (one, one, d, d, jnp.zeros_like(d)))[3]


def _log_tail(a: Scalar, b: Scalar, x: Scalar, y: Scalar, log_kernel: Scalar) -> tuple[Array, Scalar]:
    """Which tail the fraction is fast for (True: the lower one), and its log, which cannot underflow; y = 1 − x."""
    lower = x < (a + 1) / (a + b + 2)
    p, q, end = jnp.where(lower, a, b), jnp.where(lower, b, a), jnp.where(lower, x, y)
    return lower, log_kernel - jnp.log(p) + jnp.log(_fraction(p, q, end))


def _tails(a: Scalar, b: Scalar, x: Scalar, y: Scalar, log_kernel: Scalar) -> tuple[Scalar, Scalar]:
    lower, log_tail = _log_tail(a, b, x, y, log_kernel)
    tail, rest = jnp.exp(log_tail), -jnp.expm1(log_tail)
    return jnp.where(lower, tail, rest), jnp.where(lower, rest, tail)


def _shape_slopes(a: Scalar, b: Scalar, x: Scalar) -> tuple[Scalar, Scalar]:
    r"""Derivatives of I_x(a, b) in a and in b.

    .. math:: \partial_a I_x = \int_0^x f(t) (\log t - \psi(a) + \psi(a + b))\,dt,

    and likewise with log(1 − t) and ψ(b). Above the mean the integral over [x, 1], of opposite sign, is used. With
    t = x exp(−s) the integrand decays in s at rates between one over its own width and a; s = c exp(τ − exp(−τ)) spreads all
    those scales over a few units of τ, where the trapezoidal rule converges exponentially.
    """
    tau = np.arange(-3.8, 5.0, 0.15)
    node = np.exp(tau - np.exp(-tau))
    weight = jnp.asarray(0.15 * node * (1 + np.exp(-tau)), x.dtype)
    lower = x <= a / (a + b)
    p, q = jnp.where(lower, a, b), jnp.where(lower, b, a)
    end, rest = jnp.where(lower, x, 1 - x), jnp.where(lower, 1 - x, x)
    log_end, log_rest = jnp.log(end), jnp.log(rest)
    psi = digamma(jnp.stack([p, q, p + q]))
    width = jnp.sqrt(jnp.maximum((q - 1) * end, 0.0)) / rest
    rate = jnp.minimum(p, jnp.maximum(p - (q - 1) * end / rest, 0.0) + width)
    scale = 1 / lax.stop_gradient(rate)
    s = scale * jnp.asarray(node, x.dtype)
    gained = jnp.log1p(-end / rest * jnp.expm1(-s))  # log(1 − t) − log(1 − end)
    mass = jnp.exp(_log_kernel(a, b, x) - log_rest - p * s + (q - 1) * gained) * weight * scale
    in_p = jnp.sum(mass * (log_end - s - psi[0] + psi[2]))
    in_q = jnp.sum(mass * (log_rest + gained - psi[1] + psi[2]))
    return jnp.where(lower, in_p, -in_q), jnp.where(lower, in_q, -in_p)


@jax.custom_jvp
def beta_density(a: Scalar, b: Scalar, x: Scalar) -> Scalar:
    """Density x^(a−1) (1 − x)^(b−1) / B(a, b) for x strictly between 0 and 1."""
    return jnp.exp(_log_kernel(a, b, x) - jnp.log(x) - jnp.log1p(-x))


@beta_density.defjvp
def _density_rule(primals, tangents):
    (a, b, x), (a_dot, b_dot, x_dot) = primals, tangents
    f, psi = beta_density(a, b, x), digamma(jnp.stack([a, b, a + b]))
    slope = (jnp.log(x) - psi[0] + psi[2]) * a_dot + (jnp.log1p(-x) - psi[1] + psi[2]) * b_dot
    return f, f * (slope + ((a - 1) / x - (b - 1) / (1 - x)) * x_dot)


@jax.custom_jvp
def beta_tails(a: Scalar, b: Scalar, x: Scalar) -> tuple[Scalar, Scalar]:
    """I_x(a, b) and 1 − I_x(a, b), the smaller with relative precision, for x strictly between 0 and 1."""
    return _tails(a, b, x, 1 - x, _log_kernel(a, b, x))


@beta_tails.defjvp
def _tails_rule(primals, tangents):
    (a, b, x), (a_dot, b_dot, x_dot) = primals, tangents
    in_a, in_b = _shape_slopes(a, b, x)
    slope = in_a * a_dot + in_b * b_dot + beta_density(a, b, x) * x_dot
    return beta_tails(a, b, x), (slope, -slope)


def beta_quantile(a: Scalar, b: Scalar, u: Scalar) -> Scalar:
    r"""The x with I_x(a, b) = u, for u strictly between 0 and 1; not differentiable by itself.

    Solved in t = log x below the mean, and in log(1 − x) above it, so that quantiles near either end keep their relative
    precision: Halley's steps on :math:`\log I_{e^t} - \log u`, kept inside a bracket that bisection halves when a
    step leaves it or does not shrink. The first point is below the root: :math:`I_x \le x^a (1 - m)^{\min(b - 1, 0)} / (a B)`.
    """
    eps = jnp.finfo(u.dtype).eps
    peak = _log_peak(a, b)
    lower = u <= _tails(a, b, a / (a + b), b / (a + b), peak)[0]
    p, q, target = jnp.where(lower, a, b), jnp.where(lower, b, a), jnp.where(lower, u, 1 - u)
    top, log_rest, log_target = jnp.log(p / (p + q)), jnp.log(q / (p + q)), jnp.log(target)
    start = top + jnp.minimum((log_target + jnp.log(p) - peak + jnp.maximum(q, 1.0) * log_rest) / p, 0.0)

    def step(state):
        t, low, high, last, _, count = state
        x, y = jnp.exp(t), -jnp.expm1(t)
        log_y = jnp.log(y)
        log_kernel = peak - _deviance(p, q, x, y, t, log_y)
        below, log_tail = _log_tail(p, q, x, y, log_kernel)
        log_tail = jnp.where(below, log_tail, jnp.log1p(-jnp.exp(log_tail)))
        gap = log_tail - log_target
        slope = jnp.exp(log_kernel - log_y - log_tail)
        newton = -gap / slope
        bend = (p - (q - 1) * x / y - slope) * newton / 2
        move = newton / jnp.maximum(1 + bend, 0.5)
        low, high = jnp.where(gap < 0, t, low), jnp.where(gap < 0, high, t)
        done = jnp.abs(gap) <= 0.1 * float(eps) ** (1 / 3)  # a step cubes the error, so this one is the last
        good = (t + move >= low) & (t + move <= high) & (jnp.abs(move) <= 0.9 * last)
        new = jnp.where(done | good, t + move, (low + high) / 2)
        return new, low, high, jnp.abs(new - t), done, count + 1

    going = lambda state: ~state[4] & (state[5] < 200)
    beyond = jnp.log1p(-q / (2 * (p + q)))  # room above the mean, so that a root there is not at an end of the bracket
    first = (
        start,
        start,
        beyond,
        jnp.full_like(start, jnp.inf),
        jnp.zeros_like(lower),
        jnp.zeros_like(lower, jnp.int32),
    )
    t = lax.while_loop(going, step, first)[0]
    return jnp.where(lower, jnp.exp(t), -jnp.expm1(t))
