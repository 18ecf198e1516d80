"""Paying for what one's presence costs the others, who mind inequality too."""

from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import concrete, require
from ...models.population import Population
from ..base import AbstractMechanism, Allocation
from ._check import check_values, traced
from ._promises import TruthfulInSocialPreferences, shares_add_up
from ._weights import felt
from .measures import inequality
from .participatory import Participatory

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class PricedAllocation(Allocation):
    """Shares, the certificate of the rule that gave them, and what each agent pays, `[..., agents]`, in utils."""

    payments: Float[Array | np.ndarray, "*batch agents"] | None = None


class ExternalityPricing(AbstractMechanism):
    r"""The rule's shares, and each agent pays what the others' valuations lose by her being there (Clarke's pivot).

    .. math:: p_i = \frac{1}{w_i} \Bigl( \max_{x} \sum_{k \ne i} w_k v_k(x; N \setminus i)
        - \sum_{k \ne i} w_k v_k(x^\theta) \Bigr)

    In the first term agent i is not in the population: gaps are averaged over n - 2 others, and the one who remains of two minds
    nobody. In the second, the others mind what she has.

    Truthful in alpha and beta where values are known [P]. *Not* truthful in values, though the paper says so: the others'
    valuations depend on her utility, so her report of values enters her own payment [D]; see `deviation_regret`. Nor does
    everybody gain by taking part: a valuation may be negative. The promise is made only where the rule takes reports as they are:
    `strength` 1, no cap, no mix.

    Args:
        rule: which shares; a `Participatory`. Caps that leave the others no way to take all are widened for the pivot, to
            1 / (n - 1); that keeps the incentives, since she has no say in it [X].

    Raises:
        ValueError: fewer than two agents, or as `rule`.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 33 [P]; agents' weights as in affine maximisers (Roberts 1979) [X].

    Example:
        >>> from fairhand.mechanisms.participatory import society
        >>> found = ExternalityPricing().allocate(society([[1.0], [0.5]], alpha=0.1, beta=0.1))
        >>> found.shares.tolist(), found.payments.round(6).tolist()
        ([[1.0], [0.0]], [0.6, 0.1])
    """

    deterministic: ClassVar[bool] = True
    rule: Participatory = Participatory()

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> PricedAllocation:
        """Who gets what and pays what; arguments as in `Participatory.allocate`.

        Returns:
            Shares, certificate, and `payments` `[..., agents]` in utils; they may be negative.
        """
        del key
        n = reported.num_agents
        require(n >= 2, f"`values` must have at least two agents to charge for externalities, got {n}.")
        allocation = self.rule.allocate(reported)
        if traced(reported, self) or self.rule._temperature is not None:
            pay = lambda population, shares: _payments(self.rule, population, shares)
            for _ in reported.values.shape[:-2]:
                pay = jax.vmap(pay)
            payments = pay(reported, jnp.asarray(allocation.shares))
        else:
            check_values(reported.values)
            payments = np.empty(np.shape(reported.values)[:-1])
            for at in np.ndindex(payments.shape[:-1]):
                one = jax.tree.map(lambda x, at=at: np.asarray(x)[at], reported)
                payments[at] = _known_payments(self.rule, one, np.asarray(allocation.shares)[at])
        return PricedAllocation(allocation.shares, allocation.certificate, payments)

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> "ExternalityPricing":
        """With the softened rule, here and where one agent is away."""
        return ExternalityPricing(self.rule.soften(temperature))

    def harden(self) -> "ExternalityPricing":
        """With the exact rule."""
        return self if self.rule._temperature is None else ExternalityPricing(self.rule.harden())

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        fair = (shares_add_up(self.rule.disposal),)
        return (*fair, TruthfulInSocialPreferences()) if _as_they_are(self.rule) else fair


def _as_they_are(rule: Participatory) -> bool:
    """Whether reports of alpha and beta count as they are told."""
    strength, mix = concrete(rule.strength), concrete(rule.benchmark_mix)
    return bool(
        strength is not None and mix is not None and (strength == 1).all() and mix == 0 and rule.report_cap is None
    )


def _known_payments(rule: Participatory, people: Population, shares: Any) -> np.ndarray:
    n = people.num_agents
    each, weights = _weighted_valuations(rule, people, shares, np)
    out = np.empty(n)
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        less, others = _without(rule, people, rest, n)
        alone, _ = _weighted_valuations(less, others, less.allocate(others).shares, np)
        out[i] = (alone.sum() - each[rest].sum()) / weights[i]
    return out


def _payments(rule: Participatory, people: Population, shares: Any) -> Array:
    n = people.num_agents
    each, weights = _weighted_valuations(rule, people, shares, jnp)

    def one(i):
        rest = jnp.arange(n - 1)
        rest = rest + (rest >= i)
        less, others = _without(rule, people, rest, n)
        alone, _ = _weighted_valuations(less, others, less.allocate(others).shares, jnp)
        return (alone.sum() - each[rest].sum()) / weights[i]

    return jax.lax.map(one, jnp.arange(n))


def _weighted_valuations(rule: Participatory, people: Population, shares: Any, xp: Any) -> tuple[Any, Any]:
    """w_k v_k with alpha and beta as the rule takes them, and w over its mean among all who may come."""
    u = (xp.asarray(people.values) * xp.asarray(shares)).sum(-1)
    alpha, beta = felt(people, rule.levers, xp, u.dtype)
    unequal = inequality(u)
    v = u - alpha * unequal.disadvantage - beta * unequal.advantage
    w = (
        xp.ones_like(v)
        if rule.agent_weights is None
        else xp.broadcast_to(xp.asarray(rule.agent_weights, v.dtype), v.shape)
    )
    return w * v, w


def _without(rule: Participatory, people: Population, rest: Any, agents: int) -> tuple[Participatory, Population]:
    """The rule and the people without one agent."""
    take = lambda x: (jnp.asarray(x) if traced(rest) else np.asarray(x))[rest]
    others = jax.tree.map(take, people)
    changed = {}
    for name in ("agent_weights", "groups"):
        of = getattr(rule, name)
        if of is not None and np.ndim(of) == 1:
            changed[name] = take(of)
    if rule.disposal == "forbidden":
        xp = jnp if traced(rule.caps) else np
        changed["caps"] = xp.maximum(rule.caps, 1 / (agents - 1))
    less = eqx.tree_at(lambda r: [getattr(r, name) for name in changed], rule, list(changed.values()))
    return less, others
