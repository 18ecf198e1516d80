"""The conditional logit: what alternatives are worth, as a weighted sum of what they are like."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._spec import fields_of
from ._bayes import observe, sample_coefficient
from ._choice_based import constant_offsets
from ._utility import column_scale, log_probability, weighted_sum
from .data import ChoiceData

if TYPE_CHECKING:
    from ..supply import AbstractSupply
    from ..world import AbstractWorld


def _names(x: str | Sequence[str]) -> tuple[str, ...]:
    return (x,) if isinstance(x, str) else tuple(x)


def _pairs(x: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, _names(to)) for name, to in dict(x).items())


def _shares(x: Any) -> tuple[tuple[str, float], ...] | None:
    return None if x is None else tuple((name, float(share)) for name, share in dict(x).items())


def _scale(x: float | None) -> float | None:
    return None if x is None or math.isinf(x) else float(x)


class ConditionalLogit(eqx.Module):
    r"""Multinomial choice with one vector of coefficients for everybody (McFadden 1974).

    Person :math:`i` takes the alternative worth most, and errors are independent standard Gumbel:

    .. math::
        u_{ij} = x_{ij}\cdot\beta + \varepsilon_{ij}, \qquad
        P(j \mid x_i) = \frac{e^{x_{ij}\cdot\beta}}{\sum_{k \text{ available}} e^{x_{ik}\cdot\beta}}.

    Coefficients come in this order, with these names: each of `attributes` ("gc"), each interaction ("hinc:air": the
    column `hinc` counts for air only), each constant but the base's ("constant:air").

    **Prior.** A column is standardised by :math:`s_k`, its root mean square deviation from the mean of its own
    situation; :math:`s_k\beta_k \sim N(0, \text{prior\_scale}^2)`. The numeraire has
    :math:`-s_k\beta_k \sim \text{prior\_scale}\cdot\text{LogNormal}(\log 0.2, 1.25)`: values in worlds are divided by
    :math:`-\beta_k`, and a prior with density at zero would leave them without a posterior mean (Daly, Hess and Train
    2012).

    **Weights.** Unequal sampling weights in the data make this a weighted pseudo-likelihood,
    :math:`\sum_i w_i \log P(y_i \mid x_i)`. Its maximum is consistent; the spread of the posterior is *not* calibrated,
    and means nothing at all unless the weights have mean 1. `ChoiceData.effective_size` says what they cost, and
    `check` repeats it.

    **Choice-based samples.** If people were sampled by what they chose, all coefficients but the constants are
    estimated as if they had not been; with the share :math:`H_j` of alternative j in the sample and :math:`Q_j` in the
    population, :math:`\beta_{0j} - \log(H_j/Q_j)` is the constant in the population (Manski and Lerman 1977; Manski and
    McFadden 1981, who credit McFadden). It takes a full set of constants. `coefficient` in the posterior is as
    estimated; `correct` and the worlds apply the correction.

    Args:
        attributes: columns with one coefficient for all alternatives.
        interactions: attribute of people to the alternatives for which it has a coefficient of its own.
        constants: whether each alternative but `base` has a constant.
        base: alternative without a constant; None is the last one of the data.
        numeraire: one of `attributes`, a cost. Its coefficient is negative, and worlds are measured in it.
        unit: unit of the worlds' values; None is the name of the numeraire, or "utils" without one.
        prior_scale: see above, dimensionless; None or inf is flat. A flat prior also leaves money values without a
            mean.
        population_shares: alternative to its share in the population, for choice-based samples.

    Raises:
        ValueError: a name twice, a numeraire that is no attribute, shares that are no shares, or shares without
            constants.

    Example:
        >>> model = ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", numeraire="gc", unit="dollars")
        >>> model.names(("air", "car"))
        ('gc', 'ttme', 'hinc:air', 'constant:air')
    """

    data_type: ClassVar[type] = ChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    attributes: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    interactions: Any = eqx.field(static=True, converter=_pairs, default=())
    constants: bool = eqx.field(static=True, default=True)
    base: str | None = eqx.field(static=True, default=None)
    numeraire: str | None = eqx.field(static=True, default=None)
    unit: str | None = eqx.field(static=True, default=None)
    prior_scale: float | None = eqx.field(static=True, converter=_scale, default=2.5)
    population_shares: Any = eqx.field(static=True, converter=_shares, default=None)

    def __check_init__(self):
        names = [*self.attributes, *(f"{p}:{a}" for p, to in self.interactions for a in to)]
        twice = [n for i, n in enumerate(names) if n in names[:i]]
        require(not twice, f"coefficient {twice[:1]} is named twice: keep one in `attributes` or `interactions`.")
        require(names or self.constants, "the model has no coefficient: name `attributes` or set `constants=True`.")
        require(
            self.numeraire is None or self.numeraire in self.attributes,
            f"`numeraire` must be one of `attributes` {self.attributes}, got {self.numeraire!r}.",
        )
        require(
            self.prior_scale is None or self.prior_scale > 0,
            f"`prior_scale` must be positive, or None for a flat prior; got {self.prior_scale}.",
        )
        if self.population_shares is not None:
            shares = dict(self.population_shares)
            require(
                self.constants,
                "`population_shares` correct the constants, and this model has none: set `constants=True`.",
            )
            require(
                min(shares.values()) > 0 and abs(sum(shares.values()) - 1) < 1e-6,
                f"`population_shares` must be positive and sum to 1; got {shares}.",
            )

    def names(self, alternatives: Sequence[str]) -> tuple[str, ...]:
        """Names of the coefficients, in order; refuses alternatives that the model names and the data lack."""
        options = tuple(alternatives)
        shares = () if self.population_shares is None else dict(self.population_shares)
        wanted = [
            *(() if self.base is None else (self.base,)),
            *(a for _, to in self.interactions for a in to),
            *shares,
        ]
        unknown = [a for a in dict.fromkeys(wanted) if a not in options]
        require(not unknown, f"the model names {unknown}, but the alternatives of the data are {list(options)}.")
        short = [a for a in options if shares and a not in shares]
        require(not short, f"`population_shares` has no share for {short}: give one for each alternative.")
        base = self._base(options)
        return (
            *self.attributes,
            *(f"{person}:{a}" for person, to in self.interactions for a in to),
            *(f"constant:{a}" for a in options if self.constants and a != base),
        )

    def _base(self, alternatives: Sequence[str]) -> str:
        return alternatives[-1] if self.base is None else self.base

    @property
    def numeraire_index(self) -> int | None:
        """Place of the numeraire among the coefficients."""
        return None if self.numeraire is None else self.attributes.index(self.numeraire)

    def design(self, data: ChoiceData) -> Float[Any, "situations alternatives coefficients"]:
        """What each coefficient multiplies, in the units of the data; 0 where an alternative is not available.

        NumPy in, NumPy out; attributes that are traced give traced columns, which is how elasticities are found.
        """
        self.names(data.alternatives)
        xp = np if isinstance(data.attributes, np.ndarray) else jnp
        options = data.alternatives
        base = self._base(options)
        only = dict(zip(options, np.eye(len(options)), strict=True))
        columns = [
            *(data.column(k) for k in self.attributes),
            *(data.column(person) * only[a] for person, to in self.interactions for a in to),
            *(np.broadcast_to(only[a], data.available.shape) for a in options if self.constants and a != base),
        ]
        return xp.where(data.available[..., None], xp.stack(columns, -1), 0.0)

    def arguments(self, data: ChoiceData) -> tuple[np.ndarray, ...]:
        """What `numpyro_model` takes: design, available, chosen, weight, and the columns' scale."""
        design = np.asarray(self.design(data))
        scale = np.asarray(column_scale(design, data.available))
        return design, data.available, data.chosen, data.weight, scale

    def numpyro_model(
        self,
        design: Float[Array | np.ndarray, "situations alternatives coefficients"],
        available: Bool[Array | np.ndarray, "situations alternatives"],
        chosen: Int[Array | np.ndarray, " situations"] | None,
        weight: Float[Array | np.ndarray, " situations"] | None = None,
        scale: Float[Array | np.ndarray, " coefficients"] | None = None,
    ) -> None:
        """The model for NumPyro; data are arguments, so data of one shape share one compiled program.

        Sites: `beta` (standardised, without the numeraire), `numeraire` (minus its standardised coefficient),
        `coefficient` (all, in the units of the data), `chosen` (observed unless None; then it is predicted).

        Args:
            design: as from `design`.
            available: False where an alternative could not be chosen.
            chosen: index of the alternative taken; None draws it.
            weight: sampling weights; None is 1.
            scale: the columns' scale, as from `arguments`; None computes it from `design`.
        """
        scale = column_scale(design, available) if scale is None else scale
        coefficient = sample_coefficient(jnp.asarray(scale), self.prior_scale, self.numeraire_index)
        observe(log_probability(coefficient, design, available), available, chosen, weight)

    def simulate(self, sites: Mapping[str, Any], arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        design, available, _, weight, scale = arguments
        logits = log_probability(sites["coefficient"], design, available)
        return design, available, jax.random.categorical(key, logits, -1), weight, scale

    def start(self, data: ChoiceData) -> dict[str, np.ndarray]:
        """Where a search may begin: zeros in the unconstrained space, for each site that is sampled."""
        free = len(self.names(data.alternatives)) - (self.numeraire is not None)
        return ({"beta": np.zeros(free)} if free else {}) | (
            {} if self.numeraire is None else {"numeraire": np.zeros(())}
        )

    def coords(self, data: ChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        names = self.names(data.alternatives)
        return {
            "term": list(names),
            "free_term": [n for n in names if n != self.numeraire],
            "situation": data.situations.tolist(),
        }

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ (which forbids a dimension named as its variable)."""
        return {"coefficient": ["term"], "beta": ["free_term"], "chosen": ["situation"]}

    def identify(self, data: ChoiceData) -> tuple[str, ...]:
        """Notes of `identification.check`; refuses data that do not identify the model."""
        from .identification import require

        return require(self, data).notes

    def scalars(self, sites: Mapping[str, Any], data: ChoiceData) -> dict[str, Any]:
        """The coefficients by name, out of the posterior's sites."""
        return {name: sites["coefficient"][..., i] for i, name in enumerate(self.names(data.alternatives))}

    def log_densities(self, sites: Mapping[str, Any], data: ChoiceData) -> Float[Array, "draws situations"]:
        """`pointwise` of the posterior's sites."""
        return self.pointwise(sites["coefficient"], self.design(data), data.available, data.chosen)

    def pointwise(
        self,
        coefficient: Float[Array | np.ndarray, "*draws coefficients"],
        design: Float[Array | np.ndarray, "situations alternatives coefficients"],
        available: Bool[Array | np.ndarray, "situations alternatives"],
        chosen: Int[Array | np.ndarray, " situations"],
    ) -> Float[Array, "*draws situations"]:
        """Log-probability of each choice, unweighted; `coefficient` in the units of the data, draws in front."""
        logits = log_probability(coefficient, design, available)
        taken = jnp.broadcast_to(jnp.asarray(chosen)[..., None], (*logits.shape[:-1], 1))
        return jnp.take_along_axis(logits, taken, -1)[..., 0]

    def log_likelihood(
        self, coefficient: Float[Array | np.ndarray, "*draws coefficients"], data: ChoiceData
    ) -> Float[Array, "*draws"]:
        """Sum over situations of weight times log-probability; a constant programme for one data set."""
        each = self.pointwise(coefficient, self.design(data), data.available, data.chosen)
        return weighted_sum(each, data.weight)

    def probabilities(
        self, coefficient: Float[Array | np.ndarray, "*draws coefficients"], data: ChoiceData
    ) -> Float[Array, "*draws situations alternatives"]:
        """Chance of each alternative in each situation, 0 where not available; as estimated, that is uncorrected."""
        return jnp.exp(log_probability(coefficient, self.design(data), data.available))

    def choice_probabilities(
        self, sites: Mapping[str, Any], data: ChoiceData, changed: ChoiceData | None = None
    ) -> Float[Array, "draws situations alternatives"]:
        """`probabilities` of the posterior's sites, for the fitted `data` or for the same people in `changed` ones."""
        return self.probabilities(sites["coefficient"], data if changed is None else changed)

    def replicate(
        self, sites: Mapping[str, Any], data: ChoiceData, *, key: PRNGKeyArray
    ) -> Int[Array, "draws situations"]:
        """Choices that might have been made instead, one set a draw; in a choice-based sample, of such a sample."""
        logits = log_probability(sites["coefficient"], self.design(data), data.available)
        return jax.random.categorical(key, logits, -1)

    def correct(
        self, coefficient: Float[Array | np.ndarray, "*draws coefficients"], data: ChoiceData
    ) -> Float[Array, "*draws coefficients"]:
        r"""Coefficients in the population: :math:`\log(H_j/Q_j)` taken off each constant, relative to the base."""
        coefficient = jnp.asarray(coefficient)
        names = self.names(data.alternatives)
        if self.population_shares is None:
            return coefficient
        offset = constant_offsets(data, dict(self.population_shares), names, self._base(data.alternatives))
        return coefficient - jnp.broadcast_to(jnp.asarray(offset, coefficient.dtype), coefficient.shape)

    def world(
        self,
        coefficient: Float[Array | np.ndarray, "*draws coefficients"],
        data: ChoiceData,
        *,
        supply: "AbstractSupply",
        new: int | None = None,
        same: bool = False,
        outside: str | None = None,
        kind: Int[np.ndarray, " situations"] | None = None,
    ) -> "AbstractWorld":
        """Who comes: `new` strangers drawn from the data, or the `same` people who are in it.

        Args:
            coefficient: as estimated (choice-based samples are corrected here): `[coefficients]`, or
                `[draws, coefficients]` for a posterior.
            data: the sample that was fitted; or, for a counterfactual, the same with other attributes
                (`ChoiceData.changed`): the choices, and so the corrections, stay. Then use `new`, as `same` would say
                that people choose as before in spite of the change.
            supply: what there is to share, its options in the order of `data.alternatives`, but `outside` last.
            new: how many strangers come.
            same: the people in the data come; either this or `new`.
            outside: alternative that is free to all; it becomes the last option and is worth 0.
            kind: `[situations]`, index of the group of each situation.

        Returns:
            `Strangers` or `SamePeople`; `Draws` of them for a posterior.

        Raises:
            ValueError: neither or both of `new` and `same`, an outside option that somebody does not have, shapes that
                do not fit, a numeraire whose coefficient is not negative.
        """
        from ._build import build_world

        return build_world(self, coefficient, data, supply=supply, new=new, same=same, outside=outside, kind=kind)

    def worlds(self, sites: Mapping[str, Any], data: ChoiceData, **where: Any) -> "AbstractWorld":
        """`world` of the posterior's sites."""
        return self.world(sites["coefficient"], data, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        shares = None if self.population_shares is None else dict(self.population_shares)
        return {
            "model": "ConditionalLogit",
            "attributes": list(self.attributes),
            "interactions": {person: list(to) for person, to in self.interactions},
            "constants": self.constants,
            "base": self.base,
            "numeraire": self.numeraire,
            "unit": self.unit,
            "prior_scale": self.prior_scale,
            "population_shares": shares,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "ConditionalLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def check_within(logit: Any) -> None:
    """Refuse what cannot say what the utilities of another model are made of."""
    require(
        isinstance(logit, ConditionalLogit),
        f"`logit` must be a `ConditionalLogit`, which says what utilities are made of; got {logit!r}.",
    )
    require(
        logit.population_shares is None,
        "`population_shares` correct the constants of a conditional logit, and of no other model: weight the data instead.",
    )
