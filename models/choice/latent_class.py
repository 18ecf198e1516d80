"""The latent class logit: a few kinds of people, each with coefficients of their own, and nobody's kind observed."""

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
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import biject_to, constraints

from .._check import require
from .._spec import fields_of
from ..weights import people_weights
from ..world import AbstractWorld
from ._bayes import NUMERAIRE_MEDIAN, NUMERAIRE_SPREAD
from ._class_start import Classes, quick_classes
from ._classes import by_class, by_class_and_draw, mixed, replicated
from ._ordered import Ordered
from ._utility import log_probability, weighted_sum
from .data import ChoiceData
from .logit import ConditionalLogit, check_within

Sites = Mapping[str, Any]
SMALL = 0.05  # share below which a note says that a class rests on few people


class LatentClassLogit(eqx.Module):
    r"""Each person is of one of K classes, and a class is a conditional logit (Kamakura and Russell 1989; Train 2009, 14.2).

    Person i makes all their choices with the coefficients of their class, which is summed out:

    .. math::
        P(y_i) = \sum_{c=1}^K \pi_c \prod_t \frac{e^{x_{ity}\cdot\beta_c}}{\sum_j e^{x_{itj}\cdot\beta_c}}.

    **Priors.** :math:`\pi \sim \text{Dirichlet}(\text{concentration})`; each :math:`\beta_c` as in `ConditionalLogit`,
    independent.

    **Labels.** Classes are numbered by their coefficient of `order_by`, from the least up. The order is part of the
    prior: its K coefficients are the order statistics of independent draws, which the sampler keeps in order, so labels
    cannot switch. It changes nothing but names. Where two classes have nearly the same coefficient of `order_by`, the
    order says little: take another column. `label_free` gives numbers that no naming can change; if they mix well and a
    class does not, the naming is at fault and not the sampler.

    **Weights** are of people (`models.weights`): unequal ones make a pseudo-likelihood, :math:`\sum_i w_i \log P(y_i)`. A
    situation of weight 0 is left out; all others of one person must weigh the same.

    Sites: `share` (π, where K > 1), `order` (standardised coefficients of `order_by`, increasing; of a numeraire minus the
    log of its size), `beta` (the others), `numeraire`, and `coefficient` `[classes, coefficients]`, in the units of the
    data.

    Args:
        logit: what utilities are made of. Its `prior_scale` must be finite: an empty class has only its prior.
        classes: K.
        order_by: coefficient that numbers the classes; None is the first.
        concentration: of the Dirichlet prior; 1 is uniform over shares.

    Raises:
        ValueError: no class, a flat prior, choice-based samples (`population_shares`), whose correction holds within a
            conditional logit only.

    Example:
        >>> import fairhand as fh
        >>> rng = np.random.default_rng(0)
        >>> x, kind = rng.normal(size=(60, 8, 3, 1)), rng.random((60, 1, 1)) < 0.4
        >>> taken = (np.where(kind, 2.0, -2.0) * x[..., 0] + rng.gumbel(size=(60, 8, 3))).argmax(-1)
        >>> data = ChoiceData(
        ...     x.reshape(480, 3, 1), taken.ravel(), ("a", "b", "c"), ("size",), person=np.repeat(np.arange(60), 8)
        ... )
        >>> model = LatentClassLogit(ConditionalLogit("size", constants=False), classes=2)
        >>> posterior = fh.fit(model, data, method="map", draws=50)
        >>> [round(posterior.mean[f"size[{c}]"]) for c in (1, 2)]
        [-2, 2]
    """

    data_type: ClassVar[type] = ChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "person")

    logit: ConditionalLogit = eqx.field(static=True)
    classes: int = eqx.field(static=True, default=2)
    order_by: str | None = eqx.field(static=True, default=None)
    concentration: float = eqx.field(static=True, converter=float, default=1.0)

    def __check_init__(self):
        check_within(self.logit)
        require(
            isinstance(self.classes, int) and self.classes >= 1,
            f"`classes` must be a whole number of at least 1, got {self.classes!r}.",
        )
        require(0 < self.concentration < math.inf, f"`concentration` must be positive, got {self.concentration}.")
        require(
            self.logit.prior_scale is not None,
            "`prior_scale` must be finite: with a flat prior a class that nobody belongs to has no posterior.",
        )

    def _order_index(self, names: tuple[str, ...]) -> int:
        if self.order_by is None:
            return 0
        require(
            self.order_by in names,
            f"`order_by` must be one of the coefficients {list(names)}, got {self.order_by!r}.",
        )
        return names.index(self.order_by)

    def _places(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Which coefficients the sites hold, in their order: first that of `order_by`, then `beta`, then the numeraire."""
        index, cost = self._order_index(names), self.logit.numeraire_index
        others = [k for k in range(len(names)) if k not in (index, cost)]
        return others, [index, *others, *([] if cost in (None, index) else [cost])]

    def arguments(self, data: ChoiceData) -> tuple[Any, ...]:
        """What `numpyro_model` takes: as `ConditionalLogit.arguments`, then `person`, `people_weight` and `place`."""
        _, order = self._places(self.logit.names(data.alternatives))
        return (*self.logit.arguments(data), data.person, people_weights(data), np.argsort(order))

    def _prior(self, of_cost: bool) -> tuple[float, float]:
        """Location and width of the normal prior of a coefficient; of a numeraire, of the log of its size."""
        width = self.logit.prior_scale
        assert width is not None
        return (math.log(NUMERAIRE_MEDIAN * width), NUMERAIRE_SPREAD) if of_cost else (0.0, width)

    @property
    def _orders_cost(self) -> bool:
        cost = self.logit.numeraire
        return cost is not None and (
            self.order_by == cost or (self.order_by is None and cost == self.logit.attributes[0])
        )

    def _sample(self, scale: Array, place: Array) -> tuple[Array, Array]:
        """Shares and coefficients."""
        size, share = self.classes, jnp.ones(1)
        if size > 1:
            share = jnp.asarray(numpyro.sample("share", dist.Dirichlet(jnp.full(size, self.concentration))))
        cost = self.logit.numeraire is not None and not self._orders_cost
        rest = scale.shape[0] - 1 - cost
        (centre, spread), (_, width) = self._prior(True), self._prior(False)
        base = dist.Normal(-centre, spread) if self._orders_cost else dist.Normal(0.0, width)
        order = jnp.asarray(numpyro.sample("order", Ordered(base, size)))
        columns = [(-jnp.exp(-order) if self._orders_cost else order)[:, None]]
        if rest:
            prior = dist.Normal(jnp.zeros((size, rest)), width).to_event(2)
            columns.append(jnp.asarray(numpyro.sample("beta", prior)))
        if cost:
            prior = dist.LogNormal(jnp.full(size, centre), spread).to_event(1)
            columns.append(-jnp.asarray(numpyro.sample("numeraire", prior))[:, None])
        beta = jnp.concatenate(columns, 1)[:, place]
        return share, jnp.asarray(numpyro.deterministic("coefficient", beta / jnp.asarray(scale, beta.dtype)))

    def numpyro_model(
        self,
        design: Float[Array | np.ndarray, "situations alternatives coefficients"],
        available: Bool[Array | np.ndarray, "situations alternatives"],
        chosen: Int[Array | np.ndarray, " situations"] | None,
        weight: Float[Array | np.ndarray, " situations"],
        scale: Float[Array | np.ndarray, " coefficients"],
        person: Int[Array | np.ndarray, " situations"],
        people_weight: Float[Array | np.ndarray, " people"],
        place: Int[Array | np.ndarray, " coefficients"],
    ) -> None:
        """Class summed out; `chosen` None draws each person's `class` and then the choices instead."""
        share, coefficient = self._sample(jnp.asarray(scale), jnp.asarray(place))
        if chosen is None:
            kinds = jnp.broadcast_to(jnp.log(share), (people_weight.shape[0], self.classes))
            who = jnp.asarray(numpyro.sample("class", dist.CategoricalLogits(logits=kinds).to_event(1)))
            logits = log_probability(coefficient, design, available)
            own = jnp.take_along_axis(logits, who[person][None, :, None], 0)[0]
            own = jnp.where(jnp.asarray(available), own, -1e30)
            numpyro.sample("chosen", dist.CategoricalLogits(logits=own).to_event(1))
            return
        each = by_class(coefficient, share, design, available, chosen, weight, person, people_weight.shape[0])
        numpyro.factor("people", weighted_sum(jax.nn.logsumexp(each, -1), people_weight))

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        design, available, _, *rest = arguments
        _, _, person, people_weight, _ = rest
        of, which = jax.random.split(key)
        share = sites["share"] if self.classes > 1 else jnp.ones(1)
        kind = jax.random.categorical(of, jnp.log(share), shape=people_weight.shape)[person]
        logits = log_probability(sites["coefficient"], design, available)
        own = jnp.take_along_axis(logits, kind[None, :, None], 0)[0]
        return design, available, jax.random.categorical(which, own, -1), *rest

    def start(self, data: ChoiceData) -> dict[str, np.ndarray]:
        """The best of several quick EM searches, in the unconstrained space."""
        quick = _quick(self, data)
        names = self.logit.names(data.alternatives)
        index, cost = self._order_index(names), self.logit.numeraire_index
        others, _ = self._places(names)
        positive = lambda x: np.log(np.maximum(-x, 0.02))  # EM leaves a numeraire without a sign
        ordered = -positive(quick.beta[:, index]) if self._orders_cost else quick.beta[:, index]
        turn = np.argsort(ordered)
        # The sampler holds logs of gaps: a start with no gap at all would be at minus infinity.
        ordered = ordered[turn] + 0.05 * np.arange(self.classes)
        found = {"order": np.append(ordered[:1], np.log(np.diff(ordered)))}
        if others:
            found["beta"] = quick.beta[turn][:, others]
        if cost is not None and not self._orders_cost:
            found["numeraire"] = positive(quick.beta[turn, cost])
        if self.classes > 1:
            found["share"] = np.asarray(biject_to(constraints.simplex).inv(jnp.asarray(quick.share[turn])), float)
        return found

    def coords(self, data: ChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        names = self.logit.names(data.alternatives)
        return {
            "kind": list(range(1, self.classes + 1)),
            "term": list(names),
            "free_term": [names[k] for k in self._places(names)[0]],
            "person": np.asarray(data.people).astype(str).tolist(),
            "situation": data.situations.tolist(),
        }

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {
            "share": ["kind"],
            "order": ["kind"],
            "beta": ["kind", "free_term"],
            "numeraire": ["kind"],
            "coefficient": ["kind", "term"],
            "chosen": ["situation"],
        }

    def identify(self, data: ChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell; refuses what the conditional logit's check refuses, by name.

        Whether each class by itself is identified cannot be known before anybody's class is. A quick fit says which
        classes look small.
        """
        names = self.logit.names(data.alternatives)
        self._order_index(names)
        people = people_weights(data)
        notes = list(self.logit.identify(data))
        if self.classes == 1:
            return tuple(notes)
        times = np.bincount(data.person[data.weight > 0], minlength=len(people))
        seen = int((times > 0).sum())
        require(
            times.max() > 1,
            f"{data.source}: nobody chooses twice, so classes cannot be told from the errors of one choice: say `person=` "
            "when reading, or fit the `ConditionalLogit`.",
        )
        once = int((times == 1).sum())
        if once:
            notes.append(f"{once} of {seen} people chose once: what classes there are rests on the others.")
        numbers = self.classes * (len(names) + 1) - 1
        if numbers > seen / 5:
            notes.append(f"{self.classes} classes have {numbers} parameters, for {seen} people: try fewer `classes`.")
        quick = _quick(self, data)
        small = [f"{s:.1%}" for s in quick.share if s < SMALL]
        if small:
            notes.append(
                f"In a quick fit a class has {', '.join(small)} of the people, below {SMALL:.0%}: its coefficients are "
                "mostly their prior; try fewer `classes`."
            )
        notes.append(
            "Each class is a logit of its own: whether its choices identify it cannot be known before people's classes are."
        )
        return tuple(notes)

    def scalars(self, sites: Sites, data: ChoiceData) -> dict[str, Any]:
        """Shares and coefficients by class, numbered from 1 in the order of `order_by`; the last share is the rest."""
        found = {f"share[{c + 1}]": sites["share"][..., c] for c in range(self.classes - 1)}
        for c in range(self.classes):
            for k, name in enumerate(self.logit.names(data.alternatives)):
                found[f"{name}[{c + 1}]"] = sites["coefficient"][..., c, k]
        return found

    def label_free(self, sites: Sites, data: ChoiceData) -> dict[str, Any]:
        """Mean and spread of each coefficient over people, and the log-likelihood: no naming of classes changes them.

        Judge them with `posterior.inference_data(derived=model.label_free(posterior.sites, data))`.
        """
        share, beta = self._shares(sites), np.asarray(sites["coefficient"])
        found = {}
        for k, name in enumerate(self.logit.names(data.alternatives)):
            mean = (share * beta[..., k]).sum(-1)
            found[f"mean[{name}]"] = mean
            found[f"spread[{name}]"] = np.sqrt((share * (beta[..., k] - mean[..., None]) ** 2).sum(-1))
        each = np.asarray(self.log_densities(sites, data), float)
        return found | {"log_likelihood": each @ people_weights(data)}

    def _shares(self, sites: Sites) -> np.ndarray:
        beta = np.asarray(sites["coefficient"])
        return np.asarray(sites["share"]) if self.classes > 1 else np.ones((*beta.shape[:-2], 1), beta.dtype)

    def _joint(self, sites: Sites, data: ChoiceData) -> Float[Array, "*draws people classes"]:
        arrays = (self.logit.design(data), data.available, data.chosen, data.weight, data.person)
        return by_class_and_draw(sites["coefficient"], self._shares(sites), *arrays, len(data.people))

    def log_densities(self, sites: Sites, data: ChoiceData) -> Float[Array, "*draws people"]:
        """Log-probability of each person's choices, unweighted; what is left out for comparison is a person."""
        return jax.nn.logsumexp(self._joint(sites, data), -1)

    def memberships(self, sites: Sites, data: ChoiceData) -> Float[Array, "*draws people classes"]:
        """Chance that each person is of each class, given all of their choices."""
        return jax.nn.softmax(self._joint(sites, data), -1)

    def choice_probabilities(
        self, sites: Sites, data: ChoiceData, changed: ChoiceData | None = None
    ) -> Float[Array, "draws situations alternatives"]:
        """Chance of each alternative in each situation, for the very person who met it, given all of their choices.

        Args:
            sites: draws of the posterior. `data`: what was fitted, whose choices say of which class everybody is.
            changed: the same people in other situations; None is `data`.
        """
        at = data if changed is None else changed
        belongs = self.memberships(sites, data)
        return mixed(sites["coefficient"], belongs, self.logit.design(at), at.available, at.person)

    def replicate(self, sites: Sites, data: ChoiceData, *, key: PRNGKeyArray) -> Int[Array, "draws situations"]:
        """Choices that the same people might have made instead, one set a draw: one class a person, all along."""
        arrays = (self.logit.design(data), data.available, data.person)
        return replicated(sites["coefficient"], self.memberships(sites, data), *arrays, key)

    def worlds(self, sites: Sites, data: ChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw: `new=` strangers, whose classes are drawn first, or the `same` people.

        Of the same people the class is drawn given all their choices, and their errors given the last one. Arguments are
        those of `ConditionalLogit.world`.
        """
        from .class_worlds import build_class_world

        belongs = self.memberships(sites, data) if where.get("same") else None
        return build_class_world(self.logit, sites["coefficient"], self._shares(sites), belongs, data, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        facts = {"classes": self.classes, "order_by": self.order_by, "concentration": self.concentration}
        return {"model": "LatentClassLogit", "logit": self.logit.to_spec(), **facts}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "LatentClassLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = fields_of(spec, cls)
        return cls(**{**fields, "logit": ConditionalLogit.from_spec(fields["logit"])})


@functools.lru_cache(maxsize=4)
def _quick(model: LatentClassLogit, data: ChoiceData) -> Classes:
    design, available, chosen, weight, scale, person, people, _ = model.arguments(data)
    own = np.take_along_axis(design, chosen[:, None, None], 1)
    width = model.logit.prior_scale
    assert width is not None
    return quick_classes((own - design) / scale, available, weight > 0, person, people, model.classes, width)
