"""A world where every agent's values follow a law of her own, maybe correlated between agents."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ._check import as_array, concrete, require
from .laws import AbstractLaw
from .laws._many import quantiles
from .population import Population
from .supply import AbstractSupply, Items
from .world import AbstractWorld


class OwnLaws(AbstractWorld):
    r"""Agent i's values are draws of `laws[i]`, independent over options; between agents independent or by a Gaussian copula.

    .. math:: v_{ij} = Q_i(\Phi(z_{ij})), \quad z_{\cdot j} \sim N(0, C) \text{ for each option } j

    Args:
        laws: one law an agent.
        options: how many options there are.
        correlation: `[agents, agents]`, of the normal scores z; None for independent agents. With two agents a bare number.
        supply: what there is to share; default `Items()`.

    Raises:
        ValueError: there is no law, no option, or `correlation` is no correlation matrix.

    Example:
        >>> from fairhand.models import Uniform
        >>> world = OwnLaws([Uniform(), Uniform(0.5, 1.0)], 1000, correlation=0.9)
        >>> values = world.population(jax.random.key(0)).values
        >>> bool(jnp.corrcoef(values)[0, 1] > 0.8), bool(values[1].min() > 0.5)
        (True, True)
    """

    laws: tuple[AbstractLaw, ...] = eqx.field(converter=tuple)
    options: int = eqx.field(static=True)
    correlation: Float[Array | np.ndarray, "*draws agents agents"] | None = None
    supply: AbstractSupply = Items()

    def __init__(self, laws: Any, options: int, correlation: Any = None, supply: AbstractSupply | None = None):
        self.laws, self.options, self.supply = tuple(laws), options, Items() if supply is None else supply
        c = as_array(correlation)
        self.correlation = np.array([[1.0, c], [c, 1.0]]) if isinstance(c, np.ndarray) and c.ndim == 0 else c

    def __check_init__(self):
        n = len(self.laws)
        require(n >= 1, "`laws` is empty; give one law an agent.")
        require(self.options >= 1, f"`options` must be at least 1, got {self.options}.")
        c = concrete(self.correlation)
        if c is not None:
            square = c.shape[-2:] == (n, n) and np.allclose(c, np.swapaxes(c, -1, -2))
            fine = square and np.allclose(np.diagonal(c, axis1=-2, axis2=-1), 1) and np.linalg.eigvalsh(c).min() > 0
            require(
                fine,
                f"`correlation` must be a symmetric positive definite {n} × {n} matrix with ones on its diagonal, got {c}.",
            )

    def population(self, key: PRNGKeyArray) -> Population:
        shape = (len(self.laws), self.options)
        dtype = jnp.result_type(*(law._dtype() for law in self.laws))
        if self.correlation is None:
            u = jax.random.uniform(key, shape, dtype, minval=jnp.finfo(dtype).tiny)
        else:
            z = jnp.linalg.cholesky(jnp.asarray(self.correlation, dtype)) @ jax.random.normal(key, shape, dtype)
            u = jax.scipy.special.ndtr(z)
        return Population(quantiles(self.laws, u), self.supply)
