"""Weights at which everyone is equally likely to have the greatest weighted value."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from ...models._check import as_array, concrete, dtype_of, require
from ...models._compiled import compiled
from ...models.laws import AbstractLaw
from ._equalise import by_cooling, by_newton, by_sgd, implicit, law_moments, sample_moments, sample_wins
from ._types import LawsOrSamples


class EqualisingWeights(eqx.Module):
    """Weights of agents, in two scales, and how well they equalise.

    Attributes:
        weights: `[agents]`, the first one 1.
        geometric: `[agents]`, the same with geometric mean 1.
        win_probabilities: `[agents]`, chance that an agent's weighted value is the greatest: by quadrature on laws, counted
            on samples.
        residual: how far the worst of them is from 1/agents; on samples they move in steps of 1/draws.
    """

    weights: Float[Array, " agents"]
    geometric: Float[Array, " agents"]
    win_probabilities: Float[Array, " agents"]
    residual: Float[Array, ""]


def equalising_weights(
    laws: LawsOrSamples,
    method: str = "newton",
    *,
    key: PRNGKeyArray | None = None,
) -> EqualisingWeights:
    r"""Weights w at which each of n agents has the greatest weighted value with chance 1/n.

    .. math:: P_i(w) = \int f_i(x) \prod_{k \ne i} F_k(w_i x / w_k)\,dx = \frac1n

    That they exist is due to Bai and Gölz [P cites it]. We find them as the minimum of a convex function of log w, unique up
    to scale [D]: :math:`\Phi(l) = E \max_k (l_k + \log v_k) - \frac1n \sum_k l_k`, whose gradient is :math:`P - 1/n`.

    Under `jit` and `vmap` nothing is checked, so a posterior of laws can be mapped over. The result is differentiable in the
    laws' parameters, or in the samples, by the implicit function theorem; for samples that is the derivative of Φ softened just
    as much as it took to settle them.

    Args:
        laws: one law an agent, in any mix of classes, each with an interval of nonnegative values as support and a density
            between two positive bounds on it. Or positive samples `[agents, draws]`, whose columns are drawn together: the
            plug-in weights, by Newton's method while the maximum is softened ever less.
        method: `"newton"`, by quadrature cut at all kinks; or `"sgd"`, stochastic gradient descent on draws (a million of
            them), good to about three digits and a check on the former.
        key: for `"sgd"` only.

    Returns:
        `weights`, `geometric`, `win_probabilities` and `residual`. After `"sgd"` the chances are by quadrature too, so the
        residual is an independent verdict on it.

    Raises:
        ValueError: fewer than two agents, a law that is not regular or has negative values, samples that are not positive and
            finite, an unknown method, or `"sgd"` without a key or on samples.

    Source: Halpern, Psomas and Zhang, appendix A, after Bai and Gölz (2022); the convex problem is ours.

    Example:
        >>> from fairhand.models import Uniform
        >>> found = equalising_weights([Uniform(), Uniform(0.5, 1.0)])
        >>> [round(float(w), 4) for w in found.weights], [round(float(p), 4) for p in found.win_probabilities]
        ([1.0, 0.6667], [0.5, 0.5])
    """
    require(method in ("newton", "sgd"), f'`method` must be "newton" or "sgd", got {method!r}.')
    if not isinstance(laws, list | tuple) or not all(isinstance(law, AbstractLaw) for law in laws):
        return _on_samples(laws, method)
    require(len(laws) >= 2, f"`laws` needs one law an agent and at least two, got {len(laws)}.")
    for i, law in enumerate(laws):
        require_regular(i, law)
    dtype = jnp.result_type(*(law._dtype() for law in laws))
    laws = tuple(law._cast(dtype) for law in laws)
    if method == "newton":
        return _newton(laws)
    if key is None:
        raise ValueError('`key` is needed by method="sgd": pass `key=jax.random.key(0)`.')
    return _sgd(laws, key)


def require_regular(i: int, law: AbstractLaw) -> None:
    """Refuse a law that is negative, or whose density is not between two positive bounds on an interval."""
    regular, low = concrete(law.is_regular), concrete(law.support[0])
    require(
        regular is None or bool(regular),
        f"`laws[{i}]` must have an interval as support and a density between two positive bounds on it; "
        f"{type(law).__name__} here has not. Truncate it, or mix it with a uniform law.",
    )
    require(low is None or low >= 0, f"`laws[{i}]` has values down to {low}; they must not be negative, so shift them.")


def _on_samples(samples: Any, method: str) -> EqualisingWeights:
    samples = as_array(samples)
    require(
        np.ndim(samples) == 2 and np.shape(samples)[0] >= 2 and np.shape(samples)[1] >= 1,
        f"`laws` must be a list of laws, one an agent, or samples [agents, draws] of at least two; got {samples!r}.",
    )
    known = concrete(samples)
    require(
        known is None or np.all((known > 0) & np.isfinite(known)),
        "`laws` holds samples that are not positive and finite; no weight helps an agent who values an item at 0.",
    )
    require(method == "newton", '`method` must be "newton" on samples: all of them are used at once.')
    return _cooling(jnp.asarray(samples, dtype_of(samples)))


def _results(logs: Array, wins: Array) -> EqualisingWeights:
    n = logs.size
    return EqualisingWeights(
        jnp.exp(logs - logs[0]), jnp.exp(logs - jnp.mean(logs)), wins, jnp.max(jnp.abs(wins - 1 / n))
    )


@compiled
def _newton(laws: tuple) -> EqualisingWeights:
    logs, wins = by_newton(lax.stop_gradient(laws))
    return _results(implicit(law_moments, logs, laws), wins)


@compiled
def _sgd(laws: tuple, key: PRNGKeyArray) -> EqualisingWeights:
    logs = implicit(law_moments, by_sgd(lax.stop_gradient(laws), key), laws)
    return _results(logs, law_moments(*lax.stop_gradient((logs, laws))).wins)


@compiled
def _cooling(samples: Float[Array, "agents draws"]) -> EqualisingWeights:
    x = jnp.log(samples)
    logs, temperature = by_cooling(lax.stop_gradient(x))
    return _results(implicit(sample_moments, logs, (x, temperature)), sample_wins(logs, lax.stop_gradient(x)))
