"""The gradient of the hard rule by the score function: no relaxation, and noise instead."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._fractions import as_s
from .threshold_welfare import threshold_welfare


class ScoreGradient(eqx.Module):
    """An estimate and its noise.

    Attributes:
        gradient: `[agents]`, of the smoothed welfare in the logit of s; 0 for the last agent, who takes all that is left.
        standard_error: `[agents]`.
        value: welfare per item of the hard rule, mean over the perturbed thresholds.
    """

    gradient: Float[Array, " agents"]
    standard_error: Float[Array, " agents"]
    value: Float[Array, ""]


def score_gradient(
    s: Any, law: AbstractLaw, values: Any, *, key: PRNGKeyArray, draws: int = 256, scale: float = 0.1
) -> ScoreGradient:
    r"""Gradient of the welfare of QT-s on `values` by perturbing thresholds, never by relaxing the rule.

    With :math:`\theta = \operatorname{logit} s`, :math:`\eta \sim N(\theta, \sigma^2)` it is the mean over draws of
    :math:`(W(\eta) - \bar W) (\eta - \theta) / \sigma^2`, the baseline :math:`\bar W` being the mean over all other draws.
    Unbiased for the gradient of :math:`E W(\eta)`, which tends to that of W as σ falls; only values of the hard rule are
    asked for (Williams 1992; leave-one-out baseline of Kool, van Hoof and Welling 2019) [X].

    Args:
        s: `[agents]`, thresholds strictly inside (0, 1) but for the last, which is 1.
        law: law of the values.
        values: `[..., agents, items]`, sampled from it.
        key: of the perturbations.
        draws: how many, at least 2.
        scale: σ, in units of logits.

    Raises:
        ValueError: s is no vector of thresholds, or `draws` or `scale` is out of range.

    Example:
        >>> from fairhand.models import Uniform
        >>> values = Uniform().sample((20, 2, 100), key=jax.random.key(0))
        >>> found = score_gradient([0.3, 1.0], Uniform(), values, key=jax.random.key(1))
        >>> bool(abs(found.gradient[0] - 0.3 * 0.7 * 0.2) < 4 * found.standard_error[0])  # ds/dθ (Q(1 − s) − mean)
        True
    """
    s = jnp.asarray(as_s(s))
    require(draws >= 2, f"`draws` must be at least 2 for a baseline, got {draws}.")
    require(scale > 0, f"`scale` must be positive, got {scale}.")
    noise = jax.random.normal(key, (draws, s.shape[-1] - 1), s.dtype)
    return _estimate(s, law, jnp.asarray(values), noise, jnp.asarray(scale, s.dtype))


@compiled
def _estimate(s, law, values, noise, scale) -> ScoreGradient:
    theta = jax.scipy.special.logit(s[:-1])
    last = jnp.ones_like(s[:1])
    welfare = lambda e: threshold_welfare(jnp.concatenate([jax.nn.sigmoid(theta + scale * e), last]), law, values)
    worth = jax.lax.map(welfare, noise)
    draws = noise.shape[0]
    others = (worth.sum() - worth) / (draws - 1)
    each = (worth - others)[:, None] * noise / scale
    zero = jnp.zeros_like(s[:1])
    error = jnp.std(each, 0) / np.sqrt(draws - 1)
    return ScoreGradient(jnp.concatenate([each.mean(0), zero]), jnp.concatenate([error, zero]), worth.mean())
