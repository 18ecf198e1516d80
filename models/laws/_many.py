"""Several laws at once: one an agent."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._law import AbstractLaw


def quantiles(
    laws: Sequence[AbstractLaw], levels: Float[Array | np.ndarray, "laws levels"]
) -> Float[Array, "laws levels"]:
    """Quantile of each law at levels of its own; laws of one shape are mapped over together, whatever their number."""
    shape = lambda law: (jax.tree.structure(law), [np.shape(x) for x in jax.tree.leaves(law)])
    if all(shape(law) == shape(laws[0]) for law in laws):
        stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *laws)
        return jax.vmap(lambda law, u: law.quantile(u))(stacked, jnp.asarray(levels))
    return jnp.stack([law.quantile(u) for law, u in zip(laws, levels, strict=True)])
