"""People who differ in what they would give up for others: everybody has weights and a precision of their own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import require
from ..hierarchy import AbstractHierarchy, Tastes, sample_tastes, taste_scalars
from ..world import AbstractWorld
from ._choice import Panel, differences, drawn_again, log_chance, log_chances, panel, worth
from .bruhin_fehr_schunk import BruhinFehrSchunk
from .data import SocialChoiceData
from .fehr_schmidt import FehrSchmidt
from .preferences import AbstractPreferences, Sites, known_fields


def numbers(x: Any) -> Any:
    """Numbers as a tuple of floats; anything else as it is, to be refused by name."""
    try:
        return None if x is None else tuple(float(v) for v in x)
    except (TypeError, ValueError):
        return x


class AbstractPeople(AbstractHierarchy):
    r"""Preferences whose weights and log-precision are normal over people.

    .. math::
        b_i = (\theta_i, \log\lambda_i) = m + L z_i, \quad z_i \sim N(0, I), \qquad
        L = \text{diag}(\sigma)\,\text{chol}(R), \quad R \sim \text{LKJ}(2)
    """

    data_type: ClassVar[type] = SocialChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    preferences: eqx.AbstractVar[AbstractPreferences]
    correlated: eqx.AbstractVar[bool]
    spread: eqx.AbstractVar[tuple[float, ...] | None]

    def check_fields(self, kind: type) -> None:
        """Refuse fields that do not fit, by name."""
        require(
            isinstance(self.preferences, kind),
            f"`preferences` must be a `{kind.__name__}`, which says what utilities are made of; got {self.preferences!r}.",
        )
        good = self.spread is None or (
            isinstance(self.spread, tuple)
            and len(self.spread) == len(self.terms)
            and all(0 < s < np.inf for s in self.spread)
        )
        require(
            good,
            f"`spread` must be a positive number for each of {', '.join(self.terms)}; got {self.spread!r}.",
        )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of what a person has of their own."""
        return (*self.preferences.terms, "log_precision")

    @property
    def unit(self) -> Float[np.ndarray, " dims"]:
        """Scales of the spreads' priors, in which tastes are held: a taste times its unit is a weight."""
        if self.spread is not None:
            return np.array(self.spread)
        usual = {"alpha": 0.5, "beta": 0.4, "gamma": 0.3, "delta": 0.3, "log_precision": 0.7}
        return np.array([usual[name] for name in self.terms])

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        p = self.preferences
        location, width = np.append(p.location, p.log_precision[0]), np.append(p.width, p.log_precision[1])
        return location / self.unit, width / self.unit

    def arguments(self, data: SocialChoiceData) -> Panel:
        """What the three parts of the model take; see `Panel`."""
        p = self.preferences
        return panel(data, *differences(data, p.features(data), p.scale_of(data), taken=True))

    def people(self, *args: Any) -> int:
        return Panel(*args).own.shape[0]

    def shared(self, *args: Any) -> Tastes:
        location, width = map(jnp.asarray, self._prior())
        mean, root = sample_tastes(location, width, 1.0, self.correlated)
        lapse = self.preferences.sample_lapse()
        return Tastes(mean[None], root, lapse if isinstance(self.preferences.lapse, tuple) else ())

    def _log_chance(self, taste: Array, fixed: Any, found: Panel) -> Array:
        unit = jnp.broadcast_to(jnp.asarray(self.unit, taste.dtype), taste.shape)
        own = jnp.moveaxis(taste * unit, -1, 0)[..., None]
        p = self.preferences
        z = worth(jnp.asarray(found.own, taste.dtype), jnp.asarray(found.feature, taste.dtype), own[:-1], own[-1])
        return log_chance(z, fixed if isinstance(p.lapse, tuple) else p.lapse)

    def person_log_likelihood(
        self, taste: Float[Array, "people dims"], fixed: Any, *args: Any
    ) -> Float[Array, " people"]:
        found = Panel(*args)
        return jnp.sum(jnp.where(found.there, self._log_chance(taste, fixed, found), 0.0), -1)

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        found = Panel(*arguments)
        chance = jnp.exp(self._log_chance(sites["taste"], sites.get("lapse", ()), found))
        own, feature = drawn_again(found.own, found.feature, chance, key=key)
        return found._replace(own=own, feature=feature)

    def start(self, data: SocialChoiceData) -> dict[str, np.ndarray]:
        """The means of the priors, and people who differ by half a unit: in the unconstrained space, what all share."""
        del data
        d = len(self.terms)
        found = {"mean": self._prior()[0], "spread": np.full(d, np.log(0.5))}
        if self.correlated:
            found["correlation"] = np.zeros(d * (d - 1) // 2)
        return found | self.preferences.start_of_lapse()

    def identify(self, data: SocialChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell, of all and of each; a `ValueError` where they cannot, by name."""
        from .identification import identify, identify_people

        return identify(self.preferences, data) + identify_people(self.preferences, data, self.correlated)

    def names(self, alternatives: Sequence[str] = ()) -> tuple[str, ...]:
        """Names of what a person is like: weights, and the precision per unit of payoff."""
        return self.preferences.names(alternatives)

    def scalars(self, sites: Sites, data: SocialChoiceData) -> dict[str, Any]:
        """Means, spreads and correlations over people; `log_precision` is per unit of payoff."""
        found = taste_scalars(sites, self.terms, self.unit)
        shift = np.log(self.preferences.scale_of(data))
        found["mean[log_precision]"] = found["mean[log_precision]"] - shift
        return found | ({"lapse": sites["lapse"]} if isinstance(self.preferences.lapse, tuple) else {})

    def coefficients(self, sites: Sites, data: SocialChoiceData) -> Float[np.ndarray, "draws people numbers"]:
        """Everybody's own weights and precision, in the order of `names`, precision per unit of payoff."""
        own = np.asarray(sites["taste"]) * self.unit
        precision = np.exp(own[..., -1:]) / self.preferences.scale_of(data)
        return np.concatenate([own[..., :-1], precision], -1)

    def _log_chances(self, sites: Sites, data: SocialChoiceData, taken: bool) -> Float[Array, "draws situations"]:
        p, own = self.preferences, np.asarray(sites["taste"]) * self.unit
        mine, feature = differences(data, p.features(data), p.scale_of(data), taken=taken)
        return log_chances(mine, feature, own[..., :-1], own[..., -1], p.lapse_at(sites, len(own)), data.person)

    def log_densities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws situations"]:
        """Log-probability of each choice, given the weights of who made it."""
        return self._log_chances(sites, data, True)

    def choice_probabilities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws situations 2"]:
        """Chance of each option in each situation, for the very person who met it."""
        first = jnp.exp(self._log_chances(sites, data, False))
        return jnp.stack([first, 1 - first], -1)

    def replicate(self, sites: Sites, data: SocialChoiceData, *, key: PRNGKeyArray) -> Any:
        """Choices that the same people might have made instead, one set a draw."""
        return jax.random.categorical(key, jnp.log(self.choice_probabilities(sites, data)), -1)

    def coords(self, data: SocialChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        terms, people = list(self.terms), np.asarray(data.people).astype(str).tolist()
        situations = np.asarray(data.situations).astype(str).tolist()
        return {"term": terms, "other_term": terms, "taste_term": terms, "person": people, "situation": situations}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {
            "mean": ["term"],
            "spread": ["term"],
            "correlation": ["term", "other_term"],
            "taste": ["person", "taste_term"],
            "chosen": ["situation"],
        }

    def worlds(self, sites: Sites, data: SocialChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw: `new=` strangers with weights of their own, or the `same` people with theirs.

        Arguments are those of `worlds.build_world`. Weights carry Fehr and Schmidt's signs.
        """
        from .worlds import build_world

        # Weights are normal, α and β the first two: their law is the upper left corner of the whole.
        sign = np.array(self.preferences.fehr_schmidt(1.0, 1.0)) * self.unit[:2]
        mean = np.asarray(sites["mean"])[:, :2] * sign
        lower = np.asarray(sites["correlation"])[:, :2, :2] if "correlation" in sites else np.eye(2)
        root = sign[:, None] * np.asarray(sites["spread"])[:, :2, None] * lower
        return build_world(
            data, {"mean": mean, "root": root}, {"weights": np.asarray(sites["taste"])[..., :2] * sign}, **where
        )

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        spread = None if self.spread is None else list(self.spread)
        own = {"preferences": self.preferences.to_spec(), "correlated": self.correlated, "spread": spread}
        return {"model": type(self).__name__} | own

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "AbstractPeople":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = known_fields(cls, spec)
        kind = {"FehrSchmidt": FehrSchmidt, "BruhinFehrSchunk": BruhinFehrSchunk}[fields["preferences"]["model"]]
        return cls(**{**fields, "preferences": kind.from_spec(fields["preferences"])})


class HierarchicalFehrSchmidt(AbstractPeople):
    r"""`FehrSchmidt`, each person with α, β and precision of their own: :math:`(\alpha_i, \beta_i, \log\lambda_i)` normal.

    α and β may be negative, and α ≥ β is not forced.

    **Priors** of the means are those of `preferences`; :math:`\sigma_k \sim N^+(0, \text{spread}_k^2)`; R ~ LKJ(2).

    Sites: `mean`, `spread` and `correlation` of tastes in units of `spread`, `taste` `[people, 3]` in the same units, and
    `lapse` where it has a prior. Reported are means, spreads and correlations as they are; `posterior.people()` has
    everybody's α, β and precision.

    Args:
        preferences: what utilities are made of, and priors of the means. A lapse that has a prior is one number for all:
            the likelihood of a person then depends on more than their own weights, and integrating people out takes much
            longer; NUTS on everything (`method="nuts"`) does not mind.
        correlated: whether weights and precision are correlated over people.
        spread: scales of the spreads' priors, for `alpha`, `beta`, `log_precision`; None is (0.5, 0.4, 0.7).

    Raises:
        ValueError: preferences of another kind, spreads that are not positive.

    Source: the utility of E. Fehr and K. Schmidt (1999); people vary as in K. Train (2009), chapter 6.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.social import gaps
        >>> rng = np.random.default_rng(0)
        >>> payoffs, person = rng.uniform(0, 10, (600, 2, 2)), np.arange(600) // 20
        >>> own, behind, ahead = gaps(payoffs)
        >>> beta = rng.normal(0.4, 0.2, (30, 1))[person]
        >>> worth = own - 0.1 * behind - beta * ahead
        >>> chosen = (worth[:, 1] - worth[:, 0] + rng.logistic(size=600) > 0).astype(int)
        >>> data = SocialChoiceData.from_payoffs(payoffs, chosen, person=person)
        >>> posterior = fh.fit(HierarchicalFehrSchmidt(), data, method="map", draws=50)
        >>> abs(posterior.mean["mean[beta]"] - 0.4) < 0.2, dict(posterior.people().sizes)
        (True, {'person': 30, 'term': 3})
    """

    preferences: AbstractPreferences = eqx.field(static=True, default=FehrSchmidt(lapse=None))
    correlated: bool = eqx.field(static=True, default=True)
    spread: tuple[float, ...] | None = eqx.field(static=True, converter=numbers, default=None)

    def __check_init__(self):
        self.check_fields(FehrSchmidt)


class HierarchicalBruhinFehrSchunk(AbstractPeople):
    """`BruhinFehrSchunk`, each person with weights and precision of their own, normal over people.

    As `HierarchicalFehrSchmidt`, in the signs of Bruhin, Fehr and Schunk; worlds carry those of Fehr and Schmidt.

    Args:
        preferences: what utilities are made of, and priors of the means.
        correlated: whether weights and precision are correlated over people.
        spread: scales of the spreads' priors, one for each term and the log-precision; None is 0.5, 0.4, 0.3, 0.3, 0.7.

    Raises:
        ValueError: preferences of another kind, spreads that are not positive.

    Source: the utility of A. Bruhin, E. Fehr and D. Schunk (2019), equation 1; a normal law of it over people is [X].

    Example:
        >>> HierarchicalBruhinFehrSchunk().names()
        ('alpha', 'beta', 'gamma', 'delta', 'precision')
    """

    preferences: AbstractPreferences = eqx.field(static=True, default=BruhinFehrSchunk())
    correlated: bool = eqx.field(static=True, default=True)
    spread: tuple[float, ...] | None = eqx.field(static=True, converter=numbers, default=None)

    def __check_init__(self):
        self.check_fields(BruhinFehrSchunk)
