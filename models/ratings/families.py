"""Families of value laws on the scale from 0 to 1: their parameters, what priors say of them, and how a law is built."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints

from .. import laws
from .._check import require
from ._prior import Prior

SUPPORTS: dict[str, Any] = {
    "positive": constraints.positive,
    "unit": constraints.unit_interval,
    "real": constraints.real,
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family.

    Attributes:
        name: as sites and summaries call it.
        support: `"positive"`, `"unit"` (between 0 and 1) or `"real"`.
        prior: the default prior of `CommonLaw`.
        centre: mean and standard deviation of the normal prior of a population's centre, where agents differ; on the log,
            logit or plain scale, as the support has it.
        spread: scale of the half-normal prior of the standard deviation between agents, on the same scale.
    """

    name: str
    support: str
    prior: Prior
    centre: tuple[float, float]
    spread: float

    def constrain(self, free: Any) -> Any:
        """From the log, logit or plain scale to the parameter itself."""
        return biject_to(SUPPORTS[self.support])(free)


@dataclass(frozen=True)
class Family:
    """A family of laws.

    Attributes:
        name: what `family=` says.
        parameters: in order.
        build: the law, from the parameters by name (numbers, or arrays for a batch of laws).
        open_ends: whether a value at 0, or at 1, has density 0 or infinity, so that it cannot be observed exactly.
    """

    name: str
    parameters: tuple[Parameter, ...]
    build: Callable[..., Any]
    open_ends: tuple[bool, bool]

    def law(self, sites: Mapping[str, Any]) -> laws.AbstractLaw:
        """The law whose parameters are among `sites`; every leaf has their shape."""
        return self.build(**{p.name: sites[p.name] for p in self.parameters})


def _prior(distribution: Any) -> Prior:
    return Prior.of("a parameter", distribution)


def _beta(mean: Any, concentration: Any) -> Any:
    law: Any = laws.Beta
    return law(mean * concentration, (1 - mean) * concentration)


def _fixed(like: Any, number: float) -> Any:
    """A number that is the same for every law of a batch."""
    if np.ndim(like) == 0:
        return number
    return np.full(like.shape, number) if isinstance(like, np.ndarray) else jnp.full_like(like, number)


def _truncated_normal(loc: Any, scale: Any) -> Any:
    law: Any = laws.TruncatedNormal
    return law(loc, scale, _fixed(loc, 0.0), _fixed(loc, 1.0))


def _truncated_exponential(rate: Any) -> Any:
    law: Any = laws.TruncatedExponential
    return law(rate, _fixed(rate, 1.0))


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "beta",
            (
                Parameter("mean", "unit", _prior(dist.Uniform(0.0, 1.0)), (0.0, 1.5), 1.0),
                Parameter(
                    "concentration", "positive", _prior(dist.LogNormal(math.log(4.0), 1.0)), (math.log(4.0), 1.0), 0.5
                ),
            ),
            _beta,
            (True, True),
        ),
        Family(
            "power",
            (Parameter("exponent", "positive", _prior(dist.LogNormal(0.0, 1.0)), (0.0, 1.0), 0.5),),
            laws.Power,
            (True, True),
        ),
        Family(
            "truncated_normal",
            (
                Parameter("loc", "real", _prior(dist.Normal(0.5, 0.5)), (0.5, 0.5), 0.3),
                Parameter("scale", "positive", _prior(dist.LogNormal(math.log(0.3), 0.75)), (math.log(0.3), 0.75), 0.3),
            ),
            _truncated_normal,
            (False, False),
        ),
        Family(
            "truncated_exponential",
            (Parameter("rate", "positive", _prior(dist.LogNormal(math.log(2.0), 1.0)), (math.log(2.0), 1.0), 0.5),),
            _truncated_exponential,
            (False, False),
        ),
    )
}


def family_of(name: str) -> Family:
    """The family `name`; refuses one that does not exist."""
    require(name in FAMILIES, f"`family` must be one of {', '.join(map(repr, FAMILIES))}; got {name!r}.")
    return FAMILIES[name]


def as_priors(prior: Any) -> tuple[tuple[str, Prior], ...]:
    """`prior=` as plain values: a mapping of parameters to distributions, or pairs of them."""
    return tuple((str(name), Prior.of(str(name), p)) for name, p in dict(prior or {}).items())


def check_priors(family: Family, priors: tuple[tuple[str, Prior], ...]) -> None:
    """Refuse priors of parameters that the family lacks, or that put probability outside their support."""
    names = [p.name for p in family.parameters]
    for name, prior in priors:
        require(
            name in names,
            f"`prior` names `{name}`, but the family {family.name!r} has {', '.join(f'`{n}`' for n in names)}.",
        )
        wanted, given = SUPPORTS[family.parameters[names.index(name)].support], prior.distribution.support
        ends = [(getattr(s, "lower_bound", -math.inf), getattr(s, "upper_bound", math.inf)) for s in (wanted, given)]
        (low, high), (least, greatest) = ends
        require(
            least >= low and greatest <= high and not given.is_discrete,
            f"`prior` of `{name}` lives on {given}, but `{name}` lies between {low} and {high}: choose a prior within.",
        )
