"""The smallest rule with something to learn: everybody gets the same share of everything, and giving has a cost.

With values of mean m and cost k x^2 / 2 an option, the best level is m / k; under a limit x <= b it is b, and the
multiplier is m - k b an option. Closed forms for objective, limit, shadow price and their errors.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from fairhand.mechanisms import AbstractMechanism, Allocation, learned


class Level(AbstractMechanism):
    """A share `level` of every option to each agent."""

    level: Float[Array | np.ndarray, ""] = learned(constraints.unit_interval)

    def allocate(self, reported, key=None):
        del key
        values = jnp.asarray(reported.values)
        return Allocation(self.level * jnp.ones_like(values))


def given(p, a):
    """Shares handed out, per option and agent."""
    return a.shares.mean()


def surplus(p, a):
    """Value less cost, per option and agent."""
    return jnp.mean(p.values * a.shares - a.shares**2 / 2)


def worth(p, a):
    """Value of all there is, per option and agent."""
    return p.values.mean()
