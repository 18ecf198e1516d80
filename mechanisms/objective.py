"""What a design is for: scalars of runs with an algebra, and limits on them.

`mean(welfare) - 3.0 * mean(envy)` is an objective; `mean(crowding) <= 0.05` a `Limit`. An objective is judged on the
exact rule. Where its gradient is zero or undefined (a chance, a count), say what to train on instead:
`chance.trained_as(smooth)`; the surrogate is never reported.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .base import AbstractMechanism
from .metrics import ExPost, Metric, name_of
from .play import Runs

Number = float | int  # a whole number is one too


class AbstractObjective(eqx.Module):
    """A scalar of runs. Objectives add, subtract and scale; comparing with a number makes a `Limit`."""

    @abc.abstractmethod
    def __call__(self, runs: Runs) -> Float[Array, ""]:
        """The value, judged on the runs as they are."""

    def train(self, runs: Runs) -> Float[Array, ""]:
        """What the optimiser sees; the value itself unless `trained_as` says otherwise."""
        return self(runs)

    @property
    def parts(self) -> tuple[Any, ...]:
        """Objectives and metrics this one is made of."""
        return ()

    @property
    def training_parts(self) -> tuple[Any, ...]:
        """The same, for what the optimiser sees."""
        return self.parts

    @property
    def name(self) -> str:
        """A short name for tables."""
        return "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__).strip("_")

    def trained_as(self, surrogate: "AbstractObjective") -> "TrainedAs":
        """This objective, with the gradient of `surrogate`."""
        return TrainedAs(self, surrogate)

    def named(self, name: str) -> "Named":
        """This objective under another name."""
        return Named(self, name)

    def __add__(self, other: "AbstractObjective | Number") -> "AbstractObjective":
        return Sum((self, _promote(other)))

    __radd__ = __add__

    def __sub__(self, other: "AbstractObjective | Number") -> "AbstractObjective":
        return Sum((self, Scaled(-1.0, _promote(other))))

    def __rsub__(self, other: Number) -> "AbstractObjective":
        return Sum((_promote(other), Scaled(-1.0, self)))

    def __mul__(self, factor: Number) -> "AbstractObjective":
        return Scaled(factor, self)

    __rmul__ = __mul__

    def __neg__(self) -> "AbstractObjective":
        return Scaled(-self.factor, self.term) if isinstance(self, Scaled) else Scaled(-1.0, self)

    def __le__(self, bound: Number) -> "Limit":
        return Limit(self, bound)

    def __ge__(self, bound: Number) -> "Limit":
        return Limit(-self, -bound)


class Limit(eqx.Module):
    """`objective <= bound`. Its slack, after hardening, and its shadow price stand in the result of `tune`."""

    objective: AbstractObjective
    bound: float = eqx.field(converter=float)

    def excess(self, runs: Runs) -> Float[Array, ""]:
        """How far the limit is exceeded by the rule as it is; negative is slack."""
        return self.objective(runs) - self.bound

    def train(self, runs: Runs) -> Float[Array, ""]:
        """What the optimiser sees of `excess`."""
        return self.objective.train(runs) - self.bound

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.objective.name} <= {self.bound:g}"


class Constant(AbstractObjective):
    """A number."""

    value: float = eqx.field(converter=float)

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return jnp.asarray(self.value, runs.weight.dtype)

    @property
    def name(self) -> str:
        return f"{self.value:g}"


class Mean(AbstractObjective):
    """Expectation of a scalar metric over runs (and over coins, for ex post metrics)."""

    metric: Any

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return runs.average(runs.each(self.metric))

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.metric,)

    @property
    def name(self) -> str:
        return name_of(self.metric)


class Ratio(AbstractObjective):
    """Ratio of expectations: no per-population scalar has this mean. Its error follows by the delta method."""

    top: Any
    bottom: Any

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return runs.average(runs.each(self.top)) / runs.average(runs.each(self.bottom))

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.top, self.bottom)

    @property
    def name(self) -> str:
        return f"{name_of(self.top)} over {name_of(self.bottom)}"


class Least(AbstractObjective):
    """The least component of the mean of a vector metric: the group that fares worst on average.

    Components that are NaN in a run (a group nobody belonged to) are left out of that component's mean.
    """

    metric: Any

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        values = runs.each(self.metric)
        here = ~jnp.isnan(values)
        weight = runs.weight[:, None] * here
        means = jnp.sum(weight * jnp.where(here, values, 0.0), 0) / jnp.sum(weight, 0)
        return jnp.min(jnp.where(jnp.isnan(means), jnp.inf, means))

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.metric,)

    @property
    def name(self) -> str:
        return f"least of {name_of(self.metric)}"


class OfRule(AbstractObjective):
    """A closed form in the rule alone: promised welfare, worst case over laws."""

    fn: Callable[[AbstractMechanism], Array]

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return jnp.asarray(self.fn(runs.mechanism))

    @property
    def name(self) -> str:
        return name_of(self.fn)


class OfRuns(AbstractObjective):
    """Any scalar function of runs."""

    fn: Callable[[Runs], Array]

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return jnp.asarray(self.fn(runs))

    @property
    def name(self) -> str:
        return name_of(self.fn)


class Sum(AbstractObjective):
    """Sum of objectives."""

    terms: tuple[AbstractObjective, ...]

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return sum((t(runs) for t in self.terms[1:]), self.terms[0](runs))

    def train(self, runs: Runs) -> Float[Array, ""]:
        return sum((t.train(runs) for t in self.terms[1:]), self.terms[0].train(runs))

    @property
    def parts(self) -> tuple[Any, ...]:
        return self.terms

    @property
    def name(self) -> str:
        taken = lambda t: isinstance(t, Scaled) and t.factor < 0
        rest = (f" - {(-t).name}" if taken(t) else f" + {t.name}" for t in self.terms[1:])
        return self.terms[0].name + "".join(rest)


class Scaled(AbstractObjective):
    """A multiple of an objective."""

    factor: float = eqx.field(converter=float)
    term: AbstractObjective

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return self.factor * self.term(runs)

    def train(self, runs: Runs) -> Float[Array, ""]:
        return self.factor * self.term.train(runs)

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.term,)

    @property
    def name(self) -> str:
        name = f"({self.term.name})" if isinstance(self.term, Sum) else self.term.name
        return {1.0: name, -1.0: f"-{name}"}.get(self.factor, f"{self.factor:g} {name}")


class TrainedAs(AbstractObjective):
    """One objective to judge by and another to differentiate (a proxy in the sense of Cotter et al. 2019)."""

    judged: AbstractObjective
    surrogate: AbstractObjective

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return self.judged(runs)

    def train(self, runs: Runs) -> Float[Array, ""]:
        return self.surrogate.train(runs)

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.judged,)

    @property
    def training_parts(self) -> tuple[Any, ...]:
        return (self.surrogate,)

    @property
    def name(self) -> str:
        return self.judged.name


class Named(AbstractObjective):
    """An objective under another name."""

    term: AbstractObjective
    label: str = eqx.field(static=True)

    def __call__(self, runs: Runs) -> Float[Array, ""]:
        return self.term(runs)

    def train(self, runs: Runs) -> Float[Array, ""]:
        return self.term.train(runs)

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.term,)

    @property
    def name(self) -> str:
        return self.label


def _promote(x: "AbstractObjective | Number") -> AbstractObjective:
    return x if isinstance(x, AbstractObjective) else Constant(float(x))


def mean(metric: Metric) -> Mean:
    """Expectation of a scalar metric."""
    return Mean(metric)


def ratio(top: Metric, bottom: Metric) -> Ratio:
    """Ratio of two expectations."""
    return Ratio(top, bottom)


def least(metric: Metric) -> Least:
    """The least component of a vector metric's mean, e.g. `least(group_means(3))`."""
    return Least(metric)


def of_rule(fn: Callable[[AbstractMechanism], Array]) -> OfRule:
    """A closed form in the rule alone."""
    return OfRule(fn)


def of_runs(fn: Callable[[Runs], Array]) -> OfRuns:
    """Any scalar function of runs."""
    return OfRuns(fn)


def needs_coins(objective: Any, training: bool = False) -> bool:
    """Whether judging (or training) it looks at realisations."""
    if isinstance(objective, Limit):
        objective = objective.objective
    if isinstance(objective, ExPost):
        return True
    if isinstance(objective, OfRuns):
        return bool(getattr(objective.fn, "needs_coins", False))
    if not isinstance(objective, AbstractObjective):
        return False
    parts = objective.training_parts if training else objective.parts
    return any(needs_coins(part, training) for part in parts)


def has_surrogate(objective: Any) -> bool:
    """Whether the optimiser sees something else than what is judged."""
    is_node = lambda x: isinstance(x, TrainedAs)
    return any(is_node(x) for x in jax.tree.leaves(objective, is_leaf=is_node))


def standard_error(objective: AbstractObjective, runs: Runs) -> Float[Array, ""]:
    """Monte-Carlo error of any objective over sampled runs, by the delta method.

    The influence of a run is the derivative of the objective in that run's weight, so means, ratios of means and their
    sums need no formula of their own: `se^2 = n / (n - 1) * sum_i (w_i * d objective / d w_i)^2`. Zero on exact runs.
    """
    return error_of(influence(objective, runs), runs)


def influence(objective: AbstractObjective, runs: Runs) -> Float[Array, " runs"]:
    """First-order contribution of each run to the objective, `w_i * d objective / d w_i`; sums to zero for a mean."""
    of_weight = lambda w: objective(eqx.tree_at(lambda r: r.weight, runs, w))
    return runs.weight * jax.grad(of_weight)(runs.weight)


def error_of(influences: Float[Array, " runs"], runs: Runs) -> Float[Array, ""]:
    """Standard error from influences (or from their paired differences): 0 on exact runs, NaN on a single one."""
    n = influences.shape[0]
    if runs.exact:
        return jnp.zeros((), influences.dtype)
    return jnp.sqrt(n / max(n - 1, 1) * jnp.sum(influences**2)) if n > 1 else jnp.full((), jnp.nan, influences.dtype)
