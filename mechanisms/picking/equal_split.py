r"""Nearly equal shares for n agents, moved just so far that nobody envies.

An equal split has a margin of exactly zero: the last agent takes what is left, and finds it as good as anybody's bundle on
average only. Giving eps of every other share to her makes all margins positive, as long as nobody else envies her then.

Why there is one greatest eps, and one best [D]. Agent i < n does not envy the last one iff
:math:`T(1 - s_i) / E X > r_n / (R_{i+1} + r_n)`, whose left side falls and whose right side rises in eps; all other margins are
positive on (0, 1/n). And those that can be the smallest are concave in eps: what i collects, R_i T(1 − s_i), is concave in
(R_i, r_i) jointly, and what she leaves to the last one is the greatest of functions that are convex in eps.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import stop_if
from ._laws import check_law, count
from ._root import halve, implicit, root
from ._types import Count, Law
from .coupling import limits
from .pick_r import PickR


class EqualSplitEF(eqx.Module):
    """The shares that `equal_split_ef` chose.

    Attributes:
        r: `[agents]`, 1/n − eps for all but the last, who takes 1/n + (n − 1) eps.
        eps: the fraction of all items that each of the others gives up.
        eps_max: all margins are positive iff eps lies between 0 and this.
        ratio: welfare over that of the best allocation at this r, up to o(1).
        margins: `[agents, agents]`, envy margins per item at this r; see `asymptotics`.
        mechanism: `PickR(r)`.
    """

    r: Float[Array, " agents"]
    eps: Float[Array, ""]
    eps_max: Float[Array, ""]
    ratio: Float[Array, ""]
    margins: Float[Array, "agents agents"]
    mechanism: PickR


def equal_split_ef(law: Law, n: Count, eps: Any = None) -> EqualSplitEF:
    r"""A Pick-r for n agents that is envy-free with high probability and has a welfare ratio above 1/2.

    .. math:: r = (1/n - \epsilon, \dots, 1/n - \epsilon, 1/n + (n - 1) \epsilon)

    The paper asks for an eps that is small enough; how small depends on the law and on n, and is `eps_max` [D]. By default eps
    makes the smallest margin as large as can be, so that the fewest items are needed [X]. The ratio of the equal split is above
    (n + 1)/(2n) for every law, its infimum [D].

    Args:
        law: the law of all values.
        n: number of agents, at least 2.
        eps: fraction of all items, in (0, eps_max).

    Returns:
        `r`, `eps`, `eps_max`, `ratio`, `margins` and `mechanism`, differentiable in the law's parameters.

    Raises:
        ValueError: `eps` is not inside (0, eps_max), `n` is no whole number of at least 2, or the law is constant or has negative
            values.

    Warns:
        UserWarning: the law is unbounded or has atoms, so that the limits are not claimed.

    Source: Halpern, Psomas and Zhang, theorem 3.10 [P].

    Example:
        >>> from fairhand.models import Uniform
        >>> found = equal_split_ef(Uniform(), 3)
        >>> round(float(found.eps_max), 4), bool((found.margins > 0).all()), float(found.ratio) > 2 / 3
        (0.1009, True, True)
    """
    n = count(n, "n", 2)
    check_law(law)
    greatest = _greatest(law, n)
    chosen = _safest(law, n, greatest) if eps is None else jnp.asarray(as_array(eps), greatest.dtype)
    known, most = concrete(chosen), concrete(greatest)
    if eps is not None and known is not None and most is not None:
        require(known.ndim == 0, f"`eps` must be one number, got shape {known.shape}.")
        require(
            0 < known < most,
            f"`eps` must lie inside (0, {float(most):.6g}) for this law and {n} agents, got {eps}; outside it somebody envies.",
        )
    elif eps is not None:
        said = "`eps` must lie inside (0, eps_max) for this law; outside it somebody envies."
        chosen = stop_if(chosen, ~((chosen > 0) & (chosen < greatest)), said)
    r = jnp.append(jnp.full(n - 1, 1 / n - chosen), 1 / n + (n - 1) * chosen)
    found = limits(r, law)
    return EqualSplitEF(r, chosen, greatest, found.ratio, found.margins, PickR(r))


class _Turns(eqx.Module):
    """All pickers but the last, at one eps."""

    share: Float[Array, ""]
    last: Float[Array, ""]
    reach: Float[Array, " others"]
    after: Float[Array, " others"]
    held: Float[Array, " others"]


def _turns(law: AbstractLaw, n: int, eps: Float[Array, ""]) -> _Turns:
    share, last = 1 / n - eps, 1 / n + (n - 1) * eps
    to_come = jnp.arange(n - 1, 0, -1, dtype=eps.dtype)
    reach = to_come * share + last
    return _Turns(share, last, reach, reach - share, law.tail_integral(1 - share / reach))


@compiled
def _greatest(law: AbstractLaw, n: int) -> Float[Array, ""]:
    mean = law.mean

    def worst_envy(eps):
        turn = _turns(law, n, eps)
        envies = mean * turn.last - turn.held * (turn.after + turn.last)
        return envies[jnp.argmax(envies)]  # the slope of `max` compares numbers that two compilations round differently

    return root(worst_envy, jnp.zeros_like(mean), jnp.full_like(mean, 1 / n))


def _small_margins(law: AbstractLaw, n: int, eps: Float[Array, ""]) -> Float[Array, " pairs"]:
    """Those margins that can be the smallest: of the last agent, of the others against her, and against whoever came first."""
    turn, mean = _turns(law, n, eps), law.mean
    own = turn.reach * turn.held
    against_last = own - turn.last / turn.after * (turn.reach * mean - own)
    against_first = own[1:] - turn.share * mean
    return jnp.concatenate([(n * eps * mean)[None], against_last, against_first])


@compiled
def _safest(law: AbstractLaw, n: int, greatest: Float[Array, ""]) -> Float[Array, ""]:
    """Where the smallest margin is greatest: between an active margin that rises and one that falls, by halving."""

    def margins(law, eps):
        return jax.jvp(lambda eps: _small_margins(law, n, eps), (eps,), (jnp.ones_like(eps),))

    def rises(eps):
        values, slopes = margins(still, eps)
        return slopes[jnp.argmin(values)] > 0

    still, high = lax.stop_gradient((law, greatest))
    found = halve(rises, jnp.zeros_like(high), high)[1]
    values, slopes = margins(still, found)
    pick = lambda some: jax.nn.one_hot(jnp.argmin(jnp.where(some, values, jnp.inf)), values.size, dtype=values.dtype)
    rising, falling, least = pick(slopes > 0), pick(slopes <= 0), pick(slopes == slopes)
    # Either the least rising margin crosses the least falling one here, or the least of all is flat.
    apart = jnp.abs(jnp.sum((rising - falling) * values))
    crossing = apart <= 1e4 * jnp.finfo(values.dtype).eps * law.mean

    def balance(eps):
        values, slopes = margins(law, eps)
        return jnp.where(crossing, jnp.sum((rising - falling) * values), jnp.sum(least * slopes))

    return implicit(balance, found)
