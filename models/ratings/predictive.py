"""What a posterior of ratings predicts: joint values of agents, ratings that might have been given, and how they compare."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._check import require
from .._compiled import compiled


@compiled
def _play(worlds, keys):
    return jax.vmap(lambda i, key: worlds.one(i).population(key).values)(jnp.arange(worlds.num), keys)


def joint_values(
    posterior: Any, *, key: PRNGKeyArray, each: int = 4, draws: int | None = None
) -> Float[np.ndarray, "draws agents"]:
    """What one new item is worth to all agents of the data together, drawn from the posterior.

    The second argument of a copula's worth: pass it to `correlated_two_agent(..., joint=...)`.

    Args:
        posterior: of a model of this room.
        key: all randomness.
        each: items per draw of the posterior.
        draws: how many draws of the posterior, evenly spaced; None takes all.

    Returns:
        `[draws * each, agents]`, values between 0 and 1.

    Raises:
        ValueError: `each` is less than one.

    Source: the joint law of appendix B of Halpern, Psomas and Zhang, learned [X].

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.ratings import CommonLaw, RatingData
        >>> data = RatingData(np.random.default_rng(0).random((2, 20)) ** 0.5)
        >>> posterior = fh.fit(CommonLaw("power"), data, method="map", draws=10)
        >>> joint_values(posterior, key=jax.random.key(0)).shape
        (160, 2)
    """
    require(each >= 1, f"`each` must be at least 1, got {each}.")
    worlds = posterior.world(draws=draws, same=True, items=each)
    values = np.asarray(_play(worlds, jax.random.split(key, worlds.num)))
    return values.swapaxes(1, 2).reshape(-1, values.shape[1])


class QuantileCheck(eqx.Module):
    """Quantiles of the ratings beside those that the model predicts.

    Attributes:
        levels: `[levels]`. `observed`: `[levels]`, quantiles of the ratings given, in their units.
        low, high: `[levels]`, the 5 % and 95 % quantiles of what the model predicts for each.
        p_value: `[levels]`, two-sided posterior predictive probability of something at least as far out; small means that
            the model does not explain that quantile.
    """

    levels: Float[np.ndarray, " levels"]
    observed: Float[np.ndarray, " levels"]
    low: Float[np.ndarray, " levels"]
    high: Float[np.ndarray, " levels"]
    p_value: Float[np.ndarray, " levels"]

    @property
    def table(self) -> Any:
        """The same as a pandas data frame, a row a level."""
        import pandas as pd

        columns = {name: x for name, x in vars(self).items() if name != "levels"}
        return pd.DataFrame(columns, index=pd.Index(self.levels, name="level"))

    def __str__(self) -> str:
        return self.table.round(4).to_string()


def quantile_check(
    posterior: Any,
    *,
    key: PRNGKeyArray,
    levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    draws: int | None = 400,
) -> QuantileCheck:
    """Could the model have given ratings such as these? Posterior predictive check of quantiles.

    Args:
        posterior: of a model of this room.
        key: all randomness.
        levels: which quantiles.
        draws: how many draws of the posterior, evenly spaced; None takes all.

    Returns:
        Observed quantiles, what is predicted, and two-sided probabilities.

    Raises:
        ValueError: a level outside (0, 1).

    Source: Gelman, Meng and Stern, "Posterior predictive assessment of model fitness via realized discrepancies" (1996).

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.ratings import CommonLaw, RatingData
        >>> data = RatingData(np.random.default_rng(0).random((2, 40)) ** 0.5)
        >>> posterior = fh.fit(CommonLaw("power"), data, method="map", draws=50)
        >>> bool(quantile_check(posterior, key=jax.random.key(0)).p_value.min() > 0.02)
        True
    """
    at = np.asarray(levels, float)
    require(at.ndim == 1 and np.all((at > 0) & (at < 1)), f"`levels` must lie between 0 and 1, got {levels}.")
    observed = np.quantile(posterior.data.observed()["rating"][1], at)
    again = np.asarray(posterior.model.replicate(posterior.thinned(draws), posterior.data, key=key))
    predicted = np.quantile(again, at, axis=1).T
    below, above = (predicted <= observed).mean(0), (predicted >= observed).mean(0)
    low, high = np.quantile(predicted, [0.05, 0.95], axis=0)
    return QuantileCheck(at, observed, low, high, np.minimum(1.0, 2 * np.minimum(below, above)))
