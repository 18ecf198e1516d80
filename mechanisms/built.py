"""Rules whose numbers follow from fewer, freer ones."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint

from ..models.population import Population
from .base import AbstractMechanism, Allocation
from .parameters import learned
from .promises import AbstractPromise


class Built(AbstractMechanism):
    """The rule `build(free)`, where `tune` moves `free`; hardened, it is the rule that was built.

    For a place inside a window, an exponent of a schedule, one number for many agents: whatever set the rule's own numbers must
    stay in, `build` maps a simple set onto it. `tune` differentiates through `build`, so that must be written in JAX.

    Args:
        build: from the free numbers to a rule; always the same function object, or programs are compiled anew.
        free: the numbers to learn, any shape.
        low: their lower end. `high`: their upper end, maybe `inf`.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.mechanisms.picking import PickR
        >>> def between_a_third_and_a_half(x):
        ...     return PickR(jnp.stack([1 / 3 + x / 6, 2 / 3 - x / 6]))
        >>> Built(between_a_third_and_a_half, 0.5).harden().r.tolist()
        [0.4166666865348816, 0.5833333134651184]
    """

    build: Callable[[Any], AbstractMechanism] = eqx.field(static=True)
    free: Float[Array | np.ndarray, "..."] = learned(lambda rule: rule.support)
    low: float = eqx.field(static=True, default=0.0)
    high: float = eqx.field(static=True, default=1.0)

    @property
    def support(self) -> Constraint:
        """Where the free numbers may lie."""
        return constraints.greater_than(self.low) if self.high == np.inf else constraints.interval(self.low, self.high)

    @property
    def rule(self) -> AbstractMechanism:
        """The rule that is built."""
        return self.build(self.free)

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        return self.rule.allocate(reported, key)

    def realise(self, reported: Population, expected: Allocation, key: PRNGKeyArray) -> Allocation:
        return self.rule.realise(reported, expected, key)

    def soften(self, temperature: Float[Array | np.ndarray, ""] | float) -> AbstractMechanism:
        return self.rule.soften(temperature)

    def harden(self) -> AbstractMechanism:
        return self.rule.harden()

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        return self.rule.promises
