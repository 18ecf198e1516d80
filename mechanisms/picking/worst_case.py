r"""What a vector of thresholds guarantees whatever the law of the values.

Every law is a mixture of level sets, :math:`E X = \int P(X > x)\,dx`. So the least ratio over all laws, of what QT-s collects to
what the best allocation collects, is a least ratio over quantiles t: of the chance that the collected quantile exceeds t, to
the chance :math:`1 - t^n` that the best of n does. The first, `tail_curve`, is concave and piecewise linear in t, and concave
in the fractions r; the guarantee is then concave in r too, and gradient ascent on it meets no false summit [D].
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ...models._compiled import compiled
from ._fractions import as_s, reach


class WorstCase(eqx.Module):
    """The least welfare ratio over all laws, and the quantile of the level set that attains it.

    Attributes:
        value: the ratio, in [0, 1].
        quantile: t in [0, 1]; 1.0 is the limit t → 1, which a rare and very high value approaches.
    """

    value: Float[Array, ""]
    quantile: Float[Array, ""]


def tail_curve(s: Any, t: Any) -> Float[Array, "..."]:
    r"""Chance that the quantile of the value which QT-s collects on an item exceeds t.

    .. math:: \sum_i R_i \min(s_i, 1 - t), \qquad R_i = \prod_{k<i} (1 - s_k)

    Args:
        s: `[agents]`, upper tail mass that each agent accepts, the last one 1.
        t: quantiles in [0, 1], any shape.

    Returns:
        An array like `t`.

    Raises:
        ValueError: `s` leaves [0, 1] or does not end with 1, or `t` leaves [0, 1].

    Source: Halpern, Psomas and Zhang, proof of proposition 3.3, for two agents [P]; for any number of agents [D].

    Example:
        >>> tail_curve([0.25, 1.0], [0.0, 0.5, 0.75, 1.0]).tolist()
        [1.0, 0.625, 0.4375, 0.0]
    """
    s, t = _vector(s), as_array(t)
    known = concrete(t)
    require(known is None or np.all((known >= 0) & (known <= 1)), f"`t` must be quantiles in [0, 1], got {known}.")
    t = jnp.asarray(t)
    s, above = s.reshape((1,) * t.ndim + s.shape), 1 - t[..., None]
    return jnp.sum(reach(s) * jnp.minimum(s, above), -1)


def worst_case_ratio(s: Any) -> WorstCase:
    r"""The least welfare ratio of QT-s, and up to o(1) of Pick-r, over all laws at once.

    .. math:: \inf_D \alpha(s; D) = \min_t \frac{\sum_i R_i \min(s_i, 1 - t)}{1 - t^n}

    with the limit :math:`\sum_{i: s_i > 0} R_i / n` at t → 1: an agent who takes nothing is reached and does not count. Between
    two kinks 1 − s_i the ratio has one minimum, which is a root, so this is exact and no grid is involved.

    `value` is differentiable in s by the envelope theorem: minima lie between kinks or at the limit, never on a kink. Where two
    of them tie, as they do at the best s, the gradient is that of the first; climb with `softmin_ratio`.

    Args:
        s: `[agents]`, upper tail mass that each agent accepts, the last one 1.

    Returns:
        `value` and `quantile`, the t that attains it.

    Raises:
        ValueError: `s` has fewer than two entries, leaves [0, 1] or does not end with 1.

    Source: Halpern, Psomas and Zhang, proof of proposition 3.3, for two agents [P]; the exact minimum for any n [D].

    Example:
        >>> found = worst_case_ratio([1 - 0.5**0.5, 1.0])
        >>> round(float(found.value), 4), round((2 + 2**0.5) / 4, 4)
        (0.8536, 0.8536)
    """
    return _worst_case(_vector(s))


def softmin_ratio(s: Any, temperature: Any) -> Float[Array, ""]:
    r"""A smooth lower bound of `worst_case_ratio(s).value`, within T log n of it: what to climb when learning s.

    .. math:: -T \log \sum_k \exp(-\rho_k / T)

    over the exact minima ρ_k of the ratio, one between every two kinks and one at the limit t → 1. At the best s all n of them
    tie, where the gradient of the hard minimum sees one and cannot settle. Lower T as the climb proceeds. Between kinks that
    cross, and where s_i reaches 0, it is continuous but not smooth.

    Args:
        s: `[agents]`, upper tail mass that each agent accepts, the last one 1.
        temperature: T > 0, in units of the ratio.

    Returns:
        The bound.

    Raises:
        ValueError: `s` is refused as in `worst_case_ratio`, or `temperature` is not positive.

    Source: ours [D].

    Example:
        >>> round(float(softmin_ratio([1 - 0.5**0.5, 1.0], 1e-4)), 3)
        0.853
    """
    known = concrete(temperature)
    require(known is None or np.all(known > 0), f"`temperature` must be positive, got {temperature}.")
    return _softmin(_vector(s), temperature)


def _vector(s: Any) -> Float[Array, " agents"]:
    s = as_s(s)
    require(np.ndim(s) == 1, f"`s` must be one vector [agents], got shape {np.shape(s)}; map batches with `jax.vmap`.")
    return jnp.asarray(s)


@compiled
def _worst_case(s: Float[Array, " agents"]) -> WorstCase:
    values, quantiles = _minima(s)
    k = jnp.argmin(values)
    return WorstCase(values[k], quantiles[k])


@compiled
def _softmin(s: Float[Array, " agents"], temperature: Any) -> Float[Array, ""]:
    values, _ = _minima(s)
    return -temperature * logsumexp(-values / temperature)


def _minima(s: Float[Array, " agents"]) -> tuple[Float[Array, " agents"], Float[Array, " agents"]]:
    """Least ratio at the limit t → 1 and between every two kinks, and where; x = 1 − t throughout.

    With the kinks sorted, the ratio on [x_k, x_{k+1}] is (A + B x) / (1 − (1 − x)^n). The sign of its slope is that of
    φ = B d − (A + B x) d′ with d the denominator, and φ never falls, since d is concave.
    """
    n, reached, kinks = s.size, reach(s), jnp.sort(s)
    order = jnp.argsort(s)
    full = jnp.cumsum((reached * s)[order])[:-1]
    partial = lax.cumsum(reached[order], reverse=True)[1:]
    left, right = kinks[:-1], kinks[1:]

    def slope(x):
        a, b, y = *lax.stop_gradient((full, partial)), jnp.log1p(-x)
        return b * -jnp.expm1(n * y) - (a + b * x) * n * jnp.exp((n - 1) * y)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        falling = slope(middle) < 0
        return jnp.where(falling, middle, low), jnp.where(falling, high, middle)

    ends = lax.stop_gradient((left, right))
    steps = 2 + jnp.finfo(s.dtype).nmant
    x = lax.fori_loop(0, steps, halve, ends)[1]
    # At an end of its interval the minimum moves with the kink, in between the envelope theorem holds it still.
    x = jnp.where(slope(ends[0]) >= 0, left, jnp.where(slope(ends[1]) <= 0, right, x))
    inside = left > 0  # between 0 and the first kink the ratio is least at the limit
    x = jnp.where(inside, x, 1.0)
    values = jnp.where(inside, (full + partial * x) / _best_exceeds(x, n), jnp.inf)
    limit = jnp.sum(jnp.where(s > 0, reached, 0.0)) / n
    return jnp.append(limit, values), jnp.append(jnp.ones_like(limit), 1 - x)


def _best_exceeds(x: Float[Array, "..."], n: int) -> Float[Array, "..."]:
    """Chance 1 − (1 − x)^n that the best of n quantiles exceeds 1 − x, also for small x and large n."""
    below = x < 1
    return jnp.where(below, -jnp.expm1(n * jnp.log1p(-jnp.where(below, x, 0.5))), 1.0)
