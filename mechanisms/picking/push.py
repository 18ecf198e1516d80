r"""What a posterior of laws says of the rules: every number of the theory, draw by draw.

The best r of the mean law is not the mean of the best r: push the draws through, and average last. `named` gives the arrays by
name, so that a posterior's `inference_data(derived=...)` can summarise and judge them beside the parameters.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...models._check import require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_r
from ._laws import as_draws, count
from .coupling import limits
from .prophet import optimal_pick
from .two_agents import R0, r_half
from .weights import equalising_weights


class PushForward(eqx.Module):
    """The theory of n agents with a common law, for each draw of it.

    Attributes:
        s: `[draws, agents]`, of the best Pick-r: fraction of what is left.
        r: `[draws, agents]`, of the best Pick-r: fraction of all items.
        ratio: `[draws]`, its welfare over that of the best allocation.
        margins: `[draws, agents, agents]`, its envy margins per item; +inf on the diagonal.
        envy_free: `[draws]`, whether they are all positive.
        r_half: `[draws]`, top fraction of the items that holds half the value.
        surplus: `[draws]`, 2 T(1 − r0) − E X; two agents only, else None.
        category: `[draws]`, 1 where the surplus is positive, else 2; two agents only.
        given_ratio: `[draws]`, ratio of the r that was given; None without.
        given_margins: `[draws, agents, agents]`, its envy margins; None without.
        given_envy_free: `[draws]`, whether they are all positive; None without.
        regret: `[draws]`, `ratio` less `given_ratio`: what committing to that r costs; None without.
    """

    s: Float[Array, "draws agents"]
    r: Float[Array, "draws agents"]
    ratio: Float[Array, " draws"]
    margins: Float[Array, "draws agents agents"]
    envy_free: Bool[Array, " draws"]
    r_half: Float[Array, " draws"]
    surplus: Float[Array, " draws"] | None
    category: Int[Array, " draws"] | None
    given_ratio: Float[Array, " draws"] | None
    given_margins: Float[Array, "draws agents agents"] | None
    given_envy_free: Bool[Array, " draws"] | None
    regret: Float[Array, " draws"] | None

    @property
    def named(self) -> dict[str, np.ndarray]:
        """What is there, by name, as NumPy; margins without the diagonal, which is infinite."""
        return _named(self)


class PushedWeights(eqx.Module):
    """Weights of agents with laws of their own, for each draw of them.

    Attributes:
        weights: `[draws, agents]`, at which everyone is equally likely to have the greatest weighted value; the first is 1.
        win_probabilities: `[draws, agents]`, which should all be 1/agents.
        residual: `[draws]`, how far the worst is from that.
        tau: `[draws, agents]`, quantile above which lies half of an agent's value.
    """

    weights: Float[Array, "draws agents"]
    win_probabilities: Float[Array, "draws agents"]
    residual: Float[Array, " draws"]
    tau: Float[Array, "draws agents"]

    @property
    def named(self) -> dict[str, np.ndarray]:
        """The arrays by name, as NumPy."""
        return _named(self)


def _named(found: eqx.Module) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(x) for name, x in vars(found).items() if x is not None}
    for name in {"margins", "given_margins"} & set(arrays):
        x = arrays[name]
        arrays[name] = x[:, ~np.eye(x.shape[1], dtype=bool)].reshape(len(x), x.shape[1], -1)
    return arrays


def push_forward(law: AbstractLaw, n: int, r: Any = None) -> PushForward:
    r"""The best Pick-r, its ratio and envy margins, and for two agents the category, for each draw of a posterior of laws.

    The posterior must come of past populations: an r that is chosen by the bids it will serve is not truthful.

    Args:
        law: one law of which some leaves carry a leading axis `draws`.
        n: number of agents, at least 2.
        r: `[agents]`, an r to commit to, or the first of two; None judges the best of each draw only.

    Returns:
        Arrays with a leading axis of draws; `named` for ArviZ.

    Raises:
        ValueError: no leaf has an axis `draws`, `n` is no whole number of at least 2, or `r` does not fit it.

    Warns:
        UserWarning: some draws are unbounded or have atoms, so that the limits are not claimed.

    Source: `optimal_pick` (corollary 3.9), `asymptotics` (lemma 3.6) and the categories of theorem 3.7 of Halpern, Psomas and
        Zhang [P], draw by draw [X].

    Example:
        >>> from fairhand.models import Power
        >>> found = push_forward(Power(jnp.array([0.5, 1.0, 4.0])), 2, r=0.3)
        >>> found.category.tolist(), [round(float(x), 3) for x in found.r[:, 0]], found.given_envy_free.tolist()
        ([1, 2, 2], [0.423, 0.5, 0.59], [True, True, False])
    """
    n = count(n, "n", 2)
    laws = as_draws(law, "law")
    if r is not None:
        r = as_r(r)
        require(np.shape(r) == (n,), f"`r` must be one fraction for each of {n} agents; got shape {np.shape(r)}.")
        r = jnp.asarray(r)
    return _push(laws, int(n), r)


@compiled
def _push(laws: AbstractLaw, n: int, r: Any) -> PushForward:
    def one(law):
        best = optimal_pick(law, n)
        margins = limits(best.r, law).margins
        surplus = category = given = None
        if n == 2:
            mean = law.mean
            surplus = 2 * law.tail_integral(1 - R0) - mean
            # As `two_agent_ef` has it: zero up to rounding, such as U[0, 1], is category 2.
            category = jnp.where(surplus > 256 * jnp.finfo(surplus.dtype).eps * mean, 1, 2)
        ratio_r = margins_r = free_r = regret = None
        if r is not None:
            given = limits(r.astype(best.r.dtype), law)
            ratio_r, margins_r = given.ratio, given.margins
            free_r, regret = jnp.all(margins_r > 0), best.ratio - ratio_r
        free = jnp.all(margins > 0)
        half = r_half(law)
        mine = best.s, best.r, best.ratio, margins, free, half, surplus, category
        return *mine, ratio_r, margins_r, free_r, regret

    return PushForward(*jax.vmap(one)(laws))


def push_weights(laws: Sequence[AbstractLaw]) -> PushedWeights:
    r"""Equalising weights, for each draw of a posterior of laws of which every agent has one.

    Args:
        laws: one law per agent; leaves carry a leading axis `draws`, the same for all: a posterior's `law()` where agents differ.

    Returns:
        Arrays with a leading axis of draws; `named` for ArviZ.

    Raises:
        ValueError: fewer than two laws, different numbers of draws, or a draw that is not regular (an interval as support and a
            density between two positive bounds on it, which truncated laws have and most beta laws have not).

    Source: `equalising_weights` (appendix A of Halpern, Psomas and Zhang, after Bai and Gölz), draw by draw [X].

    Example:
        >>> from fairhand.models import Uniform
        >>> found = push_weights([Uniform(jnp.zeros(2), jnp.ones(2)), Uniform(jnp.array([0.0, 0.5]), jnp.ones(2))])
        >>> [round(float(w), 4) for w in found.weights[:, 1]]
        [1.0, 0.6667]
    """
    require(len(laws) >= 2, f"`laws` needs one law an agent and at least two, got {len(laws)}.")
    each = tuple(as_draws(law, f"laws[{i}]") for i, law in enumerate(laws))
    sizes = [jax.tree.leaves(law)[0].shape[0] for law in each]
    require(len(set(sizes)) == 1, f"`laws` must have the same number of draws; they have {sizes}.")
    for i, law in enumerate(each):
        regular = np.asarray(jax.vmap(lambda law: jnp.asarray(law.is_regular))(law))
        require(
            regular.all(),
            f"`laws[{i}]` is not regular in {int((~regular).sum())} of {regular.size} draws: weights need an interval as "
            "support and a density between two positive bounds on it. Fit a truncated family instead.",
        )
    return _weights(each)


@compiled
def _weights(laws: tuple[AbstractLaw, ...]) -> PushedWeights:
    def one(laws):
        found = equalising_weights(laws)
        tau = jnp.stack([1 - r_half(law) for law in laws])
        return found.weights, found.win_probabilities, found.residual, tau

    return PushedWeights(*jax.vmap(one)(laws))
