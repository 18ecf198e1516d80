"""What people who compare allocations have in common: own payoff counts one, and terms for how it stands to others'."""

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import require
from ..world import AbstractWorld
from ._choice import differences, drawn_again, log_chance, log_chances, worth
from .data import SocialChoiceData

Sites = Mapping[str, Any]
Lapse = tuple[float, float] | float | None


def pair(x: Any) -> Any:
    """Two numbers as a tuple of floats; anything else as it is, to be refused by name."""
    try:
        return tuple(float(v) for v in x)
    except (TypeError, ValueError):
        return x


def as_lapse(x: Any) -> Any:
    """A number, two, or None."""
    if isinstance(x, int | float):
        return float(x) or None
    return x if x is None else pair(x)


def as_scale(x: Any) -> Any:
    """A number as a float."""
    return float(x) if isinstance(x, int | float) else x


class AbstractPreferences(eqx.Module):
    r"""A utility that is linear in payoffs and their gaps, and choices that follow it with error.

    .. math::
        P(\text{first}) = (1-w)\,\Lambda\!\left(\lambda\,\frac{U_1 - U_2}{\text{scale}}\right) + \frac w2, \qquad
        U = \text{own} + \sum_k \theta_k \phi_k, \qquad \Lambda(x) = \frac1{1+e^{-x}}

    Utility is measured in payoff: the coefficient of own payoff is one, so :math:`\theta` has no unit and the precision is
    per unit of payoff. By itself such a model takes all people to be alike.
    """

    data_type: ClassVar[type] = SocialChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    log_precision: eqx.AbstractVar[tuple[float, float]]
    lapse: eqx.AbstractVar[Lapse]
    scale: eqx.AbstractVar[float | None]

    @property
    @abc.abstractmethod
    def terms(self) -> tuple[str, ...]:
        """Names of θ; the first two are `alpha` and `beta`, each with the sign its authors give it."""

    @abc.abstractmethod
    def features(self, data: SocialChoiceData) -> Float[np.ndarray, "terms situations 2"]:
        """φ, in the unit of payoffs."""

    @abc.abstractmethod
    def fehr_schmidt(self, alpha: Any, beta: Any) -> tuple[Any, Any]:
        """The same as Fehr and Schmidt's weights of disadvantageous and advantageous inequality."""

    @property
    def location(self) -> Float[np.ndarray, " terms"]:
        """Prior means of θ."""
        return np.array([getattr(self, name)[0] for name in self.terms])

    @property
    def width(self) -> Float[np.ndarray, " terms"]:
        """Prior standard deviations of θ."""
        return np.array([getattr(self, name)[1] for name in self.terms])

    def check_priors(self) -> None:
        """Refuse priors that are none, by name."""
        for name in (*self.terms, "log_precision"):
            law = getattr(self, name)
            require(
                isinstance(law, tuple) and len(law) == 2 and all(map(math.isfinite, law)) and law[1] > 0,
                f"`{name}` must be the mean and the positive standard deviation of a normal prior; got {law!r}.",
            )
        known = isinstance(self.lapse, float) and 0 < self.lapse < 1
        law = isinstance(self.lapse, tuple) and len(self.lapse) == 2 and all(0 < v < math.inf for v in self.lapse)
        require(
            self.lapse is None or known or law,
            "`lapse` must be None, a share below 1 that is known, or the two positive numbers of a beta prior; got "
            f"{self.lapse!r}.",
        )
        require(
            self.scale is None or 0 < self.scale < math.inf,
            f"`scale` must be positive, in the unit of payoffs; got {self.scale!r}.",
        )

    def scale_of(self, data: SocialChoiceData) -> float:
        """What payoffs are divided by: `scale`, or the root mean square difference in own payoff."""
        return data.scale if self.scale is None else self.scale

    def sample_lapse(self) -> Any:
        """The site `lapse` where it has a prior, and w: a number, an array, or None."""
        if not isinstance(self.lapse, tuple):
            return self.lapse
        return jnp.asarray(numpyro.sample("lapse", dist.Beta(*self.lapse)))

    def start_of_lapse(self) -> dict[str, np.ndarray]:
        """Where a search may begin, in the unconstrained space."""
        return {"lapse": np.array(np.log(np.divide(*self.lapse)))} if isinstance(self.lapse, tuple) else {}

    def lapse_at(self, sites: Sites, draws: int) -> Any:
        """`[draws]`, or None."""
        if isinstance(self.lapse, tuple):
            return jnp.asarray(sites["lapse"])
        return None if self.lapse is None else jnp.full(draws, self.lapse)

    def arguments(self, data: SocialChoiceData) -> tuple[Any, ...]:
        """What `numpyro_model` takes: `own [situations]` and `feature [terms, situations]`, taken less the other, scaled."""
        return differences(data, self.features(data), self.scale_of(data), taken=True)

    def numpyro_model(self, own: Any, feature: Any) -> None:
        """One θ for all."""
        laws = zip(self.terms, self.location, self.width, strict=True)
        weight = jnp.stack([jnp.asarray(numpyro.sample(name, dist.Normal(m, s))) for name, m, s in laws])
        precision = jnp.asarray(numpyro.sample("log_precision", dist.Normal(*self.log_precision)))
        numpyro.factor("choices", log_chance(worth(own, feature, weight, precision), self.sample_lapse()).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        own, feature = arguments
        weight = jnp.stack([sites[name] for name in self.terms])
        lapse = sites["lapse"] if isinstance(self.lapse, tuple) else self.lapse
        chance = jnp.exp(log_chance(worth(own, feature, weight, sites["log_precision"]), lapse))
        return drawn_again(own, feature, chance, key=key)

    def start(self, data: SocialChoiceData) -> dict[str, np.ndarray]:
        """Where the search for the mode begins: at the means of the priors, in the unconstrained space."""
        del data
        found = {name: np.array(m) for name, m in zip(self.terms, self.location, strict=True)}
        return found | {"log_precision": np.array(self.log_precision[0])} | self.start_of_lapse()

    def identify(self, data: SocialChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell; a `ValueError` where they cannot, by name. See `identification`."""
        from .identification import identify

        return identify(self, data)

    def names(self, alternatives: Sequence[str] = ()) -> tuple[str, ...]:
        """Names of what a person is like: θ, and the precision per unit of payoff."""
        del alternatives
        return (*self.terms, "precision")

    def scalars(self, sites: Sites, data: SocialChoiceData) -> dict[str, Any]:
        """θ, `precision` (per unit of payoff) and, where it has a prior, `lapse`."""
        found = {name: sites[name] for name in self.terms}
        found["precision"] = np.exp(sites["log_precision"]) / self.scale_of(data)
        return found | ({"lapse": sites["lapse"]} if isinstance(self.lapse, tuple) else {})

    def weights(self, sites: Sites) -> Float[np.ndarray, "draws terms"]:
        """θ by draw."""
        return np.stack([np.asarray(sites[name]) for name in self.terms], -1)

    def log_densities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws situations"]:
        """Log-probability of each choice."""
        return self._log_chances(sites, data, True)

    def _log_chances(self, sites: Sites, data: SocialChoiceData, taken: bool) -> Float[Array, "draws situations"]:
        weight, precision = self.weights(sites), np.asarray(sites["log_precision"])
        own, feature = differences(data, self.features(data), self.scale_of(data), taken=taken)
        return log_chances(own, feature, weight, precision, self.lapse_at(sites, len(weight)), None)

    def choice_probabilities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws situations 2"]:
        """Chance of each option in each situation."""
        first = jnp.exp(self._log_chances(sites, data, False))
        return jnp.stack([first, 1 - first], -1)

    def coords(self, data: SocialChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        return {"situation": np.asarray(data.situations).astype(str).tolist()}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {"chosen": ["situation"]}

    def worlds(self, sites: Sites, data: SocialChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw: everybody has the same α and β; `values=` says what things are worth to them.

        Arguments are those of `worlds.build_world`; `new=` and `same=True` differ in how many come.
        """
        from .worlds import build_world

        weight = self.weights(sites)
        mean = np.stack(self.fehr_schmidt(weight[:, 0], weight[:, 1]), -1)
        every = np.broadcast_to(mean[:, None], (len(mean), len(data.people), 2))
        return build_world(data, {"mean": mean, "root": np.zeros((len(mean), 2, 2))}, {"weights": every}, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        plain = lambda x: list(x) if isinstance(x, tuple) else x
        return {"model": type(self).__name__} | {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "AbstractPreferences":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = known_fields(cls, spec)
        return cls(**fields)


def known_fields(cls: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification without the name of its model; refuses keys that are no fields."""
    fields = {k: v for k, v in spec.items() if k != "model"}
    unknown = sorted(set(fields) - {f.name for f in dataclasses.fields(cls)})
    require(not unknown, f"the specification has unknown keys {unknown}: drop them or correct their names.")
    return fields
