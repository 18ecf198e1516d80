"""Expected shares by averaging realisations, for rules that have them in no closed form."""

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from ..models.population import Population
from .base import AbstractMechanism, Allocation
from .promises import AbstractPromise


class Averaged(AbstractMechanism):
    """A random rule whose expected shares are the average over `coins` fixed realisations.

    The same coins serve every population, so two populations differ only by who is in them. The average is unbiased,
    with a Monte-Carlo error of order one over the root of `coins`; a realisation under a key is the rule's own.

    Args:
        rule: a rule that needs a key.
        coins: how many realisations to average.
        seed: of the coins.

    Raises:
        ValueError: `coins` below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.mechanisms.classic import RandomSerialDictatorship
        >>> everybody_wants_it = Population(jnp.ones((4, 1)))
        >>> shares = Averaged(RandomSerialDictatorship(), coins=400).allocate(everybody_wants_it).shares
        >>> bool(abs(shares - 0.25).max() < 0.1)
        True
    """

    rule: AbstractMechanism
    coins: int = eqx.field(static=True, default=64)
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.coins < 1:
            raise ValueError(f"`coins` must be at least 1, got {self.coins}.")

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        if key is not None:
            return self.rule.allocate(reported, key)
        tosses = jax.random.split(jax.random.key(self.seed), self.coins)
        return Allocation(jax.vmap(lambda k: self.rule.allocate(reported, k).shares)(tosses).mean(0))

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        return self.rule.promises
