"""The arithmetic of latent classes: what each class makes of a person's choices, one draw after another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._compiled import compiled
from ._utility import log_probability


def by_class(
    coefficient: Float[Array, "classes coefficients"],
    share: Float[Array, " classes"],
    design: Float[Array | np.ndarray, "situations alternatives coefficients"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
    chosen: Int[Array | np.ndarray, " situations"],
    weight: Float[Array | np.ndarray, " situations"],
    person: Int[Array | np.ndarray, " situations"],
    people: int,
) -> Float[Array, "people classes"]:
    """Log of share times probability of a person's choices, by class; situations of weight 0 are left out."""
    logits = log_probability(coefficient, design, available)
    own = jnp.take_along_axis(logits, jnp.asarray(chosen)[None, :, None], -1)[..., 0]
    counted = jnp.where((jnp.asarray(weight) > 0)[None], own, 0.0)
    sums = jax.ops.segment_sum(counted.T, jnp.asarray(person), people)
    return sums + jnp.log(share).astype(sums.dtype)[None]


@compiled
def by_class_and_draw(coefficient: Any, share: Any, *arrays: Any) -> Float[Array, "*draws people classes"]:
    """`by_class` for each draw, or for one set of parameters."""
    if coefficient.ndim == 2:
        return by_class(coefficient, share, *arrays)
    return jax.lax.map(lambda x: by_class(*x, *arrays), (coefficient, share))


@compiled
def mixed(
    coefficient: Any, belongs: Any, design: Any, available: Any, person: Any
) -> Float[Array, "draws situations alternatives"]:
    """Chances of the alternatives, over the classes that the person may be of."""

    def one(x):
        chance = jnp.exp(log_probability(x[0], design, available))
        return jnp.einsum("csa,sc->sa", chance, x[1][person], precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(one, (coefficient, belongs))


@compiled
def replicated(
    coefficient: Any, belongs: Any, design: Any, available: Any, person: Any, key: PRNGKeyArray
) -> Int[Array, "draws situations"]:
    """Choices drawn anew, each person of one class in each draw."""

    def one(x):
        of, which = jax.random.split(x[2])
        kind = jax.random.categorical(of, jnp.log(x[1]), -1)[person]
        logits = log_probability(x[0], design, available)
        return jax.random.categorical(which, jnp.take_along_axis(logits, kind[None, :, None], 0)[0], -1)

    return jax.lax.map(one, (coefficient, belongs, jax.random.split(key, coefficient.shape[0])))
