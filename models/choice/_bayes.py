"""The conditional logit for NumPyro: priors on standardised columns, and the choices as one observed site."""

import math

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int
from numpyro.distributions import constraints

# Prior of minus the standardised numeraire coefficient, in prior scales: median 0.2, 95 % within 0.017 and 2.3.
NUMERAIRE_MEDIAN, NUMERAIRE_SPREAD = 0.2, 1.25


def sample_coefficient(
    scale: Float[Array, " coefficients"], prior_scale: float | None, numeraire: int | None
) -> Float[Array, " coefficients"]:
    """Sites `beta` and `numeraire` in standard units; returns the deterministic `coefficient` in those of the data."""
    free = scale.shape[0] - (numeraire is not None)
    beta = jnp.zeros(0)
    if free:
        if prior_scale is None:
            prior = dist.ImproperUniform(constraints.real_vector, (), (free,))
        else:
            prior = dist.Normal(jnp.zeros(free), prior_scale).to_event(1)
        beta = jnp.asarray(numpyro.sample("beta", prior))
    if numeraire is not None:
        if prior_scale is None:
            prior = dist.ImproperUniform(constraints.positive, (), ())
        else:
            prior = dist.LogNormal(math.log(NUMERAIRE_MEDIAN * prior_scale), NUMERAIRE_SPREAD)
        cost = jnp.asarray(numpyro.sample("numeraire", prior), beta.dtype)
        beta = jnp.concatenate([beta[:numeraire], -cost[None], beta[numeraire:]])
    return jnp.asarray(numpyro.deterministic("coefficient", beta / jnp.asarray(scale, beta.dtype)))


class _Normalised(dist.CategoricalLogits):
    """Categorical law whose logits are log-probabilities already: a third of the time for a gradient.

    NumPyro's own takes their softmax again, and gathers, whose derivative scatters.
    """

    def log_prob(self, value: Int[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        logits = jnp.asarray(self.logits)
        taken = jnp.arange(logits.shape[-1]) == jnp.asarray(value)[..., None]
        return jnp.where(taken, logits, 0.0).sum(-1)


def observe(
    logits: Float[Array, "situations alternatives"],
    available: Bool[Array | np.ndarray, "situations alternatives"],
    chosen: Int[Array | np.ndarray, " situations"] | None,
    weight: Float[Array | np.ndarray, " situations"] | None,
) -> None:
    """Site `chosen`, each situation's log-probability times its weight; None draws it instead. `logits` are normalised."""
    weight = jnp.ones(logits.shape[0], logits.dtype) if weight is None else jnp.asarray(weight, logits.dtype)
    counts = weight > 0
    # A finite stand-in for log 0: NumPyro's validation refuses -inf, and its exponential is 0 all the same.
    logits = jnp.where(jnp.asarray(available), logits, -1e30)
    with (
        numpyro.plate("situation", logits.shape[0]),
        numpyro.handlers.scale(scale=jnp.where(counts, weight, 1.0)),
        numpyro.handlers.mask(mask=counts),
    ):
        numpyro.sample("chosen", _Normalised(logits=logits), obs=chosen)
