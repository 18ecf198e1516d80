"""A logit of bundles: what goods are worth, what pairs are worth together, and which of it can be told."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._spec import fields_of
from ..world import AbstractWorld
from . import identification
from ._bayes import observe, sample_coefficient
from ._utility import column_scale, log_probability
from .data import ChoiceData
from .logit import ConditionalLogit, _names, _scale

Sites = Mapping[str, Any]


class BundleLogit(eqx.Module):
    r"""Choice of a bundle, with pairwise complements and substitutes shrunk towards none.

    .. math::
        v(y) = \sum_j y_j(\alpha_j + z_j\cdot\beta) + \sum_{j<l}\gamma_{jl}\,y_j y_l + \delta_{|y|}, \qquad v(0) = 0,

    and errors of bundles are independent standard Gumbel. Priors:
    :math:`\alpha_j, \delta_s \sim N(0, \text{good\_scale}^2)`;
    :math:`\gamma_{jl} \sim N(0, \tau^2)`, :math:`\tau \sim N^+(0, \text{pair\_scale}^2)`; features and the numeraire as in
    `ConditionalLogit`. Coefficients come in the order goods, pairs, sizes, features, named as the columns.

    A few pairs say little of :math:`\tau`, and many choices tie it to them: where its draws are few, fit with
    `target_accept=0.95`. With another `pair_scale`, see how much the answer rests on it.

    Fitted to what `bundle_choices` returns. For tastes that differ between people, give the same columns to `MixedLogit`:
    `MixedLogit(ConditionalLogit((*goods, "a+b"), constants=False), random=goods)`.

    Args:
        goods: names of the goods.
        features: columns of the data with one coefficient for all bundles, such as a price.
        pairs: "all" that the data have columns for, or some of them, as "a+b".
        sizes: whether to take the data's sizes in.
        numeraire: one of `features`, a cost; see `ConditionalLogit`.
        unit: unit of the worlds' values.
        good_scale: see above, in utils.
        pair_scale: see above, in utils.
        prior_scale: of `features`, in standard units.

    Raises:
        ValueError: no goods, scales that are not positive, a numeraire that is no feature.

    Source: specification of paper 003, section (g) [X].

    Example:
        >>> from fairhand.models.choice import bundle_choices
        >>> menu = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        >>> data = bundle_choices(menu, np.array([3, 0, 1, 2, 3]), ("tea", "milk"))
        >>> model = BundleLogit(("tea", "milk"))
        >>> model.identify(data), tuple(model.scalars({"coefficient": np.zeros(3)}, data))
        ((), ('tea', 'milk', 'tea+milk'))
        >>> chance = model.choice_probabilities({"coefficient": np.array([[0.0, 0.0, np.log(2.0)]])}, data)
        >>> np.asarray(chance[0, 0], float).round(3).tolist()
        [0.2, 0.2, 0.2, 0.4]
    """

    data_type: ClassVar[type] = ChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    goods: tuple[str, ...] = eqx.field(static=True, converter=_names)
    features: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    pairs: Any = eqx.field(static=True, converter=lambda x: x if x == "all" else _names(x), default="all")
    sizes: bool = eqx.field(static=True, default=True)
    numeraire: str | None = eqx.field(static=True, default=None)
    unit: str | None = eqx.field(static=True, default=None)
    good_scale: float = eqx.field(static=True, converter=float, default=1.5)
    pair_scale: float = eqx.field(static=True, converter=float, default=0.5)
    prior_scale: float | None = eqx.field(static=True, converter=_scale, default=1.5)

    def __check_init__(self):
        require(self.goods, "`goods` is empty: name at least one.")
        for name in ("good_scale", "pair_scale", "prior_scale"):
            x = getattr(self, name)
            require(x is None or x > 0, f"`{name}` must be positive, got {x}.")
        require(
            self.numeraire is None or self.numeraire in self.features,
            f"`numeraire` must be one of `features` {self.features}, got {self.numeraire!r}.",
        )
        ConditionalLogit((*self.goods, *self.features), constants=False)  # refuses names that come twice

    def columns(self, data: ChoiceData) -> tuple[tuple[str, ...], ...]:
        """Names of the goods, pairs, sizes and features, as the data have them; refuses those they lack."""
        there = [c for c in data.columns if "+" in c and set(c.split("+")) <= set(self.goods)]
        pairs = tuple(there) if self.pairs == "all" else self.pairs
        sizes = tuple(c for c in data.columns if c.startswith("size:")) if self.sizes else ()
        found = self.goods, pairs, sizes, self.features
        missing = [c for group in found for c in group if c not in data.columns]
        require(not missing, f"{data.source} has no columns {missing}: make them with `bundle_choices`.")
        return found

    def logit(self, data: ChoiceData) -> ConditionalLogit:
        """The conditional logit with the same utilities, for these data."""
        every = tuple(c for group in self.columns(data) for c in group)
        return ConditionalLogit(every, constants=False, numeraire=self.numeraire, unit=self.unit)

    def arguments(self, data: ChoiceData) -> tuple[np.ndarray, ...]:
        """What `numpyro_model` takes: designs of goods, pairs, sizes and features, then as `ConditionalLogit`."""
        logit, groups = self.logit(data), self.columns(data)
        design = logit.design(data)
        cuts = np.cumsum([len(group) for group in groups])[:-1]
        parts = np.split(design, cuts, axis=-1)
        scale = np.asarray(column_scale(parts[3], data.available))
        return (parts[0], data.available, data.chosen, data.weight, *parts[1:], scale)

    def numpyro_model(
        self,
        goods: Float[Array | np.ndarray, "situations bundles goods"],
        available: Bool[Array | np.ndarray, "situations bundles"],
        chosen: Int[Array | np.ndarray, " situations"] | None,
        weight: Float[Array | np.ndarray, " situations"] | None,
        pairs: Float[Array | np.ndarray, "situations bundles pairs"],
        sizes: Float[Array | np.ndarray, "situations bundles sizes"],
        features: Float[Array | np.ndarray, "situations bundles features"],
        scale: Float[Array | np.ndarray, " features"],
    ) -> None:
        """Sites: `alpha`, `tau`, `raw` (γ/τ), `delta`, `beta`, `numeraire`, all in `coefficient`; and `chosen`."""
        normal = lambda name, size, width: jnp.asarray(
            numpyro.sample(name, dist.Normal(jnp.zeros(size), width).to_event(1))
        )
        parts = [normal("alpha", goods.shape[-1], self.good_scale)]
        if pairs.shape[-1]:
            tau = jnp.asarray(numpyro.sample("tau", dist.HalfNormal(self.pair_scale)))
            parts.append(tau * normal("raw", pairs.shape[-1], 1.0))
        if sizes.shape[-1]:
            parts.append(normal("delta", sizes.shape[-1], self.good_scale))
        if features.shape[-1]:
            index = None if self.numeraire is None else self.features.index(self.numeraire)
            with numpyro.handlers.block(hide=["coefficient"]):
                parts.append(sample_coefficient(jnp.asarray(scale), self.prior_scale, index))
        coefficient = jnp.asarray(numpyro.deterministic("coefficient", jnp.concatenate(parts)))
        design = jnp.concatenate([jnp.asarray(x, coefficient.dtype) for x in (goods, pairs, sizes, features)], -1)
        observe(log_probability(coefficient, design, available), available, chosen, weight)

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        goods, available, _, weight, pairs, sizes, features, scale = arguments
        coefficient = sites["coefficient"]
        design = jnp.concatenate([jnp.asarray(x, coefficient.dtype) for x in (goods, pairs, sizes, features)], -1)
        chosen = jax.random.categorical(key, log_probability(coefficient, design, available), -1)
        return goods, available, chosen, weight, pairs, sizes, features, scale

    def start(self, data: ChoiceData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space; complements of a quarter to shrink."""
        goods, pairs, sizes, features = (len(group) for group in self.columns(data))
        free = features - (self.numeraire is not None)
        found = {"alpha": np.zeros(goods)}
        found |= {"tau": np.array(np.log(self.pair_scale / 2)), "raw": np.zeros(pairs)} if pairs else {}
        found |= {"delta": np.zeros(sizes)} if sizes else {}
        found |= {"beta": np.zeros(free)} if free else {}
        return found | ({} if self.numeraire is None else {"numeraire": np.zeros(())})

    def coords(self, data: ChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        goods, pairs, sizes, features = self.columns(data)
        return {
            "good": list(goods),
            "pair": list(pairs),
            "size": list(sizes),
            "free_term": [f for f in features if f != self.numeraire],
            "term": [*goods, *pairs, *sizes, *features],
            "situation": data.situations.tolist(),
        }

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {
            "alpha": ["good"],
            "raw": ["pair"],
            "delta": ["size"],
            "beta": ["free_term"],
            "coefficient": ["term"],
            "chosen": ["situation"],
        }

    def identify(self, data: ChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell; refuses pairs, sizes and goods they cannot, by name.

        A pair that nobody, or everybody who could, took has no maximum, but its prior shrinks it: that is a note.
        """
        goods, pairs, sizes, _ = self.columns(data)
        require(
            not data.column(goods[0])[:, 0].any() and data.alternatives[0] == "nothing",
            f"{data.source}: alternative 0 must be the empty bundle, of worth 0: make the data with `bundle_choices`.",
        )
        logit, used = self.logit(data), data.weight > 0
        bad = [p for p in pairs if not (data.column(p) * data.available)[used].any()]
        require(not bad, f"{data.source}: no menu offers a bundle with the pair {bad}: drop it from `pairs`.")
        found = identification.check(logit, data)
        if found.flat:
            raise ValueError(
                f"{data.source} does not identify the model: {_confounded(found.flat, goods, pairs, sizes)}"
            )
        if found.ok:
            return found.notes
        alone = ConditionalLogit(tuple(n for n in found.names if n not in pairs), constants=False)
        identification.require(alone, data)
        names = ", ".join(f"`{n}` ({v:+.3g})" for n, v in (found.separating or {}).items())
        note = f"The choices are separated along {names}: there the prior of the pairs decides, which shrinks them."
        return (*found.notes, note)

    def scalars(self, sites: Sites, data: ChoiceData) -> dict[str, Any]:
        """The coefficients by name, and `tau`, how far from additive the pairs are."""
        found = self.logit(data).scalars(sites, data)
        return found | ({"tau": sites["tau"]} if "tau" in sites else {})

    def log_densities(self, sites: Sites, data: ChoiceData) -> Float[Array, "draws situations"]:
        """Log-probability of each choice, unweighted."""
        return self.logit(data).log_densities(sites, data)

    def choice_probabilities(
        self, sites: Sites, data: ChoiceData, changed: ChoiceData | None = None
    ) -> Float[Array, "draws situations bundles"]:
        """Chance of each bundle in each situation, for the fitted `data` or for `changed` features and menus."""
        at = data if changed is None else changed
        if isinstance(at.attributes, np.ndarray):
            other = [c for c in self.without_slope(data) if np.any((at.column(c) != data.column(c)[:1])[at.available])]
            require(
                not other,
                f"{at.source} has other columns {other}, which say what bundles are: change features or menus.",
            )
        return self.logit(data).probabilities(sites["coefficient"], at)

    def without_slope(self, data: ChoiceData) -> dict[str, str]:
        """Columns that have no elasticity, and why."""
        goods, pairs, sizes, _ = self.columns(data)
        return dict.fromkeys((*goods, *pairs, *sizes), "it is 0 or 1 and says what a bundle is made of")

    def replicate(self, sites: Sites, data: ChoiceData, *, key: PRNGKeyArray) -> Int[Array, "draws situations"]:
        """Choices that might have been made instead, one set a draw."""
        return jax.random.categorical(key, jnp.log(self.choice_probabilities(sites, data)), -1)

    def worlds(self, sites: Sites, data: ChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw, their options the bundles; arguments are those of `ConditionalLogit.world`."""
        return self.logit(data).world(sites["coefficient"], data, **where)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"model": "BundleLogit", **{k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "BundleLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def _confounded(
    flat: Sequence[tuple[str, ...]], goods: Sequence[str], pairs: Sequence[str], sizes: Sequence[str]
) -> str:
    """What a flat direction means for bundles, and the cure."""
    out = []
    for direction in flat:
        names = ", ".join(f"`{n}`" for n in direction)
        two, large = [n for n in direction if n in pairs], [n for n in direction if n in sizes]
        if len(direction) == 1:
            out.append(f"{names} is the same in all bundles of every menu: drop it, or vary the menus.")
        elif two and large:
            out.append(
                f"The pairs {', '.join(f'`{n}`' for n in two)} are confounded with {', '.join(f'`{n}`' for n in large)}: a "
                f"bundle's size says how many pairs it has ({names} move together); drop that size, or some pairs."
            )
        elif two:
            out.append(
                f"{names} cannot be told apart: a pair needs menus with and without it, that offer its goods without "
                "each other too; add such bundles, or drop the pair."
            )
        else:
            out.append(f"{names} cannot be told apart: drop one of them.")
    return " ".join(out)
