"""The mixed rank-ordered logit: rankings by people who have coefficients of their own."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..choice._bayes import NUMERAIRE_MEDIAN, NUMERAIRE_SPREAD
from ..hierarchy import AbstractHierarchy, Tastes, check_scales, sample_tastes, start_of_tastes, taste_scalars
from ..weights import counted
from ..world import AbstractWorld
from ._build import build_world
from ._replicate import replicate
from ._stages import Stages, drawn_order, log_probability
from .data import RankingData
from .rank_ordered import RankOrderedLogit, _names, _placed
from .reports import AbstractReports

Sites = Mapping[str, Any]


class Lists(NamedTuple):
    """What the likelihood is a function of.

    Attributes:
        item, there, alone, tied, under: as in `Stages`.
        design: `[places, rankings, coefficients]`, in standard units.
        person: `[rankings]`, whose list. `people`: `[people]` zeros, there for its length.
        price: `[common]`, 1 for the numeraire, else 0.
        place: `[coefficients]`, where each coefficient stands among the random and then the common ones.
    """

    item: Any
    there: Any
    alone: Any
    tied: Any
    under: Any
    design: Any
    person: Any
    people: Any
    price: Any
    place: Any


class MixedRankOrderedLogit(AbstractHierarchy):
    r"""Rankings by people whose coefficients differ: person i makes all their lists with the same ones.

    .. math::
        u_{itj} = x_{itj}\cdot\beta_i + \varepsilon_{itj}, \qquad
        s_k \beta_{ik} = b_{ik}, \quad b_i = m + L z_i, \quad z_i \sim N(0, I), \quad L = \text{diag}(\sigma)\,\text{chol}(R),

    :math:`\varepsilon` standard Gumbel, :math:`s_k` the scale of the column (see `RankOrderedLogit`). A full ranking of many
    items says as much of a person as several choices, so one list each can be enough.

    **Priors**, in standard units: :math:`m_k \sim N(0, \text{prior\_scale}^2)`, :math:`\sigma_k \sim
    N^+(0, \text{spread\_scale}^2)`, and :math:`R \sim \text{LKJ}(2)` where tastes are correlated.

    **Weights** are 0 or 1, as w people have w tastes: `RankingData.expanded` makes people out of others (`models.weights`).

    Sites: `mean` (m), `spread` (σ), `correlation` (lower Cholesky factor of R), `beta` (standardised coefficients that are
    the same for all; for the numeraire the logarithm of its negative), and `taste` (b, `[people, dims]`).

    Args:
        logit: what utilities are made of: attributes, constants, the numeraire, `prior_scale` and `reports`.
        random: names of the coefficients that differ between people; None is all of them but the numeraire.
        correlated: whether tastes are correlated.
        spread_scale: of the prior of σ, in standard units.

    Raises:
        ValueError: names that are not coefficients, a numeraire that is random, a flat prior, a scale that is not positive.

    Source: K. Train (2009), *Discrete choice methods with simulation*, chapters 6 and 7.3 (rankings).

    Example:
        >>> import fairhand as fh
        >>> rng = np.random.default_rng(0)
        >>> x, beta = rng.normal(size=(40, 6, 1)), rng.normal(1.0, 1.0, (40, 1))
        >>> order = np.argsort(-(x[..., 0] * beta + rng.gumbel(size=(40, 6))), 1)
        >>> data = RankingData(order, "abcdef", np.ones((40, 6)), attributes=x, columns=("size",))
        >>> posterior = fh.fit(MixedRankOrderedLogit(RankOrderedLogit("size")), data, method="map", draws=50)
        >>> posterior.mean["mean[size]"] > 0, posterior.sites["taste"].shape
        (True, (200, 40, 1))
    """

    data_type: ClassVar[type] = RankingData
    observation: ClassVar[tuple[str, str]] = ("order", "ranking")

    logit: RankOrderedLogit = eqx.field(static=True)
    random: tuple[str, ...] | None = eqx.field(
        static=True, converter=lambda x: None if x is None else _names(x), default=None
    )
    correlated: bool = eqx.field(static=True, default=False)
    spread_scale: float = eqx.field(static=True, converter=float, default=1.0)

    def __check_init__(self):
        require(
            isinstance(self.logit, RankOrderedLogit),
            f"`logit` must be a `RankOrderedLogit`, which says what utilities are made of; got {self.logit!r}.",
        )
        check_scales(self.logit.prior_scale, self.spread_scale)
        require(
            self.random is None or self.logit.numeraire not in self.random,
            f"`random` names the numeraire {self.logit.numeraire!r}, which all must share here: leave it out.",
        )

    @property
    def reports(self) -> AbstractReports:
        """What the lists are assumed to say."""
        return self.logit.reports

    def assuming(self, reports: AbstractReports) -> "MixedRankOrderedLogit":
        """The same model under another assumption on reports."""
        return dataclasses.replace(self, logit=self.logit.assuming(reports))

    def split(self, items: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the coefficients that differ between people, and of those that all share."""
        names = self.logit.names(items)
        unknown = [n for n in self.random or () if n not in names]
        require(not unknown, f"`random` names {unknown}, but the coefficients are {list(names)}.")
        random = tuple(n for n in names if (n != self.logit.numeraire if self.random is None else n in self.random))
        require(random, "`random` is empty: fit the `RankOrderedLogit` itself, or name what differs between people.")
        return random, tuple(n for n in names if n not in random)

    def _price(self, common: Sequence[str]) -> Float[np.ndarray, " common"]:
        return np.array([float(n == self.logit.numeraire) for n in common])

    def arguments(self, data: RankingData) -> Lists:
        """What the three parts of the model take; see `Lists`."""
        random, common = self.split(data.items)
        levels = self.reports.levels(data)
        used = np.flatnonzero(counted(data) & (levels.max(1) > 0))
        design = self.logit.design(data) / self.logit.scale(data)
        placed = _placed(levels[used], design if len(design) == 1 else design[used])
        place = np.array([(*random, *common).index(n) for n in self.logit.names(data.items)])
        own = (data.person[used], np.zeros(len(data.people)), self._price(common), place)
        return Lists._make((*placed, *own))

    def people(self, *args: Any) -> int:
        return Lists(*args).people.shape[0]

    def _prior(self, price: Any) -> tuple[Any, Any]:
        size: Any = self.logit.prior_scale
        plain = jnp.asarray(price) == 0
        return jnp.where(plain, 0.0, jnp.log(NUMERAIRE_MEDIAN * size)), jnp.where(plain, size, NUMERAIRE_SPREAD)

    def shared(self, *args: Any) -> Tastes:
        lists = Lists(*args)
        random = lists.design.shape[-1] - lists.price.shape[0]
        mean, root = sample_tastes(*self._prior(jnp.zeros(random)), self.spread_scale, self.correlated)
        fixed: Any = ()
        if lists.price.shape[0]:
            fixed = jnp.asarray(numpyro.sample("beta", dist.Normal(*self._prior(lists.price)).to_event(1)))
        return Tastes(mean[None], root, fixed)

    def standardised(self, taste: Float[Array, "*batch dims"], fixed: Any, price: Any, place: Any) -> Array:
        """Coefficients in standard units, `[*batch, coefficients]`, out of tastes."""
        found = taste
        if np.shape(price)[0]:
            fixed = jnp.asarray(fixed)
            common = jnp.where(jnp.asarray(price) > 0, -jnp.exp(jnp.where(jnp.asarray(price) > 0, fixed, 0.0)), fixed)
            found = jnp.concatenate([taste, jnp.broadcast_to(common, (*taste.shape[:-1], common.shape[-1]))], -1)
        return found[..., jnp.asarray(place)]

    def person_log_likelihood(
        self, taste: Float[Array, "people dims"], fixed: Any, *args: Any
    ) -> Float[Array, " people"]:
        lists = Lists(*args)
        each = _each(self.standardised(taste, fixed, lists.price, lists.place), lists)
        return jax.ops.segment_sum(each, jnp.asarray(lists.person), taste.shape[0])

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with orders drawn anew, for one draw of the sites; how many of them are told stays as it is."""
        lists = Lists(*arguments)
        beta = self.standardised(sites["taste"], sites.get("beta", ()), lists.price, lists.place)
        design = jnp.asarray(lists.design, beta.dtype)
        worth = jnp.einsum("prk,rk->pr", design, beta[jnp.asarray(lists.person)], precision=jax.lax.Precision.HIGHEST)
        order = drawn_order(worth, lists.there, key=key)
        item = jnp.take_along_axis(jnp.asarray(lists.item), order, 0)
        return lists._replace(item=item, design=jnp.take_along_axis(design, order[..., None], 0))

    def start(self, data: RankingData) -> dict[str, np.ndarray]:
        """No tastes, and people who differ by half a standard unit: in the unconstrained space, what all share."""
        random, common = self.split(data.items)
        found = start_of_tastes(np.zeros(len(random)), self.correlated)
        return found | ({"beta": np.asarray(self._prior(self._price(common))[0], float)} if common else {})

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes of the rank-ordered logit, and on what lists can tell of differences between people; refuses what they cannot."""
        notes = list(self.logit.identify(data))
        self.split(data.items)
        levels = self.reports.levels(data)
        stages = np.maximum(levels.max(1), 0) * counted(data)
        each = np.bincount(data.person, stages, len(data.people))
        require(
            each.max() > 1,
            f"{data.source}: nobody's lists have more than one stage, so how people differ cannot be told from the errors of "
            "one choice: give longer or more lists a person, or fit the `RankOrderedLogit`.",
        )
        once = int((each == 1).sum())
        if once:
            notes.append(f"{once} of {len(each)} people chose once: what differs between people rests on the others.")
        return tuple(notes)

    def units(self, data: RankingData, names: Sequence[str]) -> Float[np.ndarray, " names"]:
        """What a coefficient in standard units is multiplied by to stand in the units of the data."""
        every = self.logit.names(data.items)
        return 1 / self.logit.scale(data)[[every.index(n) for n in names]]

    def scalars(self, sites: Sites, data: RankingData) -> dict[str, Any]:
        """Means, spreads and correlations of tastes and the coefficients all share, in the units of the data."""
        random, common = self.split(data.items)
        found = taste_scalars(sites, random, self.units(data, random))
        for k, (n, price, u) in enumerate(zip(common, self._price(common), self.units(data, common), strict=True)):
            x = sites["beta"][..., k]
            found[n] = (-np.exp(x) if price else x) * u
        return found

    def coefficients(self, sites: Sites, data: RankingData) -> Float[Array, "draws people coefficients"]:
        """Everybody's own coefficients, in the units of the data, in the order of `logit.names`."""
        lists = self.arguments(data)
        beta = self._assembled(jnp.asarray(sites["taste"]), sites, lists)
        return beta * jnp.asarray(self.units(data, self.logit.names(data.items)), beta.dtype)

    def _assembled(self, taste: Array, sites: Sites, lists: Lists) -> Array:
        """Standardised coefficients of tastes `[draws, ..., dims]`."""
        fixed = jnp.asarray(sites["beta"]) if "beta" in sites else jnp.zeros((taste.shape[0], 0), taste.dtype)
        return jax.vmap(lambda b, c: self.standardised(b, c, lists.price, lists.place))(taste, fixed)

    def log_densities(self, sites: Sites, data: RankingData) -> Float[Array, "draws rankings"]:
        """Log-probability of each ranking, given the tastes of whose it is."""
        every = Lists(*self.arguments(data))
        design = self.logit.design(data) / self.logit.scale(data)
        placed = _placed(self.reports.levels(data), design)
        lists = every._replace(**dict(zip(Lists._fields[:6], placed, strict=True)), person=data.person)
        return _log_densities(self._assembled(jnp.asarray(sites["taste"]), sites, every), lists)

    def replicate(self, sites: Sites, data: RankingData, *, key: PRNGKeyArray) -> Int[Array, "draws rankings places"]:
        """Lists that the same people might have given instead, one set a draw; see `RankingData.order`."""
        own = self.coefficients(sites, data)[:, data.person]
        design = jnp.asarray(np.broadcast_to(self.logit.design(data), (*data.menu.shape, own.shape[-1])), own.dtype)
        worth = jnp.einsum("rik,drk->dri", design, own, precision=jax.lax.Precision.HIGHEST)
        return replicate(worth, data, self.reports, key=key)

    def coords(self, data: RankingData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        random, common = self.split(data.items)
        people = np.asarray(data.people).astype(str).tolist()
        names = {"term": list(random), "other_term": list(random), "common_term": list(common)}
        return {**names, "taste_term": list(random), "person": people, "ranking": data.labels.tolist()}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {
            "mean": ["term"],
            "spread": ["term"],
            "correlation": ["term", "other_term"],
            "beta": ["common_term"],
            "taste": ["person", "taste_term"],
        }

    def worlds(self, sites: Sites, data: RankingData, **where: Any) -> AbstractWorld:
        """Who comes: `new=` strangers with tastes of their own, or the `same` people with theirs; see `build_world`."""
        lists = self.arguments(data)
        units = self.units(data, self.logit.names(data.items))
        mean, spread = jnp.asarray(sites["mean"]), jnp.asarray(sites["spread"])
        units = jnp.asarray(units, mean.dtype)
        centre = self._assembled(mean, sites, lists) * units
        lower = (
            jnp.asarray(sites["correlation"]) if "correlation" in sites else jnp.eye(mean.shape[-1], dtype=mean.dtype)
        )
        root = spread[..., :, None] * lower
        root = jnp.pad(root, ((0, 0), (0, lists.price.shape[0]), (0, 0)))[:, lists.place] * units[:, None]
        return build_world(
            data, self.reports, centre, self.coefficients(sites, data), root, self.logit.design(data),
            numeraire=self.logit.numeraire_index, unit=self.logit.unit or self.logit.numeraire or "utils", **where,
        )  # fmt: skip

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        return {
            "model": "MixedRankOrderedLogit",
            "logit": self.logit.to_spec(),
            "random": None if self.random is None else list(self.random),
            "correlated": self.correlated,
            "spread_scale": self.spread_scale,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "MixedRankOrderedLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = fields_of(spec, cls)
        return cls(**{**fields, "logit": RankOrderedLogit.from_spec(fields["logit"])})


def _each(beta: Float[Array, "people coefficients"], lists: Lists) -> Float[Array, " rankings"]:
    """Log-probability of each ranking, by the coefficients of whose it is."""
    design = jnp.asarray(lists.design, beta.dtype)
    own = beta[jnp.asarray(lists.person)]
    worth = jnp.einsum("prk,rk->pr", design, own, precision=jax.lax.Precision.HIGHEST)
    return log_probability(worth, Stages(lists.item, lists.there, lists.alone, lists.tied, lists.under))


@compiled
def _log_densities(beta: Float[Array, "draws people coefficients"], lists: Lists) -> Float[Array, "draws rankings"]:
    return jax.lax.map(lambda b: _each(b, lists), beta)
