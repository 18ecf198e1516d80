"""A NumPyro model as a density over one flat vector, compiled once per model and shape and shared between fits."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import constrain_fn, potential_energy

Arguments = tuple[Any, ...]
COLUMNS = 4  # of a Hessian at a time


class Density:
    """Potential energy (minus log posterior density, unconstrained) of a model's sites in one vector.

    Data are arguments of every program, never constants in it, so a second data set of the same shape compiles nothing.
    """

    def __init__(self, model: Callable[..., None], start: dict[str, np.ndarray], dtype: Any):
        self.model = model
        template = {name: jnp.asarray(x, dtype) for name, x in start.items()}
        self.start, self.unravel = ravel_pytree(template)
        self.names = [
            name if x.ndim == 0 else f"{name}[{','.join(map(str, index))}]"
            for name, x in sorted(template.items())
            for index in np.ndindex(x.shape)
        ]
        self.derivatives = jax.jit(self._derivatives)
        self.constrain = jax.jit(jax.vmap(self._constrain, (0, None)))

    def potential(self, z: jax.Array, args: Arguments) -> jax.Array:
        """Minus log density at `z`, up to a constant."""
        return jnp.asarray(potential_energy(self.model, args, {}, self.unravel(z)))

    def _derivatives(self, z, args):
        value, gradient = jax.value_and_grad(self.potential)(z, args)
        # Column by column, or many people would be held in memory once for each parameter.
        slope = lambda z: jax.grad(self.potential)(z, args)
        column = lambda e: jax.jvp(slope, (z,), (e,))[1]
        return value, gradient, jax.lax.map(column, jnp.eye(z.size, dtype=z.dtype), batch_size=COLUMNS)

    def _constrain(self, z, args):
        return constrain_fn(self.model, args, {}, self.unravel(z), return_deterministic=True)


@lru_cache(maxsize=32)
def _cached(model: Any, names: tuple, dtype: str) -> Density:
    return Density(model.numpyro_model, {name: np.zeros(shape) for name, shape in names}, dtype)


def density(model: Any, start: dict[str, np.ndarray], dtype: Any) -> Density:
    """The density of a fairhand model; equal models share one."""
    return _cached(model, tuple((name, np.shape(x)) for name, x in start.items()), str(dtype))
