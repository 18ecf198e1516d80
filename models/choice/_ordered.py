"""Order statistics as a distribution: independent draws of one law, put in order."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints


class Ordered(dist.Distribution):
    r"""`size` independent draws of `base`, in increasing order.

    Density :math:`K!\prod_k f(x_k)` on :math:`x_1 < \dots < x_K`. A mixture whose classes are exchangeable a priori has the
    same posterior with its labels ordered by this law as without labels.
    """

    support: ClassVar[Any] = constraints.ordered_vector
    arg_constraints: ClassVar[dict] = {}

    def __init__(self, base: dist.Distribution, size: int):
        self.base, self.size = base, size
        super().__init__((), (size,), validate_args=False)

    def sample(self, key: PRNGKeyArray | None, sample_shape: tuple = ()) -> Float[Array, "*batch size"]:
        assert key is not None
        return jnp.sort(jnp.asarray(self.base.sample(key, (*sample_shape, self.size))), -1)

    def log_prob(self, value: Float[Array, "*batch size"], intermediates: Any = None) -> Float[Array, "*batch"]:
        del intermediates
        return jnp.sum(jnp.asarray(self.base.log_prob(value)), -1) + math.lgamma(self.size + 1)
