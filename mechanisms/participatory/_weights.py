r"""From what people say to the program that a rule solves: defaults, caps, strength, mix and agents' weights.

All of them change alpha and beta only, so that every solver serves every rule. For a mix this is so because
:math:`(1 - m) W + m \sum u` is W with alpha and beta scaled by 1 - m [D]. For weights w on the agents it is so because

.. math:: \sum_i \delta_i (I^-_i - I^+_i) = \frac{n}{n-1} \sum_i \delta_i (u_i - \bar u)

so that with :math:`\tilde w = w / \bar w` and :math:`\delta = \frac{n-1}{n} (\tilde w - 1)`, which sums to 0,

.. math:: \sum_i \tilde w_i v_i(\alpha, \beta) = \sum_i v_i(\tilde w \alpha + \delta, \tilde w \beta - \delta)

exactly and for all allocations [D]. One of the two may turn negative, their sum does not: welfare stays concave.
"""

from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...models._check import require
from ...models.population import Population
from ...models.supply import Items
from ._check import check_values, traced


class Levers(NamedTuple):
    """The numbers of a rule that shape its program."""

    strength: Any = 1.0
    report_cap: Any = None
    agent_weights: Any = None
    benchmark_mix: Any = 0.0
    default: Any = (0.0, 0.0)
    groups: Any = None


class Program(NamedTuple):
    """What is solved, float64 NumPy where numbers are known, else JAX arrays; leading axes are a batch."""

    values: Any  # [..., agents, items]
    alpha: Any  # [..., agents]
    beta: Any  # [..., agents]
    known: bool


def program_of(population: Population, levers: Levers) -> Program:
    """The program of the people who report `population`.

    Raises:
        ValueError: another supply than items, or what does not fit the number of agents.
    """
    require(
        isinstance(population.supply, Items),
        f"`supply` must be `Items` for a participatory rule, got {type(population.supply).__name__}.",
    )
    known = not traced(population, levers)
    xp = np if known else jnp
    values = check_values(population.values) if known else jnp.asarray(population.values)
    values = values if known else values.astype(jnp.result_type(values, jnp.float32))
    alpha, beta = felt(population, levers, xp, values.dtype)
    return Program(values, *weighted(alpha, beta, levers.agent_weights, xp), known)


def felt(population: Population, levers: Levers, xp: ModuleType, dtype: Any) -> tuple[Any, Any]:
    """Alpha and beta as the rule takes them, before agents' weights, `[..., agents]`."""
    shape = np.shape(population.values)[:-1]
    cast = lambda x: xp.asarray(x, dtype)
    factor = _factor(population, levers, xp, shape, dtype) * (1 - cast(levers.benchmark_mix))
    found = []
    for said, default in zip((population.alpha, population.beta), _pair(cast(levers.default)), strict=True):
        fill = xp.broadcast_to(default, shape)
        told = fill
        if said is not None:
            said = xp.broadcast_to(cast(said), shape)
            told = xp.where(xp.isnan(said), fill, said)
        if levers.report_cap is not None:
            told = xp.minimum(told, xp.broadcast_to(cast(levers.report_cap), shape))
        found.append(factor * told)
    return found[0], found[1]


def weighted(alpha: Any, beta: Any, weights: Any, xp: ModuleType) -> tuple[Any, Any]:
    """The alpha and beta with which the plain sum of valuations is the weighted one, over the mean weight."""
    if weights is None:
        return alpha, beta
    n = alpha.shape[-1]
    require(
        np.shape(weights) in ((), (n,)),
        f"`agent_weights` must be a number or have one entry an agent: there are {n}, it has shape {np.shape(weights)}.",
    )
    w = xp.broadcast_to(xp.asarray(weights, alpha.dtype), (n,))
    w = w / w.mean()
    shift = (n - 1) / n * (w - 1)
    w, shift = xp.broadcast_to(w, alpha.shape), xp.broadcast_to(shift, alpha.shape)
    return w * alpha + shift, w * beta - shift


def _pair(x: Any) -> tuple[Any, Any]:
    return x[0], x[1]


def _factor(population: Population, levers: Levers, xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Any:
    strength = xp.asarray(levers.strength, dtype)
    if strength.ndim == 0:
        return xp.broadcast_to(strength, shape)
    groups = population.kind if levers.groups is None else levers.groups
    if groups is None:
        raise ValueError(
            f"`groups` is missing: `strength` has {strength.shape[0]} entries, so the rule must know each agent's group. Pass "
            "`groups`, or a population with `kind`.",
        )
    require(
        np.shape(groups)[-1:] == shape[-1:],
        f"`groups` must have one entry an agent: there are {shape[-1]}, it has shape {np.shape(groups)}.",
    )
    if not traced(groups):
        groups = np.asarray(groups)
        require(
            groups.min(initial=0) >= 0 and groups.max(initial=0) < strength.shape[0],
            f"`groups` must be in 0 ... {strength.shape[0] - 1}, one for each entry of `strength`; got {groups.max(initial=0)}.",
        )
    return xp.broadcast_to(strength[groups], shape)
