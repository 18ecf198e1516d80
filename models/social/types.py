"""A few types of people, each with weights of its own, and nobody's type observed."""

import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import biject_to, constraints

from .._check import require
from .._compiled import compiled
from ..choice._ordered import Ordered
from ..world import AbstractWorld
from ._choice import Panel, cell, differences, drawn_again, log_chance, panel, worth
from ._em import climb
from .bruhin_fehr_schunk import BruhinFehrSchunk
from .data import SocialChoiceData
from .preferences import Sites, known_fields

SMALL = 0.05  # share below which a note says that a type rests on few people


class PreferenceTypes(eqx.Module):
    r"""Bruhin, Fehr and Schunk's finite mixture: each person is of one of K types, and the type is summed out.

    .. math::
        P(y_i) = \sum_{k=1}^K \pi_k \prod_t P(y_{it} \mid \theta_k, \lambda_k)

    **Priors**: :math:`\pi \sim \text{Dirichlet}(\text{concentration})`; each type's θ and log λ as in `preferences`,
    independent. **Labels**: types are numbered by β, from the least up, by a prior of order statistics, so that labels
    cannot switch; it changes nothing but names. Where two types have nearly the same β, the order says little.

    Sites: `share` (π), `order` (β, increasing), `rest` (the other weights and the log-precision by type), `lapse` where it
    has a prior, and `weight` `[types, terms]` and `log_precision` `[types]`.

    Args:
        preferences: what utilities are made of, in the signs of its authors.
        types: K.
        concentration: of the Dirichlet prior; 1 is uniform over shares.

    Raises:
        ValueError: no type, other preferences, a concentration that is not positive.

    Source: A. Bruhin, E. Fehr and D. Schunk, "The many faces of human sociality" (2019), section 4. They maximise the
    likelihood by EM; here its posterior is sampled, from the best of several quick EM searches.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.social import gaps
        >>> rng = np.random.default_rng(0)
        >>> payoffs, person = rng.uniform(0, 10, (800, 2, 2)), np.arange(800) // 20
        >>> own, behind, ahead = gaps(payoffs)
        >>> worth = own - np.where(rng.random((40, 1)) < 0.5, 0.8, 0.0)[person] * ahead
        >>> chosen = (worth[:, 1] - worth[:, 0] + rng.logistic(size=800) > 0).astype(int)
        >>> data = SocialChoiceData.from_payoffs(payoffs, chosen, person=person)
        >>> posterior = fh.fit(PreferenceTypes(BruhinFehrSchunk(reciprocity=False)), data, method="map", draws=50)
        >>> [abs(posterior.mean[f"beta[{k}]"] - b) < 0.25 for k, b in ((1, 0.0), (2, 0.8))]
        [True, True]
    """

    data_type: ClassVar[type] = SocialChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "person")

    preferences: Any = eqx.field(static=True, default=BruhinFehrSchunk())
    types: int = eqx.field(static=True, default=2)
    concentration: float = eqx.field(static=True, converter=float, default=1.0)

    def __check_init__(self):
        require(
            isinstance(self.preferences, BruhinFehrSchunk),
            f"`preferences` must be a `BruhinFehrSchunk`, which says what utilities are made of; got {self.preferences!r}.",
        )
        require(
            isinstance(self.types, int) and self.types >= 1,
            f"`types` must be a whole number of at least 1, got {self.types!r}.",
        )
        require(0 < self.concentration < math.inf, f"`concentration` must be positive, got {self.concentration}.")

    @property
    def free(self) -> tuple[str, ...]:
        """What the site `rest` holds: the weights but β, and the log-precision."""
        return (*(name for name in self.preferences.terms if name != "beta"), "log_precision")

    def arguments(self, data: SocialChoiceData) -> Panel:
        """What `numpyro_model` takes; see `Panel`."""
        p = self.preferences
        return panel(data, *differences(data, p.features(data), p.scale_of(data), taken=True))

    def _sample(self) -> tuple[Array, Array, Array]:
        size, p, share = self.types, self.preferences, jnp.ones(1)
        if size > 1:
            share = jnp.asarray(numpyro.sample("share", dist.Dirichlet(jnp.full(size, self.concentration))))
        beta = jnp.asarray(numpyro.sample("order", Ordered(dist.Normal(*p.beta), size)))
        laws = jnp.asarray([getattr(p, name) for name in self.free])
        prior = dist.Normal(jnp.broadcast_to(laws[:, 0], (size, len(laws))), laws[:, 1]).to_event(2)
        rest = jnp.asarray(numpyro.sample("rest", prior))
        weight = jnp.concatenate([rest[:, :1], beta[:, None], rest[:, 1:-1]], 1)
        numpyro.deterministic("weight", weight)
        return share, weight, jnp.asarray(numpyro.deterministic("log_precision", rest[:, -1]))

    def numpyro_model(self, own: Any, feature: Any, there: Any) -> None:
        """Types summed out."""
        share, weight, precision = self._sample()
        lapse = self.preferences.sample_lapse()
        each = by_type(weight, precision, lapse, Panel(own, feature, there))
        numpyro.factor("people", jax.nn.logsumexp(each + jnp.log(share)[None], -1).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        found, p = Panel(*arguments), self.preferences
        of, which = jax.random.split(key)
        share = sites["share"] if self.types > 1 else jnp.ones(1)
        kind = jax.random.categorical(of, jnp.log(share), shape=found.own.shape[:1])
        weight, precision = sites["weight"][kind].T[..., None], sites["log_precision"][kind][:, None]
        lapse = sites["lapse"] if isinstance(p.lapse, tuple) else p.lapse
        chance = jnp.exp(log_chance(worth(found.own, found.feature, weight, precision), lapse))
        own, feature = drawn_again(found.own, found.feature, chance, key=which)
        return found._replace(own=own, feature=feature)

    def start(self, data: SocialChoiceData) -> dict[str, np.ndarray]:
        """The best of several quick EM searches, in the unconstrained space."""
        share, weight, precision = _quick(self, data)
        # The sampler holds logs of gaps: a start with no gap at all would be at minus infinity.
        beta = weight[:, 1] + 0.01 * np.arange(self.types)
        rest = np.concatenate([weight[:, :1], weight[:, 2:], precision[:, None]], 1)
        found = {"order": np.append(beta[:1], np.log(np.diff(beta))), "rest": rest}
        if self.types > 1:
            found["share"] = np.asarray(biject_to(constraints.simplex).inv(jnp.asarray(share)), float)
        return found | self.preferences.start_of_lapse()

    def identify(self, data: SocialChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell; a `ValueError` where they cannot, by name."""
        from .identification import identify

        notes = list(identify(self.preferences, data))
        if self.types == 1:
            return tuple(notes)
        times = np.bincount(data.person)
        require(
            times.max() > 1,
            f"{data.source}: nobody chooses twice, so types cannot be told from the errors of one choice: say `person=` when "
            "reading, or fit `BruhinFehrSchunk` itself.",
        )
        seen = int((times > 0).sum())
        count = self.types * (len(self.free) + 2) - 1
        if count > seen / 5:
            notes.append(f"{self.types} types have {count} parameters, for {seen} people: try fewer `types`.")
        small = [f"{s:.1%}" for s in _quick(self, data)[0] if s < SMALL]
        if small:
            notes.append(
                f"In a quick fit a type has {', '.join(small)} of the people, below {SMALL:.0%}: its weights are mostly their "
                "prior; try fewer `types`."
            )
        return tuple(notes)

    def scalars(self, sites: Sites, data: SocialChoiceData) -> dict[str, Any]:
        """Shares, weights and precisions by type, numbered from 1 in the order of β; the last share is the rest."""
        found = {f"share[{k + 1}]": sites["share"][..., k] for k in range(self.types - 1)}
        for k in range(self.types):
            found |= {f"{name}[{k + 1}]": sites["weight"][..., k, j] for j, name in enumerate(self.preferences.terms)}
            found[f"precision[{k + 1}]"] = np.exp(sites["log_precision"][..., k]) / self.preferences.scale_of(data)
        return found | ({"lapse": sites["lapse"]} if isinstance(self.preferences.lapse, tuple) else {})

    def shares(self, sites: Sites) -> Float[np.ndarray, "draws types"]:
        """π by draw."""
        weight = np.asarray(sites["weight"])
        return np.asarray(sites["share"]) if self.types > 1 else np.ones((*weight.shape[:-2], 1), weight.dtype)

    def _joint(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws people types"]:
        weight = np.asarray(sites["weight"])
        lapse = self.preferences.lapse_at(sites, len(weight))
        each = _by_draw(weight, np.asarray(sites["log_precision"]), lapse, self.arguments(data))
        return each + jnp.log(jnp.asarray(self.shares(sites)))[:, None]

    def log_densities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws people"]:
        """Log-probability of each person's choices; what is left out for comparison is a person."""
        return jax.nn.logsumexp(self._joint(sites, data), -1)

    def memberships(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws people types"]:
        """Chance that each person is of each type, given all of their choices."""
        return jax.nn.softmax(self._joint(sites, data), -1)

    def choice_probabilities(self, sites: Sites, data: SocialChoiceData) -> Float[Array, "draws situations 2"]:
        """Chance of each option, for the very person who met it, given all of their choices."""
        p, weight = self.preferences, np.asarray(sites["weight"])
        seen = panel(data, *differences(data, p.features(data), p.scale_of(data), taken=False))
        belongs = np.asarray(self.memberships(sites, data))
        first = _first(weight, np.asarray(sites["log_precision"]), p.lapse_at(sites, len(weight)), belongs, seen)
        first = first.reshape(len(weight), -1)[:, cell(data)]
        return jnp.stack([first, 1 - first], -1)

    def replicate(self, sites: Sites, data: SocialChoiceData, *, key: PRNGKeyArray) -> Any:
        """Choices that the same people might have made instead, one set a draw: one type a person, all along."""
        p, (of, which) = self.preferences, jax.random.split(key)
        kind = jax.random.categorical(of, jnp.log(self.memberships(sites, data)), -1)[:, data.person]
        weight = jnp.take_along_axis(jnp.asarray(sites["weight"]), kind[..., None], 1)
        precision = jnp.take_along_axis(jnp.asarray(sites["log_precision"]), kind, 1)
        own, feature = differences(data, p.features(data), p.scale_of(data), taken=False)
        one = lambda w, lam, lapse: log_chance(worth(own, feature, w.T, lam), lapse)
        chance = jnp.exp(jax.vmap(one)(weight, precision, p.lapse_at(sites, weight.shape[0])))
        return jnp.where(jax.random.uniform(which, chance.shape, chance.dtype) < chance, 0, 1)

    def coords(self, data: SocialChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        return {
            "type": list(range(1, self.types + 1)),
            "term": list(self.preferences.terms),
            "free_term": list(self.free),
            "person": np.asarray(data.people).astype(str).tolist(),
            "situation": np.asarray(data.situations).astype(str).tolist(),
        }

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        by = {name: ["type"] for name in ("share", "order", "log_precision")}
        return {**by, "rest": ["type", "free_term"], "weight": ["type", "term"], "chosen": ["situation"]}

    def worlds(self, sites: Sites, data: SocialChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw: `new=` strangers, whose types are drawn by the shares, or the `same` people.

        Of the same people the type is drawn given all their choices. Arguments are those of `worlds.build_world`; weights
        carry Fehr and Schmidt's signs.
        """
        from .worlds import build_world

        weight = np.asarray(sites["weight"])
        weights = np.stack(self.preferences.fehr_schmidt(weight[..., 0], weight[..., 1]), -1)
        strangers = {"chance": self.shares(sites)[:, None], "weights": weights}
        people = {"chance": np.asarray(self.memberships(sites, data)), "weights": weights} if where.get("same") else {}
        return build_world(data, strangers, people, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        own = {"types": self.types, "concentration": self.concentration}
        return {"model": "PreferenceTypes", "preferences": self.preferences.to_spec(), **own}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "PreferenceTypes":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = known_fields(cls, spec)
        return cls(**{**fields, "preferences": BruhinFehrSchunk.from_spec(fields["preferences"])})


def by_type(weight: Array, log_precision: Array, lapse: Any, seen: Panel) -> Float[Array, "people types"]:
    """Log-probability of each person's choices, by type; `weight` `[types, terms]`."""

    def one(w, p):
        z = worth(jnp.asarray(seen.own, w.dtype), jnp.asarray(seen.feature, w.dtype), w, p)
        return jnp.sum(jnp.where(seen.there, log_chance(z, lapse), 0.0), -1)

    return jax.vmap(one, out_axes=-1)(weight, log_precision)


@compiled
def _by_draw(weight: Any, log_precision: Any, lapse: Any, seen: Panel) -> Float[Array, "draws people types"]:
    return jax.lax.map(lambda x: by_type(x[0], x[1], x[2], seen), (weight, log_precision, lapse))


@compiled
def _first(
    weight: Any, log_precision: Any, lapse: Any, belongs: Any, seen: Panel
) -> Float[Array, "draws people times"]:
    """Chance of the first option, over the types that the person may be of."""

    def one(given):
        weight, precision, lapse, belongs = given
        of = lambda w, p: jnp.exp(log_chance(worth(seen.own, seen.feature, w, p), lapse))
        return jnp.einsum("kpt,pk->pt", jax.vmap(of)(weight, precision), belongs, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(one, (weight, log_precision, lapse, belongs))


@functools.lru_cache(maxsize=4)
def _quick(model: PreferenceTypes, data: SocialChoiceData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, weights and log-precisions of a quick penalised fit, in the order of β.

    A type is a logit of choices on own payoff and terms, whose coefficients are the precision and the precision times
    each weight.
    """
    p = model.preferences
    own, feature = differences(data, p.features(data), p.scale_of(data), taken=True)
    share, slope, _ = climb(np.column_stack([own, *feature]), data.person, len(data.people), model.types)
    precision = np.clip(slope[:, 0], 0.05, None)  # EM leaves it without a sign
    weight = np.clip(slope[:, 1:] / precision[:, None], -3.0, 3.0)
    turn = np.argsort(weight[:, 1])
    return share[turn], weight[turn], np.log(precision)[turn]
