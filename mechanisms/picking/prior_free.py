"""What Pick-r can guarantee for every law at once: the constants of Hill and Kertz, and the fractions that reach them."""

import math
from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ...models._check import require
from ._laws import count
from ._types import Count
from .pick_r import PickR

Vector = Float[Array | np.ndarray, " agents"]


class DistributionFree(eqx.Module):
    """The fractions of `distribution_free_r`.

    Attributes:
        r: `[agents]`, fraction of all items of each picker.
        s: `[agents]`, fraction of what is left.
        guarantee: least welfare ratio over all laws, 1/a_n.
        quantiles: `[agents]`, where the tail curve touches `guarantee` times that of the best allocation, falling from 1.
        mechanism: `PickR(r)`.
    """

    r: Vector
    s: Vector
    guarantee: float
    quantiles: Vector
    mechanism: PickR


def hill_kertz(n: Count) -> float:
    r"""The constant a_n ≥ 1: the prophet gets at most a_n times what the best stopping rule gets of n draws, and no less will do.

    With :math:`w_0 = (a - 1)/(n - 1)` and :math:`w \mapsto \frac{n}{n-1} w^{(n-1)/n} + \frac{a-1}{n-1}`, n − 1 times, a_n is
    the a that ends at 1. Its inverse is the best welfare ratio of Pick-r for n agents that holds for all laws; it falls
    from 0.8536 at n = 2 to 0.7454, `kertz_beta()`.

    Args:
        n: number of draws or agents, at least 2.

    Returns:
        a_n, solved in float64.

    Raises:
        ValueError: `n` is no whole number of at least 2.

    Source: Hill and Kertz (1982); Halpern, Psomas and Zhang cite it in section 3.2 as 1/a_n.

    Example:
        >>> round(1 / hill_kertz(2), 4), round(1 / hill_kertz(10), 4)
        (0.8536, 0.7686)
    """
    n = count(n, "n", 2)
    return _solve(lambda a: _iterates(a, n)[-1] - 1, 1.0)


def _iterates(a: float, n: int) -> np.ndarray:
    """The n iterates of the recursion, rising from (a − 1)/(n − 1)."""
    start = (a - 1) / (n - 1)
    w = [start]
    for _ in range(n - 1):
        w.append(n / (n - 1) * w[-1] ** ((n - 1) / n) + start)
    return np.array(w)


def kertz_beta(method: str = "integral") -> float:
    r"""The limit of 1/a_n for ever more agents, 0.7454…, solved and not stored.

    Its inverse b solves

    .. math:: \int_0^1 \frac{dy}{y (1 - \ln y) + b - 1} = 1,

    which says that the curve :math:`y' = y (\ln y - 1) - (b - 1)` from y(0) = 1 comes down to 0 at time 1. (The paper prints
    β for b inside, where the integrand would be singular.)

    Args:
        method: "integral" solves the first form, "ode" the second.

    Returns:
        β = 1/b.

    Raises:
        ValueError: `method` is neither.

    Source: Kertz (1986); Halpern, Psomas and Zhang, section 3.2, corrected.

    Example:
        >>> round(kertz_beta(), 6), round(kertz_beta("ode"), 6)
        (0.74544, 0.74544)
    """
    times = {"integral": _time_by_integral, "ode": _time_by_ode}
    require(method in times, f'`method` must be "integral" or "ode", got {method!r}.')
    return 1 / _solve(lambda b: times[method](b) - 1, 1.1)


def _solve(function: Callable[[float], float], low: float) -> float:
    import scipy.optimize

    return scipy.optimize.root_scalar(function, bracket=(low, 2.0), method="brentq", xtol=1e-15, rtol=1e-15).root


def _time_by_integral(b: float) -> float:
    import scipy.integrate

    # With y = e^{-x} the integrand is smooth, and its tail beyond 60 is nothing.
    speed = lambda x: math.exp(-x) / (math.exp(-x) * (1 + x) + b - 1)
    return scipy.integrate.quad(speed, 0, 60, epsabs=1e-14, epsrel=1e-13, limit=200)[0]


def _time_by_ode(b: float) -> float:
    import scipy.integrate

    fall = lambda _, y: y * (np.log(np.maximum(y, 1e-300)) - 1) - (b - 1)
    landed = lambda _, y: y[0]
    landed.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    path = scipy.integrate.solve_ivp(fall, (0, 20), [1.0], "DOP853", events=landed, rtol=1e-12, atol=1e-14)
    return float(path.t_events[0][0])


def distribution_free_r(n: Count) -> DistributionFree:
    r"""The fractions whose Pick-r has welfare ratio at least 1/a_n − o(1) for **all** laws at once, the best possible.

    With the iterates of `hill_kertz` in falling order, :math:`1 = w_0 > \dots > w_{n-1}`, and :math:`t_k = w_k^{1/n}`,

    .. math:: R_{k+1} = 1 - \tfrac{1}{a_n} (1 - n t_k^{n-1} + (n - 1) t_k^n) = \tfrac{n-1}{a_n} (w_{k-1} - w_k), \quad k \ge 1,

    and r_k = R_k − R_{k+1}. Every piece of the tail curve is then a tangent of :math:`(1 - t^n)/a_n`, at t_k; n = 2 is
    `two_agent_tight`. Not claimed by the paper, which lets r depend on the law (corollary 3.9); check it by
    `worst_case_ratio(s)`. If the law is known, `optimal_pick` does better.

    Args:
        n: number of agents, at least 2.

    Returns:
        `r`, `s`, `guarantee`, `quantiles` and `mechanism`, in NumPy's float64.

    Raises:
        ValueError: `n` is no whole number of at least 2.

    Source: derived from Hill and Kertz (1982) [D]; strengthens corollary 3.9 of Halpern, Psomas and Zhang.

    Example:
        >>> safe = distribution_free_r(3)
        >>> safe.r.round(4).tolist(), round(safe.guarantee, 4)
        ([0.11, 0.3237, 0.5663], 0.8187)
    """
    n = count(n, "n", 2)
    a = hill_kertz(n)
    w = _iterates(a, n)[::-1]
    # The second form of R, from the recursion itself, has no large terms that cancel.
    reached = np.concatenate([[1.0], (n - 1) / a * (w[:-1] - w[1:]), [0.0]])
    r = -np.diff(reached)
    s = np.append(r[:-1] / reached[:-2], 1.0)
    return DistributionFree(r, s, 1 / a, w ** (1 / n), PickR(r))
