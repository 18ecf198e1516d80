"""What each agent may expect from a rule, exactly, for any number of items."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...models._check import require
from ...models.laws import AbstractLaw
from ...models.laws._incomplete_beta import beta_density
from ..base import AbstractMechanism
from ._fractions import reach
from ._panels import on_panels
from ._types import Count, Law
from .pick_r import PickR
from .quantile_threshold import QuantileThreshold
from .ranking import Ranking


def expected_welfare(
    mechanism: AbstractMechanism, law: Law, items: Count, agents: Count | None = None, *, smooth: bool = False
) -> Float[Array, " agents"]:
    r"""Expected total utility of each agent when all bid truthfully and all values are independent draws from one law.

    Not a limit and not a simulation: exact for every number m of items, up to quadrature. With T the upper tail integral and
    μ the mean of the law,

    * `PickR`: a picker who takes t of the M items that reach her expects
      :math:`M \int_0^1 Q(u)\, I_u(M - t, t)\, du`, computed as

      .. math:: \mu t + \frac{t (M - t)}{M + 1} E\Bigl[\frac{T(V) - \mu (1 - V)}{V (1 - V)}\Bigr],
          \qquad V \sim \text{Beta}(M - t + 1, t + 1),

      the value of t random items and the gain from choosing them, which is smooth in real t from 0 to M.
    * `Ranking`: :math:`\sum_t p_t^{(i)} E X_{(t)}`, with :math:`p^{(i)}_t` as in `interim`. An item of quantile u has a rank
      :math:`1 + \text{Bin}(m - 1, 1 - u)`, so that this is a mean of expected maxima over how many different places n − 1
      opponents give one item: :math:`m \sum_k \pi^{(i)}_k E \max_{k+1} X / (k + 1)`. Its cost does not depend on m.
    * `QuantileThreshold`: m times its expectation per item, also where `law` is not the law it was made for.

    Differentiable in the law's parameters, in the thresholds, and in r with `smooth`. In float32 expect an error of
    1e-7 times the size of the greatest bundle.

    Args:
        mechanism: `PickR`, `Ranking` or `QuantileThreshold`.
        law: law of all values. Atoms are fine for `PickR`; `Ranking` needs a law without.
        items: how many items, m.
        agents: how many agents; needed by `Ranking`, which is for any number.
        smooth: for `PickR(r)`, quotas m r as real numbers instead of whole ones, to learn r.

    Returns:
        `[agents]`, in units of the values; their sum is the expected welfare.

    Raises:
        ValueError: another rule or a softened one, no law, no item, `agents` missing or not those of the rule, quotas that do
            not sum to `items`, `smooth` for a rule without r, or atoms under `Ranking`.

    Source: formulas ours [D], for definitions 3.4 and 3.5 and algorithm 1 of Halpern, Psomas and Zhang.

    Example:
        >>> from fairhand.models import Uniform
        >>> found = expected_welfare(PickR(0.3), Uniform(), 10)  # the 3 greatest of 10 uniform values, and 7 random ones
        >>> [round(float(u), 4) for u in found]
        [2.4545, 3.5]
        >>> round(float(expected_welfare(Ranking(), Uniform(), 10, agents=2).sum()), 4)  # 2 m/3 − 1/6
        6.5
    """
    require(isinstance(law, AbstractLaw), f"`law` must be a law of values, such as Uniform(); got {law!r}.")
    require(
        isinstance(items, int | np.integer) and items >= 1,
        f"`items` must be a whole number, at least 1; got {items!r}.",
    )
    items = int(items)
    require(
        getattr(mechanism, "_temperature", None) is None, "`mechanism` is softened; ask about `mechanism.harden()`."
    )
    require(
        not smooth or (isinstance(mechanism, PickR) and mechanism.r is not None),
        "`smooth` is about real-valued quotas: it needs a `PickR(r)`.",
    )
    agents = None if agents is None else int(agents)
    if isinstance(mechanism, Ranking):
        return _ranking(law, items, agents)
    if isinstance(mechanism, PickR):
        _require_count(agents, mechanism.agents)
        return _pick_r(mechanism, law, items, smooth)
    if isinstance(mechanism, QuantileThreshold):
        _require_count(agents, np.shape(mechanism.s)[-1])
        return items * _thresholds(mechanism, law)
    raise ValueError(
        f"`mechanism` must be `PickR`, `Ranking` or `QuantileThreshold`, got `{type(mechanism).__name__}`. For others "
        "simulate: `mechanism.allocate(law.sample((draws, agents, items), key=key))`."
    )


def _require_count(agents: int | None, count: int) -> None:
    require(agents is None or agents == count, f"`agents` is {agents}, but `mechanism` is for {count}.")


def _pick_r(rule: PickR, law: AbstractLaw, items: int, smooth: bool) -> Float[Array, " agents"]:
    shape = () if rule.r is None else rule.r.shape
    require(len(shape) <= 1, f"`mechanism` must be one rule, got r of shape {shape}; map over it with `jax.vmap`.")
    taken = items * jnp.asarray(rule.r) if smooth else jnp.asarray(rule.counts(items))
    by_place = _picks(law, taken)
    return by_place if rule.order is None else by_place[np.argsort(rule.order)]


@jax.jit
def _picks(law: AbstractLaw, taken: Array) -> Float[Array, " agents"]:
    """By place in the order."""
    dtype = law._dtype(taken)
    law, taken = law._cast(dtype), taken.astype(dtype)
    rest = jnp.append(lax.cumsum(taken, reverse=True)[1:], jnp.zeros(1, dtype))
    gain = lax.map(lambda x: _gain_from_choice(law, *x), (rest, taken))
    return law.mean * taken + rest * taken / (rest + taken + 1) * gain


# Where panels end, in standard deviations from the mean of the order statistics: the bell, and its longest exponential tail.
_BELL = np.array([-40.0, -15.0, -6.0, -2.0, 0.0, 2.0, 6.0, 15.0, 40.0])


def _gain_from_choice(law: AbstractLaw, rest: Float[Array, ""], taken: Float[Array, ""]) -> Float[Array, ""]:
    """The expectation in `expected_welfare`: panels end where the quantile jumps or bends, and around the bell of V."""
    a, b = rest + 1, taken + 1
    fixed, mean = lax.stop_gradient((law, a / (a + b)))
    sd = jnp.sqrt(mean * (1 - mean) / lax.stop_gradient(a + b + 1))
    levels = [fixed.cdf(fixed._kinks()), fixed.cdf(fixed.atoms), 1 - fixed.survival(fixed.atoms)]
    levels.append(mean + sd * jnp.asarray(_BELL, sd.dtype))
    edges = jnp.concatenate([jnp.array([0, 1], sd.dtype), *levels])
    u, weight = (x.ravel() for x in on_panels(jnp.sort(jnp.clip(edges, 0, 1))))
    u = jnp.clip(u, jnp.finfo(u.dtype).tiny, 1 - jnp.finfo(u.dtype).epsneg)
    gain = (law.tail_integral(u) - law.mean * (1 - u)) / (u * (1 - u))
    weight = weight * jax.vmap(lambda u: beta_density(a, b, u))(u)
    return jnp.sum(weight * gain) / jnp.sum(weight)  # the same rounding above and below: a constant gain is exact


def _ranking(law: AbstractLaw, items: int, agents: int | None) -> Float[Array, " agents"]:
    if not isinstance(agents, int | np.integer) or agents < 2:
        raise ValueError(
            f"`agents` is needed by `Ranking`, which is for any number: a whole number, at least 2; got {agents!r}."
        )
    require(
        law.atoms.shape[-1] == 0,
        "`law` has atoms: `Ranking` settles tied values by the index of the item, alike for all, so ranks are not "
        "independent and the formula does not hold. Smooth it (`PiecewiseLinear`), or simulate.",
    )
    draws = np.arange(1, int(agents) + 1)
    best = law.expected_max(draws)
    return items * (jnp.asarray(_places(int(agents), items) / draws, best.dtype) @ best)


@functools.lru_cache(maxsize=16)
def _places(agents: int, items: int) -> np.ndarray:
    r"""Coefficients of the chance that agent i wins an item of quantile u, :math:`\sum_k c_{ik} u^k`: `[agent, k]`.

    An opponent's rank of the item is equally likely each of 1, …, m, so let her point at one of agent i's m items, in i's
    order. Agent i wins if all opponents point at items that are worse for i, or, those with a higher index, at this very
    one. If they point at k different others, all k are worse with chance u^k. One opponent after another points at an old
    item or a new one: every term is positive, and nothing cancels.
    """
    chances = np.zeros((agents, agents))
    chances[:, 0] = 1
    k, i = np.arange(agents)[None], np.arange(agents)[:, None]
    for opponent in range(1, agents):
        old = k[:, : opponent + 1]
        now = chances[:, : opponent + 1]
        new_place = np.concatenate([np.zeros((agents, 1)), now[:, :-1] * (items - old[:, 1:])], 1)
        chances[:, : opponent + 1] = (now * (old + (i < opponent)) + new_place) / items
    return chances


@jax.jit
def _shares_by_level(s: Array, law: AbstractLaw) -> Float[Array, " agents"]:
    return reach(s) * law.tail_integral(1 - s)


@jax.jit
def _shares_by_value(rule: QuantileThreshold, law: AbstractLaw) -> Float[Array, " agents"]:
    s = jnp.asarray(rule.s)
    cut = rule.law.quantile(1 - s)
    accepted = jnp.where(s < 1, law.survival(cut), 1.0)
    return reach(accepted) * jnp.where(s < 1, law.tail_integral(1 - accepted), law.mean)


def _thresholds(rule: QuantileThreshold, law: AbstractLaw) -> Float[Array, " agents"]:
    """Per item; thresholds are values once the rule is made, and `law` may be another one."""
    return _shares_by_level(jnp.asarray(rule.s), law) if rule.law is law else _shares_by_value(rule, law)
