"""The rank-ordered logit: items are worth a weighted sum of what they are like, and rankings follow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..choice._bayes import sample_coefficient
from ..choice._utility import column_scale, utility, weighted_sum
from ..world import AbstractWorld
from ._base import as_scale, check_scale
from ._build import build_world
from ._replicate import replicate
from ._stages import Stages, drawn_order, log_probability, stages
from .data import RankingData
from .reports import UNSAID, AbstractReports, as_reports


def _names(x: str | Sequence[str]) -> tuple[str, ...]:
    return (x,) if isinstance(x, str) else tuple(x)


class RankOrderedLogit(eqx.Module):
    r"""The conditional logit of rankings, "exploded" into a choice from what is left at each place.

    .. math::
        u_{ij} = x_{ij}\cdot\beta + \varepsilon_{ij}, \qquad
        P(j_1 \succ j_2 \succ \dots) = \prod_k \frac{e^{x_{ij_k}\cdot\beta}}{\sum_{l \ge k} e^{x_{ij_l}\cdot\beta}},

    errors independent standard Gumbel. Top-k rankings and ties are as in `PlackettLuce`, which is this model with constants
    alone. Coefficients are those of `attributes`, then "constant:item" for each item but the base.

    **Prior.** As in `choice.ConditionalLogit`: :math:`s_k\beta_k \sim N(0, \text{prior\_scale}^2)`, :math:`s_k` the root mean
    square deviation of the column from its mean over the menu, and a log-normal prior for minus the numeraire's coefficient.
    The scale is that of the menus, so it is the same whatever is assumed of reports.

    Sites: `beta` (standardised, without the numeraire), `numeraire` and `coefficient`, `[coefficients]`, in the units of the
    data.

    Args:
        attributes: columns of the data with a coefficient.
        constants: whether each item but `base` has a constant.
        base: item without a constant; None is the last one of the data.
        numeraire: one of `attributes`, a cost. Its coefficient is negative, and worlds are measured in it.
        unit: unit of the worlds' values; None is the name of the numeraire, or "utils" without one.
        prior_scale: see above; None or inf is flat.
        reports: what the lists are assumed to say: `Truthful(rule)`, `Undominated()` or `Stable()`. Every result prints it.

    Raises:
        ValueError: a name twice, no coefficient at all, a numeraire that is no attribute, a scale that is not positive.

    Source: S. Beggs, S. Cardell and J. Hausman (1981), "Assessing the potential demand for electric cars", J. Econometrics
    17; R. Chapman and R. Staelin (1982), "Exploiting rank ordered choice set data within the stochastic utility model", JMR 19.

    Example:
        >>> import fairhand as fh
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 4, 1))
        >>> order = np.argsort(-(x[..., 0] + rng.gumbel(size=(60, 4))), 1)
        >>> data = RankingData(order, "abcd", np.ones((60, 4)), attributes=x, columns=("size",))
        >>> posterior = fh.fit(RankOrderedLogit("size"), data, method="map", draws=50)
        >>> bool(abs(posterior.mean["size"] - 1) < 0.4)
        True
    """

    data_type: ClassVar[type] = RankingData
    observation: ClassVar[tuple[str, str]] = ("order", "ranking")

    attributes: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    constants: bool = eqx.field(static=True, default=False)
    base: str | None = eqx.field(static=True, default=None)
    numeraire: str | None = eqx.field(static=True, default=None)
    unit: str | None = eqx.field(static=True, default=None)
    prior_scale: float | None = eqx.field(static=True, converter=as_scale, default=2.5)
    reports: AbstractReports = eqx.field(static=True, converter=as_reports, default=UNSAID)

    def __check_init__(self):
        twice = [n for i, n in enumerate(self.attributes) if n in self.attributes[:i]]
        require(not twice, f"`attributes` names {twice[:1]} twice: keep one.")
        require(
            self.attributes or self.constants,
            "the model has no coefficient: name `attributes` or set `constants=True`.",
        )
        require(
            self.numeraire is None or self.numeraire in self.attributes,
            f"`numeraire` must be one of `attributes` {self.attributes}, got {self.numeraire!r}.",
        )
        check_scale("prior_scale", self.prior_scale)

    def names(self, items: Sequence[str]) -> tuple[str, ...]:
        """Names of the coefficients, in order; refuses a base that the data lack."""
        items = tuple(items)
        require(
            self.base is None or self.base in items,
            f"`base` must be one of the items {list(items)}, got {self.base!r}.",
        )
        base = items[-1] if self.base is None else self.base
        return (*self.attributes, *(f"constant:{a}" for a in items if self.constants and a != base))

    @property
    def numeraire_index(self) -> int | None:
        """Place of the numeraire among the coefficients."""
        return None if self.numeraire is None else self.attributes.index(self.numeraire)

    def design(self, data: RankingData) -> Float[np.ndarray, "_ items coefficients"]:
        """What each coefficient multiplies, in the units of the data; one row where it is the same for all rankings."""
        rankings = 1 if data.attributes.ndim == 2 else data.num_rankings
        names, items = self.names(data.items), data.items
        only = dict(zip(items, np.eye(len(items)), strict=True))
        columns = [
            *(data.column(k)[:rankings] for k in self.attributes),
            *(
                np.broadcast_to(only[n.removeprefix("constant:")], (rankings, len(items)))
                for n in names[len(self.attributes) :]
            ),
        ]
        return np.nan_to_num(np.stack(columns, -1)) if columns else np.zeros((rankings, len(items), 0))

    def scale(self, data: RankingData) -> Float[np.ndarray, " coefficients"]:
        """The columns' scale, over menus."""
        design = np.broadcast_to(self.design(data), (*data.menu.shape, len(self.names(data.items))))
        return np.asarray(column_scale(np.where(data.menu[..., None], design, 0.0), data.menu))

    def identify(self, data: Any) -> tuple[str, ...]:
        """The assumption on reports, and what rankings can tell of the coefficients; refuses what they cannot."""
        from .identification import examine

        return examine(self, data)

    def arguments(self, data: RankingData) -> tuple[Any, ...]:
        """Stages, what each item in them is like, how often the ranking was given, and the columns' scale."""
        levels, design = self.reports.levels(data), self.design(data)
        used = np.flatnonzero((data.weight > 0) & (levels.max(1) > 0))
        levels, weight = levels[used], data.weight[used]
        if len(design) == 1:
            levels, which = np.unique(levels, axis=0, return_inverse=True)
            weight = np.bincount(which.ravel(), weight, len(levels))
        return *_placed(levels, design if len(design) == 1 else design[used]), weight, self.scale(data)

    def simulation_arguments(self, data: RankingData) -> tuple[Any, ...]:
        """`arguments` with a row for each ranking given, equal ones too."""
        scale, data = self.scale(data), data.changed(person=None, people=None).expanded()
        levels = self.reports.levels(data)
        return *_placed(levels, self.design(data)), np.ones(len(levels)), scale

    def simulate(self, sites: Mapping[str, Any], arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with orders drawn anew, for one draw of the sites; how many of them are told stays as it is."""
        item, there, alone, tied, under, design, *rest = arguments
        order = drawn_order(_worth(design, sites["coefficient"]), there, key=key)
        item = jnp.take_along_axis(jnp.asarray(item), order, 0)
        return item, there, alone, tied, under, jnp.take_along_axis(jnp.asarray(design), order[..., None], 0), *rest

    def start(self, data: RankingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space, for each site that is sampled."""
        free = len(self.names(data.items)) - (self.numeraire is not None)
        found = {"beta": np.zeros(free)} if free else {}
        return found | ({} if self.numeraire is None else {"numeraire": np.zeros(())})

    def numpyro_model(
        self,
        item: Int[Array | np.ndarray, "places rankings"],
        there: Bool[Array | np.ndarray, "places rankings"],
        alone: Bool[Array | np.ndarray, "places rankings"],
        tied: Int[Array | np.ndarray, "groups members"],
        under: Int[Array | np.ndarray, " groups"],
        design: Float[Array | np.ndarray, "places rankings coefficients"],
        weight: Float[Array | np.ndarray, " rankings"],
        scale: Float[Array | np.ndarray, " coefficients"],
    ) -> None:
        """The model for NumPyro; the log-probability of the rankings is the factor `rankings`."""
        coefficient = sample_coefficient(jnp.asarray(scale), self.prior_scale, self.numeraire_index)
        each = log_probability(_worth(design, coefficient), Stages(item, there, alone, tied, under))
        numpyro.factor("rankings", weighted_sum(each, weight))

    def scalars(self, sites: Mapping[str, Any], data: RankingData) -> dict[str, Any]:
        """The coefficients by name."""
        return {name: sites["coefficient"][..., i] for i, name in enumerate(self.names(data.items))}

    def log_densities(self, sites: Mapping[str, Any], data: RankingData) -> Float[Array, "draws rankings"]:
        """Log-probability of each ranking, unweighted."""
        return _log_densities(
            jnp.asarray(sites["coefficient"]), *_split(_placed(self.reports.levels(data), self.design(data)))
        )

    def replicate(
        self, sites: Mapping[str, Any], data: RankingData, *, key: PRNGKeyArray
    ) -> Int[Array, "draws rankings places"]:
        """Lists that the same people might have given instead, one set a draw; see `RankingData.order`."""
        return replicate(utility(jnp.asarray(sites["coefficient"]), self.design(data)), data, self.reports, key=key)

    def coords(self, data: RankingData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        names = list(self.names(data.items))
        return {
            "term": names,
            "free_term": [n for n in names if n != self.numeraire],
            "ranking": data.labels.tolist(),
        }

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {"coefficient": ["term"], "beta": ["free_term"]}

    def worlds(self, sites: Mapping[str, Any], data: RankingData, **where: Any) -> AbstractWorld:
        """Who comes; `supply=`, `new=` or `same=`, `outside=`, `kind=`, see `build_world`."""
        beta = jnp.asarray(sites["coefficient"])
        unit = self.unit or self.numeraire or "utils"
        return build_world(
            data, self.reports, beta, beta[..., None, :], None, self.design(data),
            numeraire=self.numeraire_index, unit=unit, **where,
        )  # fmt: skip

    def assuming(self, reports: AbstractReports) -> "RankOrderedLogit":
        """The same model under another assumption on reports."""
        return dataclasses.replace(self, reports=reports)

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed = {"attributes": list(self.attributes), "reports": self.reports.to_spec()}
        return {"model": "RankOrderedLogit", **plain, **changed}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "RankOrderedLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def _placed(levels: np.ndarray, design: np.ndarray) -> tuple[Any, ...]:
    """Stages, and the design of the item at each place."""
    s = stages(levels)
    row = np.arange(len(levels)) if len(design) > 1 else np.zeros(len(levels), int)
    return *s, np.where(s.there[..., None], design[row, s.item], 0.0)


def _split(placed: tuple[Any, ...]) -> tuple[Stages, Any]:
    return Stages(*placed[:5]), placed[5]


def _worth(design: Any, coefficient: Float[Array, " coefficients"]) -> Float[Array, "places rankings"]:
    design = jnp.asarray(design, coefficient.dtype)
    return jnp.einsum("prk,k->pr", design, coefficient, precision=jax.lax.Precision.HIGHEST)


@compiled
def _log_densities(
    coefficient: Float[Array, "draws coefficients"], s: Stages, design: Any
) -> Float[Array, "draws rankings"]:
    return jax.lax.map(lambda b: log_probability(_worth(design, b), s), coefficient, batch_size=16)
