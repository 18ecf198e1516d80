"""Markets with priorities: who ranks higher at each option, who is admitted, and who could block."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...models._check import concrete, require
from ...models.population import Population
from ._choice import Choices, places


def check_priorities(priorities: Any, quotas: Any, ties: str) -> None:
    """Refuse wrong shapes, NaN, ties and quotas that are not whole numbers, by name, as far as numbers are known."""
    require(ties in ("refuse", "index"), f'`ties` must be "refuse" or "index", got {ties!r}.')
    shape = np.shape(priorities)
    require(len(shape) >= 2, f"`priorities` must be [options, agents] scores; got shape {shape}.")
    if (scores := concrete(priorities)) is not None:
        bad = np.argwhere(np.isnan(scores) | (scores == np.inf))
        require(
            len(bad) == 0,
            f"`priorities` must be finite, or -inf where an agent is not eligible; entry {bad[:1].tolist()} is not.",
        )
        # Judged in the precision in which JAX will compare them.
        ordered = np.sort(np.asarray(jnp.asarray(scores)), -1)
        tied = np.argwhere((ordered[..., 1:] == ordered[..., :-1]) & np.isfinite(ordered[..., 1:]))
        require(
            ties == "index" or len(tied) == 0,
            f"`priorities` has ties at option {tied[0][-2] if len(tied) else ()}, and the rule needs a strict order. "
            'Add a lottery number within each score, or pass `ties="index"` to favour the lower index.',
        )
    check_quotas(quotas)


def check_quotas(quotas: Any) -> None:
    """Refuse quotas that are negative, not whole or NaN."""
    if (seats := concrete(quotas)) is not None:
        require(
            np.all(seats >= 0) and np.all(np.floor(seats) == seats),
            f"`quotas` must be whole numbers of seats, not negative; got {seats.tolist()}.",
        )


def ranks(priorities: Any) -> Int[Array, "... options agents"]:
    """Place of each agent at each option, 0 is first, the lower index among equals; ineligible agents share the last.

    Known scores are ranked by NumPy, in full precision: XLA would fold the sorting of a constant, which takes minutes.
    """
    known = concrete(priorities)
    xp, scores = (jnp, priorities) if known is None else (np, known)
    place = xp.argsort(xp.argsort(-scores, axis=-1, stable=True), axis=-1)
    return jnp.asarray(xp.where(scores == -xp.inf, scores.shape[-1], place), jnp.int32)


class Market(eqx.Module):
    """Both sides in ranks: what agents like, whom options favour, and how many seats there are.

    Attributes:
        choices: the options, and nothing as the last, with ineligible ones at −inf.
        order: `[agents, choices]`, each agent's choices from best to worst.
        rank: `[choices, agents]`, place of an agent at a choice, 0 is first; as many as agents is not eligible.
        quota: `[choices]`, seats; as many as agents means free.
    """

    choices: Choices
    order: Int[Array, "agents choices"]
    rank: Int[Array, "choices agents"]
    quota: Int[Array, " choices"]

    @classmethod
    def of(cls, reported: Population, rank: Int[Array, "_ agents"], quotas: Any = None) -> "Market":
        """The market of these reports; `rank` is as from `ranks`, and the last option may go without if it is free.

        Raises:
            ValueError: `priorities` or `quotas` do not fit the population.
        """
        choices = Choices.unit_demand(reported)
        agents, options = choices.num_agents, choices.nothing
        require(
            agents * (options + 2) < 2**31, f"{agents} agents by {options} options is more than this rule can count."
        )
        require(
            rank.shape in ((options, agents), (options - 1, agents)),
            f"`priorities` must be [{options} options, {agents} agents], or leave out the last, free option; "
            f"got {rank.shape}.",
        )
        rest = jnp.broadcast_to(jnp.arange(agents, dtype=jnp.int32), (options + 1 - rank.shape[0], agents))
        rank = jnp.concatenate([rank, rest])
        choices = eqx.tree_at(lambda c: c.worth, choices, jnp.where(agents > rank.T, choices.worth, -jnp.inf))
        quota = choices.quotas()
        if quotas is not None:
            seats = jnp.asarray(quotas).astype(jnp.int32)
            require(
                seats.shape in ((options,), (options - 1,)),
                f"`quotas` must have one entry for each of {options} options, or all but the last; got {seats.shape}.",
            )
            quota = quota.at[: seats.shape[0]].set(jnp.minimum(seats, agents))
        return cls(choices, choices.order(), rank, quota)

    def admitted(self, applied: Int[Array, " agents"], quota: Int[Array, " choices"]) -> Bool[Array, " agents"]:
        """Who is among the `quota` highest of those who apply to the same choice; an index past the last is nowhere."""
        agents, choices = applied.shape[0], quota.shape[0]
        known = jnp.minimum(applied, choices - 1)
        key = applied.astype(jnp.int32) * agents + self.rank[known, jnp.arange(agents)]  # by choice, then by rank
        ranked = jnp.sort(key)
        first = jnp.searchsorted(ranked, jnp.arange(choices, dtype=key.dtype) * agents)
        # Where seats are left this is the key of somebody at a later choice, and lets everybody in.
        cutoff = jnp.where(quota > 0, ranked[jnp.clip(first + quota - 1, 0, agents - 1)], -1)
        return (applied < choices) & (key <= cutoff[known])

    def blocking(self, choice: Int[Array, " agents"]) -> Bool[Array, "agents choices"]:
        """Pairs that would rather have each other: an empty seat, or one held by somebody of lower priority.

        A choice's cutoff is the rank of the last admitted, or everybody's while seats are free, so nothing larger than
        agents times options is ever built.
        """
        agents = choice.shape[0]
        who = jnp.arange(agents)
        place = places(self.order)
        held = jnp.zeros_like(self.quota).at[choice].add(1)
        worst = jnp.full_like(self.quota, -1).at[choice].max(self.rank[choice, who])
        cutoff = jnp.where(held < self.quota, agents, worst)
        wanted = (place < place[who, choice][:, None]) & jnp.isfinite(self.choices.worth)
        return wanted & (cutoff[None] > self.rank.T)


def choice_of(shares: Float[Array, "agents choices"]) -> Int[Array, " agents"]:
    """The choice each agent holds in a 0/1 table of choices."""
    return jnp.argmax(shares, -1).astype(jnp.int32)
