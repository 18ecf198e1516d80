r"""One r for two agents when the law of their values is known by a posterior only.

The best r of the mean law is not the mean of the best r, and the r of most welfare is not that of the best ratio: each
criterion is averaged over the draws at a fixed r, and r chosen last.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models._check import concrete, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_r
from ._laws import as_draws
from ._root import root
from ._types import Law, Number
from .pick_r import PickR
from .two_agents import R0, r_half


class Choice(eqx.Module):
    """The share that `choose_r` chose, and what knowing more would be worth.

    Attributes:
        r: the first agent's fraction of the items.
        value: posterior mean of the criterion at r.
        perfect_information: posterior mean of the criterion at each draw's own best; less `value`, it is what knowing the law
            would be worth.
        prior_free: posterior mean of the criterion at r0, which needs no data; `value` less this is what the data are worth.
        envy_free_probability: share of the draws for which r lies in the window (r_half, 1/2).
        own_best: `[draws]`, best r of each draw.
        mechanism: `PickR(r)`.
    """

    r: Float[Array, ""] | float
    value: Float[Array, ""]
    perfect_information: Float[Array, ""]
    prior_free: Float[Array, ""]
    envy_free_probability: Float[Array, ""]
    own_best: Float[Array, " draws"]
    mechanism: PickR


def choose_r(laws: Law, by: str = "welfare", confidence: Number = 0.95, slack: Number = 1e-3) -> Choice:
    r"""The first of two agents' share of the items, chosen under a posterior of laws.

    Per draw the welfare of Pick-r is :math:`W(r) = T(1 - r) + (1 - r) E X` per item, up to o(1). It is concave in r, and so are
    its posterior means, whose slopes are bisected:

    * "welfare" maximises the mean of W;
    * "ratio" the mean of W / E max(X_1, X_2), which weighs draws of high values less;
    * "envy_free" the mean of W, subject to :math:`P(r_{half} + \text{slack} \le r \le 1/2 - \text{slack}) \ge \text{confidence}`.
      The probability only steps at the draws' own r_half, so the constraint is an interval and is met exactly. The window
      itself is open: without slack there would be no best r.

    The posterior must come from past populations: an r chosen from the bids it will serve is not truthful.

    Args:
        laws: one law of which some leaves carry a leading axis `draws`; the other leaves are common to all draws.
        by: the criterion.
        confidence: for "envy_free", the least share of the draws that must be envy-free, in (0, 1].
        slack: for "envy_free", the least distance from both ends of the window, in (0, 1/4).

    Returns:
        `r`, `value`, `perfect_information`, `prior_free`, `envy_free_probability`, `own_best` and `mechanism`. A draw's own best
        under "envy_free" lies `slack` inside its window, or in its middle where it is narrower.

    Raises:
        ValueError: no leaf has an axis `draws`, or two disagree; `by`, `confidence` or `slack` is out of range; a draw is
            constant or negative; no r reaches the confidence (the message says what can be reached).

    Warns:
        UserWarning: some draws are unbounded or have atoms, so that the limits are not claimed.

    Source: criteria of welfare and envy by lemma 3.6 of Halpern, Psomas and Zhang [P]; decisions under a posterior [X].

    Example:
        >>> from fairhand.models import Uniform
        >>> found = choose_r(Uniform(0.0, jnp.array([1.0, 2.0])), by="envy_free")
        >>> round(found.r, 3), float(found.envy_free_probability)
        (0.499, 1.0)
    """
    require(by in ("welfare", "ratio", "envy_free"), f'`by` must be "welfare", "ratio" or "envy_free", got {by!r}.')
    require(0 < confidence <= 1, f"`confidence` must lie in (0, 1], got {confidence}.")
    require(0 < slack < 0.25, f"`slack` must lie in (0, 1/4), got {slack}; the window is never wider than 1/2.")
    return _choose(as_draws(laws), by, float(confidence), float(slack))


class _Draws(eqx.Module):
    """What is asked of each draw."""

    mean: Float[Array, "*draws"]
    half: Float[Array, "*draws"]
    best_r: Float[Array, "*draws"]
    weight: Float[Array, "*draws"]


def _choose(laws: AbstractLaw, by: str, confidence: float | int, slack: float) -> Choice:
    draws = _each(laws, by)
    r = _summit(laws, draws)
    own = draws.best_r
    if by == "envy_free":
        floor, ceiling = _interval(draws.half, confidence, slack)
        r = jnp.clip(r, floor, ceiling)
        middle = (draws.half + 0.5) / 2
        own = jnp.clip(own, jnp.minimum(draws.half + slack, middle), jnp.maximum(0.5 - slack, middle))
    worth = lambda r: jnp.mean(_criterion(laws, draws, jnp.broadcast_to(r, own.shape)))
    inside = jnp.mean((draws.half < r) & (r < 0.5), dtype=own.dtype)
    if concrete(r) is not None:  # as a number of 64 bits it is not to exceed the end of the window by rounding
        r = float(r) if by != "envy_free" else min(float(r), 0.5 - slack)
    return Choice(r, worth(r), worth(own), worth(R0), inside, own, PickR(as_r(r)))


@compiled
def _each(laws: AbstractLaw, by: str) -> _Draws:
    def one(law):
        mean = law.mean
        weight = 1 / law.expected_max(2) if by == "ratio" else jnp.ones_like(mean)
        return _Draws(mean, r_half(law), law.survival(mean), weight)

    return jax.vmap(one)(laws)


@compiled
def _criterion(laws: AbstractLaw, draws: _Draws, r: Float[Array, " draws"]) -> Float[Array, " draws"]:
    held = jax.vmap(lambda law, r: law.tail_integral(1 - r))(laws, r)
    return draws.weight * (held + (1 - r) * draws.mean)


@compiled
def _summit(laws: AbstractLaw, draws: _Draws) -> Float[Array, ""]:
    """Where the mean criterion, which is concave, is flat."""
    quantiles = jax.vmap(lambda law, u: law.quantile(u), (0, None))
    fall = lambda r: jnp.mean(draws.weight * (draws.mean - quantiles(laws, 1 - r)))
    zero = jnp.zeros_like(draws.mean[0])
    return root(fall, zero, zero + 1)


def _interval(half: Float[Array, " draws"], confidence: float | int, slack: float) -> tuple[Array, float]:
    """The r that are `slack` inside the windows of enough draws: from the k-th least r_half on, up to 1/2 for all of them."""
    ceiling, precision = 0.5 - slack, float(jnp.finfo(half.dtype).eps)
    enough = math.ceil(confidence * half.size - 1e-9)
    # Rounded up, so that whoever recomputes the constraint finds it met.
    floor = jnp.sort(half)[enough - 1] + (slack + 8 * precision)
    known = concrete(half)
    if known is not None and floor > ceiling:
        reachable = float(np.mean(known + (slack + 8 * precision) <= ceiling))
        require(
            False,
            f"`confidence` = {confidence} cannot be reached: no r lies `slack` = {slack} inside the windows of more than "
            f"{reachable:.4g} of the draws. Lower `confidence` or `slack`, or gather data.",
        )
    return floor, ceiling
