"""What the rules of this room guarantee, and attacks on it that reports of values alone would miss."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...models._check import dtype_of
from ...models.population import Population
from ..base import AbstractMechanism
from ..play import Runs
from ..promises import AbstractPromise, Feasible, Violation, _argmax
from ..reports import AbstractReports, Scalings
from ._check import traced
from .measures import inequality, is_concave


def shares_add_up(disposal: str) -> Feasible:
    """No item is given more than once."""
    del disposal
    return Feasible()


class SocialLies(AbstractReports):
    """Lies about how much one minds inequality: a table `[lies, 2]` of alpha and beta to claim.

    Lies that would make welfare nonconcave, so that no rule takes them, count as the truth.
    """

    rows: Float[Array | np.ndarray, "lies 2"] = eqx.field(
        default_factory=lambda: np.array(
            [[a, b] for a in (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 1.0) for b in (0.0, 0.05, 0.1, 0.2, 0.45)]
        )
    )

    @property
    def label(self) -> str:
        return "alpha and beta on a grid"

    def count(self, truth: Population) -> int:
        del truth
        return self.rows.shape[0]

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        row = jnp.asarray(self.rows, dtype_of(truth.values))[index]
        alpha, beta = (jnp.asarray(x) for x in _said(truth))
        told = alpha.at[agent].set(row[0]), beta.at[agent].set(row[1])
        fine = jnp.asarray(is_concave(*told) if traced(*told) else is_concave(*map(np.asarray, told)))
        told = tuple(jnp.where(fine, new, old) for new, old in zip(told, (alpha, beta), strict=True))
        return dataclasses.replace(truth, alpha=told[0], beta=told[1])


class ValueLies(Scalings):
    """Lies about values that leave alpha and beta alone: each item in turn, or all, claimed a multiple of their value."""

    factors: tuple[float, ...] = eqx.field(static=True, default=(0.0, 0.5, 0.7, 0.76, 0.8, 0.9, 1.2, 2.0))

    @property
    def label(self) -> str:
        return "values scaled, item by item and together"


class _NoGain(AbstractPromise):
    """No lie raises an agent's own valuation, inequality included, less what she pays.

    Unlike `DSIC`, which knows own utility only: here people mind inequality, as their true alpha and beta say, and pay.

    Args:
        reports: the lies tried, by each agent in turn, the others truthful.
        tolerance: how much an inexact solver may seem to let a lie gain, relative to the greatest total utility.
    """

    about_incentives: ClassVar[bool] = True
    reports: AbstractReports
    tolerance: float = eqx.field(static=True, default=1e-6)

    def violation(self, runs: Runs) -> Violation:
        gain = jax.lax.map(lambda truth: gains(runs.mechanism, truth, self.reports), runs.population)
        found = _argmax(gain, "run", "agent", "lie")
        amount = gain[found["run"], found["agent"], found["lie"]]
        scale = jnp.max(jnp.sum(jnp.max(jnp.asarray(runs.population.values), -2), -1))
        return Violation(amount - self.tolerance * scale, found, jnp.zeros_like(amount))

    @property
    def searched(self) -> str:
        """What was tried."""
        return f"every agent, {self.reports.label}"


class TruthfulInSocialPreferences(_NoGain):
    """Where values are known, no lie about alpha and beta pays: dominant strategies, inequality and payments included."""

    name: ClassVar[str] = "truthful in social preferences when values are known"
    reports: AbstractReports = SocialLies()


class TruthfulInValues(_NoGain):
    """No lie about values pays. No rule of this room promises it; the audit shows how far they are from it."""

    name: ClassVar[str] = "truthful in values"
    reports: AbstractReports = ValueLies()


def gains(mechanism: AbstractMechanism, truth: Population, reports: AbstractReports) -> Float[Array, "agents lies"]:
    """What each agent gains by each lie in her true valuation net of payment, the others truthful."""
    honest = net(mechanism, truth, truth)
    agents, lies = truth.num_agents, reports.count(truth)

    def one(pair):
        agent, index = pair
        return net(mechanism, truth, reports.lie(truth, agent, index))[agent] - honest[agent]

    pairs = (jnp.repeat(jnp.arange(agents), lies), jnp.tile(jnp.arange(lies), agents))
    return jax.lax.map(one, pairs).reshape(agents, lies)


def net(mechanism: AbstractMechanism, truth: Population, told: Population) -> Any:
    """True valuations less payments, `[..., agents]`, when `told` is reported."""
    allocation = mechanism.allocate(told)
    return valuations(truth, allocation.shares) - getattr(allocation, "payments", 0.0)


def valuations(truth: Population, shares: Any) -> Any:
    """V = u - alpha I+ - beta I-, `[..., agents]`; nobody's silence counts as not minding."""
    u = (truth.values * shares).sum(-1)
    alpha, beta = _said(truth)
    unequal = inequality(u)
    return u - alpha * unequal.disadvantage - beta * unequal.advantage


def _said(truth: Population) -> tuple[Any, Any]:
    zero = np.zeros(np.shape(truth.values)[:-1])
    return (zero if truth.alpha is None else truth.alpha), (zero if truth.beta is None else truth.beta)
