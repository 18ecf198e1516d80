"""Rules with memory, and the adapter that makes them mechanisms whose options are rounds."""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..models.population import Population
from .base import AbstractMechanism, Allocation, Certificate

if TYPE_CHECKING:
    from .promises import AbstractPromise


class AbstractPolicy(eqx.Module):
    """A rule with memory: one good a round, shares of it now, and a state that remembers.

    A policy that promises utilities keeps them in `state.promise [agents]`, normalised per round over the rounds still
    to come, and has a field `gamma`, the discount factor.
    """

    @abc.abstractmethod
    def init(self) -> Any:
        """The state before the first round."""

    @abc.abstractmethod
    def step(
        self, state: Any, reported: Float[Array | np.ndarray, " agents"], key: PRNGKeyArray | None = None
    ) -> tuple[Any, Float[Array, " agents"]]:
        """Reports of one round in; the next state and this round's shares out."""

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> "AbstractPolicy":
        """The policy to train on; itself by default."""
        del temperature
        return self

    def harden(self) -> "AbstractPolicy":
        """The nearest policy that keeps its structural promises; itself by default."""
        return self

    @property
    def promises(self) -> tuple["AbstractPromise", ...]:
        """What the policy guarantees, audited state by state."""
        return ()


class Repeated(AbstractMechanism):
    """A policy played round after round: option `t` of the population is the good of round `t`.

    The certificate holds the visited states `parts["states"]` (state before each round) and `parts["final"]`.
    """

    policy: AbstractPolicy

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        rounds = reported.num_options
        keys = None if key is None else jax.random.split(key, rounds)

        def one(state, now):
            after, shares = self.policy.step(state, now[0], None if keys is None else now[1])
            return after, (state, shares)

        start = self.policy.init()
        inputs = (reported.values.T,) if keys is None else (reported.values.T, keys)
        final, (states, shares) = jax.lax.scan(one, start, inputs)
        residual = jnp.zeros((), shares.dtype)
        return Allocation(shares.T, Certificate(residual, parts={"states": states, "final": final}))

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> AbstractMechanism:
        return self._with(self.policy.soften(temperature))

    def harden(self) -> AbstractMechanism:
        return self._with(self.policy.harden())

    def _with(self, policy: AbstractPolicy) -> "Repeated":
        return self if policy is self.policy else dataclasses.replace(self, policy=policy)

    @property
    def promises(self) -> tuple["AbstractPromise", ...]:
        return self.policy.promises
