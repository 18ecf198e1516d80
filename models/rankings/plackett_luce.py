"""Plackett–Luce: one worth an item, and rankings as choices from what is left."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..choice._utility import weighted_sum
from ..world import AbstractWorld
from ._base import as_scale, check_data, check_scale, named
from ._build import build_world
from ._compare import compare
from ._replicate import replicate
from ._stages import Stages, drawn_order, log_probability, stages
from .data import RankingData
from .reports import UNSAID, AbstractReports, as_reports


class PlackettLuce(eqx.Module):
    r"""Everybody draws from the same worths: the best item is chosen, then the best of what is left, and so on.

    .. math::
        u_{ij} = V_j + \varepsilon_{ij}, \qquad
        P(j_1 \succ j_2 \succ \dots) = \prod_k \frac{e^{V_{j_k}}}{\sum_{l \ge k} e^{V_{j_l}}},

    errors independent standard Gumbel; of a top-k ranking the sums include the items left out, and a group of tied items
    comes before what is under it with exactly its probability, in whatever order among themselves (`_ties`).

    **Origin.** Only differences of worth can be told. Worths sum to zero (`base` None), or that of `base` is 0. That is the
    same model with another origin: the prior is that of independent :math:`V_j \sim N(0, \text{prior\_scale}^2)`, of which
    only the differences are kept, whatever the base.

    Sites: `theta`, `[items - 1]`, and `worth`, `[items]`, in utils (standard Gumbel errors).

    Args:
        base: item of worth 0; None makes worths sum to zero.
        prior_scale: see above; None or inf is flat.
        reports: what the lists are assumed to say: `Truthful(rule)`, `Undominated()` or `Stable()`. Every result prints it.

    Raises:
        ValueError: a scale that is not positive.

    Source: R. Plackett (1975), "The analysis of permutations", Applied Statistics 24; R. Luce (1959), *Individual choice
    behavior*. The conditions of `identify` are those of L. Ford (1957), as in D. Hunter (2004), "MM algorithms for
    generalized Bradley–Terry models", Annals of Statistics 32.

    Example:
        >>> import fairhand as fh
        >>> lists = [["a", "b", "c"], ["b", "a", "c"], ["a", "c", "b"], ["c", "a", "b"]]
        >>> data = RankingData.from_orders(lists, menu=["a", "b", "c"])
        >>> posterior = fh.fit(PlackettLuce(), data, method="map", draws=50)
        >>> max(posterior.mode, key=posterior.mode.get)
        'worth:a'
    """

    data_type: ClassVar[type] = RankingData
    observation: ClassVar[tuple[str, str]] = ("order", "ranking")

    base: str | None = eqx.field(static=True, default=None)
    prior_scale: float | None = eqx.field(static=True, converter=as_scale, default=2.5)
    reports: AbstractReports = eqx.field(static=True, converter=as_reports, default=UNSAID)

    def __check_init__(self):
        check_scale("prior_scale", self.prior_scale)

    def identify(self, data: Any) -> tuple[str, ...]:
        """The assumption on reports, and what rankings can tell of worths.

        Raises:
            ValueError: items that no comparison links; under a flat prior, also items that always (never) come before the
                others, whose worth has no finite maximum of the likelihood.
        """
        levels, notes = check_data(data, self.reports)
        self._base(data)
        found, items = compare(levels), np.asarray(data.items)
        groups = [items[found.together == c] for c in range(found.together.max() + 1)]
        if len(groups) > 1:
            groups = sorted(groups, key=len)  # stable: of equal ones the first named comes first
            raise ValueError(
                f"{data.source} does not identify the model: items {named(groups[0])} are never compared with "
                f"{named(groups[-1])}, so no ranking tells their difference: drop them, or fit each group alone."
            )
        if found.mutual.max() == 0:
            return notes
        told = []
        if found.never_above:
            told.append(f"items {named(items[found.never_above])} never come before another")
        if found.never_below:
            told.append(f"items {named(items[found.never_below])} never come after another")
        if not told:
            first = items[found.mutual == found.mutual[0]]
            told.append(f"items {named(first)} and the rest come before each other in one direction only")
        sentence = f"{'; '.join(told)}: no finite worth is the most likely"
        require(
            self.prior_scale is not None,
            f"{data.source} does not identify the model: {sentence}. Drop them, or give a finite `prior_scale` and say that "
            "the prior decides.",
        )
        return (
            *notes,
            f"{sentence[0].upper()}{sentence[1:]}, so how far they stand from the others is the prior's word.",
        )

    def _base(self, data: RankingData) -> int | None:
        require(
            self.base is None or self.base in data.items,
            f"`base` must be one of the items {list(data.items)}, got {self.base!r}.",
        )
        return None if self.base is None else data.items.index(self.base)

    def arguments(self, data: RankingData) -> tuple[Any, ...]:
        """Stages of the different rankings, how often each was given, and one zero an item; 1 at the base."""
        levels = self.reports.levels(data)
        used = (data.weight > 0) & (levels.max(1) > 0)
        each, which = np.unique(levels[used], axis=0, return_inverse=True)
        weight = np.bincount(which.ravel(), data.weight[used], len(each))
        origin, base = np.zeros(len(data.items)), self._base(data)
        if base is not None:
            origin[base] = 1.0
        return (*stages(each), weight, origin)

    def simulation_arguments(self, data: RankingData) -> tuple[Any, ...]:
        """`arguments` with a row for each ranking given, equal ones too."""
        data = data.changed(person=None, people=None).expanded()
        levels = self.reports.levels(data)
        *_, origin = self.arguments(data)
        return (*stages(levels), np.ones(len(levels)), origin)

    def simulate(self, sites: Mapping[str, Any], arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with orders drawn anew, for one draw of the sites; how many of them are told stays as it is."""
        item, there, *rest = arguments
        order = drawn_order(sites["worth"][item], there, key=key)
        return jnp.take_along_axis(jnp.asarray(item), order, 0), there, *rest

    def start(self, data: RankingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space."""
        return {"theta": np.zeros(len(data.items) - 1)}

    def numpyro_model(
        self,
        item: Int[Array | np.ndarray, "places rankings"],
        there: Bool[Array | np.ndarray, "places rankings"],
        alone: Bool[Array | np.ndarray, "places rankings"],
        tied: Int[Array | np.ndarray, "groups members"],
        under: Int[Array | np.ndarray, " groups"],
        weight: Float[Array | np.ndarray, " rankings"],
        origin: Float[Array | np.ndarray, " items"],
    ) -> None:
        """The model for NumPyro; the log-probability of the rankings is the factor `rankings`."""
        free = origin.shape[0] - 1
        if self.prior_scale is None:
            prior = dist.ImproperUniform(constraints.real_vector, (), (free,))
        else:
            prior = dist.Normal(jnp.zeros(free), self.prior_scale).to_event(1)
        theta = jnp.asarray(numpyro.sample("theta", prior))
        worth = zero_sum(theta)
        worth = jnp.asarray(numpyro.deterministic("worth", worth - jnp.sum(worth * jnp.asarray(origin, worth.dtype))))
        each = log_probability(worth[jnp.asarray(item)], Stages(item, there, alone, tied, under))
        numpyro.factor("rankings", weighted_sum(each, weight))

    def scalars(self, sites: Mapping[str, Any], data: RankingData) -> dict[str, Any]:
        """The worths by name, without that of the base."""
        return {f"worth:{a}": sites["worth"][..., i] for i, a in enumerate(data.items) if a != self.base}

    def log_densities(self, sites: Mapping[str, Any], data: RankingData) -> Float[Array, "draws rankings"]:
        """Log-probability of each ranking, unweighted."""
        return _log_densities(jnp.asarray(sites["worth"]), stages(self.reports.levels(data)))

    def replicate(
        self, sites: Mapping[str, Any], data: RankingData, *, key: PRNGKeyArray
    ) -> Int[Array, "draws rankings places"]:
        """Lists that the same people might have given instead, one set a draw; see `RankingData.order`."""
        return replicate(jnp.asarray(sites["worth"])[:, None], data, self.reports, key=key)

    def coords(self, data: RankingData) -> dict[str, list]:
        """The items, and the rankings."""
        return {"item": list(data.items), "ranking": data.labels.tolist()}

    def dims(self) -> dict[str, list[str]]:
        """Worths are by item."""
        return {"worth": ["item"]}

    def worlds(self, sites: Mapping[str, Any], data: RankingData, **where: Any) -> AbstractWorld:
        """Who comes, with worth plus error as values; `supply=`, `new=` or `same=`, `outside=`, `kind=`, see `build_world`."""
        worth = jnp.asarray(sites["worth"])
        design = np.eye(len(data.items))[None]
        return build_world(data, self.reports, worth, worth[..., None, :], None, design, **where)

    def assuming(self, reports: AbstractReports) -> "PlackettLuce":
        """The same model under another assumption on reports."""
        return dataclasses.replace(self, reports=reports)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        return {
            "model": "PlackettLuce",
            "base": self.base,
            "prior_scale": self.prior_scale,
            "reports": self.reports.to_spec(),
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "PlackettLuce":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def zero_sum(theta: Float[Array, " free"]) -> Float[Array, " items"]:
    """An isometry onto vectors that sum to zero (a Householder reflection), so that normal stays normal."""
    size = theta.shape[0] + 1
    root = jnp.sqrt(jnp.asarray(size, theta.dtype))
    total = theta.sum()
    return jnp.append(theta - total / (root + size), -total / root)


@compiled
def _log_densities(worth: Float[Array, "draws items"], s: Stages) -> Float[Array, "draws rankings"]:
    return jax.lax.map(lambda v: log_probability(v[jnp.asarray(s.item)], s), worth, batch_size=16)
