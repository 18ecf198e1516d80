"""Ratings on steps as an order: what an item is worth, how generous a person is, and where one step ends."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..hierarchy import AbstractHierarchy, Tastes
from ..supply import AbstractSupply, Items
from ..world import Draws
from ._base import Sites
from ._ordered_identify import check
from ._steps import CutsFromShares, log_chance
from .data import RatingData
from .ordered_worlds import NewRaters, SameRaters


def _names(x: Any) -> tuple[str, ...]:
    return (x,) if isinstance(x, str) else tuple(x)


class OrderedRatings(AbstractHierarchy):
    r"""An ordered logit of ratings: steps say which way, not how far (McKelvey and Zavoina 1975; McCullagh 1980).

    Item j is worth :math:`u_{ij} + \varepsilon_{ij}` to person i, and the rating is the step that this falls on:

    .. math::
        u_{ij} = q_j + a_i + w_i \cdot x_j, \qquad
        P(k \mid u) = F(c_{k+1} - u) - F(c_k - u), \qquad F(z) = \frac{1}{1 + e^{-z}},

    with the worth q of an item, the generosity a of a person, their taste w for attributes x of items (if any), and cut
    points :math:`c_1 < c_2 < \dots` that all share. :math:`b_i = (a_i, w_i) \sim N(0, L L')`. What was not rated is simply
    not there, which is right where people did not choose what to rate by how they liked it.

    **Identification.** The error is standard logistic, which sets the unit, utils. Worths sum to zero and generosity has
    mean zero, which sets the origin of the cuts. Attributes are centred over the items; that all on average like an
    attribute is part of the worths, so tastes for it have mean zero. Nothing says what is worth nothing: only order and
    differences within a person mean anything. Where zero and distances on the scale are to be trusted, `NoisyRatings`
    takes them at their word.

    **Prior.** :math:`q \sim N(0, \text{prior\_scale}^2)` given that it sums to zero; cuts such that steps have shares
    Dirichlet(`evenness`) at :math:`u = 0` (Betancourt 2019); :math:`L = \text{diag}(\sigma)\, R`,
    :math:`\sigma \sim N^+(0, \text{spread\_scale}^2)`, per standard deviation of an attribute; R of an LKJ(2) correlation.

    Sites: `worth` [items], `cut` [steps − 1], `spread` [dims] (for attributes per standard deviation over items),
    `correlation` [dims, dims] (the Cholesky factor R; only with attributes and `correlated`), and `taste` [agents, dims],
    in utils, for attributes per unit of the data.

    Args:
        attributes: columns of the data's item attributes (`RatingData.described`) for which people's tastes differ.
        correlated: whether generosity and tastes may go together.
        prior_scale: standard deviation of worths, in utils. `spread_scale`: of how people differ, the same.
        evenness: concentration of the Dirichlet prior of each step's share, dimensionless.

    Raises:
        ValueError: a scale that is not positive, or an attribute named twice.

    Source: R. McKelvey and W. Zavoina, "A statistical model for the analysis of ordinal level dependent variables" (1975);
    P. McCullagh, "Regression models for ordinal data" (1980) [P]. People's own tastes as random effects, and worlds [X].

    Example:
        >>> data = RatingData([[5, 3, 1], [4, 4, 2], [5, np.nan, 3]], steps=range(1, 6), items=("a", "b", "c"))
        >>> model = OrderedRatings()
        >>> model.boundaries(data)
        ('1|2', '2|3', '3|4', '4|5')
        >>> sites = {"worth": np.array([[1.0, 0.0, -1.0]]), "cut": np.array([[-2.0, -1.0, 1.0, 2.0]])}
        >>> sites |= {"spread": np.ones((1, 1)), "taste": np.zeros((1, 3, 1))}
        >>> np.exp(np.asarray(model.log_densities(sites, data), float)).round(2)[0, :3].tolist()  # 5, 3, 1 by the first
        [0.27, 0.46, 0.27]
    """

    data_type: ClassVar[type] = RatingData
    observation: ClassVar[tuple[str, str]] = ("rating", "observation")

    attributes: tuple[str, ...] = eqx.field(static=True, converter=_names, default=())
    correlated: bool = eqx.field(static=True, default=True)
    prior_scale: float = eqx.field(static=True, converter=float, default=2.5)
    spread_scale: float = eqx.field(static=True, converter=float, default=1.5)
    evenness: float = eqx.field(static=True, converter=float, default=1.0)

    def __check_init__(self):
        for name in ("prior_scale", "spread_scale", "evenness"):
            value = getattr(self, name)
            require(np.isfinite(value) and value > 0, f"`{name}` must be positive, got {value}.")
        twice = [c for i, c in enumerate(self.attributes) if c in self.attributes[:i]]
        require(not twice, f"`attributes` names {twice[:1]} twice: keep one.")

    @property
    def terms(self) -> tuple[str, ...]:
        """What people differ in."""
        return ("generosity", *self.attributes)

    @property
    def _ties(self) -> bool:
        return self.correlated and bool(self.attributes)

    def boundaries(self, data: RatingData) -> tuple[str, ...]:
        """Names of the cuts: the steps on both sides."""
        steps = [f"{x:g}" for x in _require(data).steps]
        return tuple(f"{a}|{b}" for a, b in zip(steps, steps[1:], strict=False))

    def design(self, data: RatingData) -> Float[np.ndarray, "items dims"]:
        """What tastes multiply: 1, and the attributes less their means over the items."""
        absent = [c for c in self.attributes if c not in data.columns]
        require(
            not absent,
            f"{data.source} has no item attribute {absent[:1]}; it has {list(data.columns)}: add it with `described`.",
        )
        given = np.asarray(data.attributes)[:, [data.columns.index(c) for c in self.attributes]]
        return np.column_stack([np.ones(len(data.items)), given - given.mean(0)])

    def units(self, data: RatingData) -> Float[np.ndarray, " dims"]:
        """What `spread` is divided by to be in the units of `taste`: 1, and the attributes' standard deviations."""
        size = self.design(data)[:, 1:].std(0)
        return np.append(1.0, np.where(size > 0, size, 1.0))

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what only the prior decides; refuses ratings without steps, a single rater or item, dead attributes."""
        data = _require(data)
        return check(data, self.design(data), self.terms)

    def arguments(self, data: RatingData) -> tuple[np.ndarray, ...]:
        """By agent, padded to the most ratings one gave: step, item, and whether it is one; design, its units, steps."""
        _require(data)
        order = np.argsort(~data.rated, axis=1, kind="stable")[:, : max(1, int(data.rated.sum(1).max()))]
        rated = np.take_along_axis(data.rated, order, 1)
        step = np.zeros(data.rated.shape, int)
        step[data.rated] = data.step
        step = np.where(rated, np.take_along_axis(step, order, 1), 0)
        return step, order, rated, self.design(data), self.units(data), np.asarray(data.steps)

    def shared(
        self,
        step: Int[Array | np.ndarray, "agents most"],
        item: Int[Array | np.ndarray, "agents most"],
        rated: Bool[Array | np.ndarray, "agents most"],
        design: Float[Array | np.ndarray, "items dims"],
        units: Float[Array | np.ndarray, " dims"],
        steps: Float[Array | np.ndarray, " steps"],
    ) -> Tastes:
        del step, item, rated
        items, dims = design.shape
        worth = numpyro.sample("worth", dist.ZeroSumNormal(self.prior_scale, (items,)))
        cut = numpyro.sample("cut", CutsFromShares(jnp.full(steps.shape, self.evenness)))
        spread = numpyro.sample("spread", dist.HalfNormal(jnp.full(dims, self.spread_scale)).to_event(1))
        tie = numpyro.sample("correlation", dist.LKJCholesky(dims, 2.0)) if self._ties else jnp.eye(dims)
        root = _root(jnp.asarray(spread), jnp.asarray(tie), units)
        return Tastes(jnp.zeros((1, dims), root.dtype), root, (worth, cut))

    def person_log_likelihood(
        self, taste: Float[Array, "people dims"], fixed: Any, *args: Any
    ) -> Float[Array, " people"]:
        return jnp.where(args[2], _each(taste, *fixed, *args[:4]), 0.0).sum(1)

    def people(self, *args: Any) -> int:
        return args[0].shape[0]

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with ratings drawn anew, for one draw of the sites; for use inside compiled programs."""
        _, item, rated, design, units, steps = arguments
        taste, cut = sites["taste"], sites["cut"]
        u = sites["worth"][item] + (taste[:, None, :] * jnp.asarray(design, taste.dtype)[item]).sum(-1)
        step = jnp.searchsorted(cut, u + jax.random.logistic(key, u.shape, u.dtype))
        return jnp.where(rated, step, 0), item, rated, design, units, steps

    def start(self, data: RatingData) -> dict[str, np.ndarray]:
        """Of what all share: no worth, cuts by the shares of the steps, spreads of 1; in the unconstrained space."""
        counts = np.bincount(_require(data).step, minlength=len(data.steps)) + 0.5
        below = np.cumsum(counts)[:-1] / counts.sum()
        cut = np.log(below / (1 - below))
        dims = len(self.terms)
        found = {"worth": np.zeros(len(data.items) - 1), "cut": np.append(cut[:1], np.log(np.diff(cut)))}
        tie = {"correlation": np.zeros(dims * (dims - 1) // 2)} if self._ties else {}
        return found | {"spread": np.zeros(dims)} | tie

    def scalars(self, sites: Sites, data: RatingData) -> dict[str, Any]:
        """Worths by item, cuts by the steps they part, and how people differ, in the units of the data."""
        found = {f"worth[{name}]": sites["worth"][..., j] for j, name in enumerate(data.items)}
        found |= {f"cut[{name}]": sites["cut"][..., k] for k, name in enumerate(self.boundaries(data))}
        units = self.units(data)
        found |= {f"spread[{term}]": sites["spread"][..., k] / units[k] for k, term in enumerate(self.terms)}
        if self._ties:
            tie = sites["correlation"]
            for k, one in enumerate(self.terms):
                for j, other in enumerate(self.terms[:k]):
                    found[f"correlation[{other},{one}]"] = (tie[..., k, :] * tie[..., j, :]).sum(-1)
        return found

    def log_densities(self, sites: Sites, data: RatingData) -> Float[Array, "draws ratings"]:
        """Log-probability of each rating given the taste of who gave it."""
        args = self.arguments(data)
        keep = np.flatnonzero(args[2])
        each = _log_densities({name: sites[name] for name in ("taste", "worth", "cut")}, args[:4])
        return each.reshape(each.shape[0], -1)[:, keep]

    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        """Ratings that the same people might have given instead, in the order of `data.observed()`, one set a draw."""
        world = self.worlds(sites, data, same=True, error=False)
        errors = jax.random.split(key, world.num)
        step = _replicate(world, np.asarray(sites["cut"]), errors)[:, data.agent, data.item]
        return jnp.asarray(data.steps, jnp.result_type(float))[step]

    def worlds(
        self,
        sites: Sites,
        data: RatingData,
        *,
        agents: int | None = None,
        items: int | None = None,
        same: bool = False,
        error: bool = True,
        supply: AbstractSupply | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Draws:
        """Who comes to the items of the data, one world a draw; values in utils.

        Args:
            sites: draws of the posterior. `data`: what was fitted.
            agents: how many strangers come. `items`: must be None: new items have no worth yet.
            same: the people who rated come instead, with errors drawn given their ratings.
            error: whether values hold the error, as what a person thinks of an item; without it they are what is typical.
            supply: what there is to share; None is `Items()`, which keeps what nobody values above 0.
            key: not used: the worlds draw.

        Raises:
            ValueError: neither or both of `agents` and `same`, or `items`.
        """
        del key
        supply = Items() if supply is None else supply
        require(
            (agents is None) == same,
            "say either `agents=`, how many strangers come, or `same=True` for the agents who gave the ratings.",
        )
        require(items is None, "`items` must be left out: worths are known of the items in the data only.")
        worth, design = np.asarray(sites["worth"]), self.design(data)
        if same:
            step = np.full(data.ratings.shape, -1)
            step[data.rated] = data.step
            taste, cut = np.asarray(sites["taste"]), np.asarray(sites["cut"])
            world = SameRaters(worth, cut, taste, design, step, error, supply)
            return Draws.of(world, lambda w: [w.worth, w.cut, w.taste])
        spread = np.asarray(sites["spread"])
        tie = np.asarray(sites["correlation"]) if self._ties else np.eye(len(self.terms), dtype=spread.dtype)
        root = (spread / self.units(data).astype(spread.dtype))[..., None] * tie
        new = NewRaters(worth, root, design, int(agents or 0), error, supply)
        return Draws.of(new, lambda w: [w.worth, w.root])

    def coords(self, data: RatingData) -> dict[str, list]:
        """Items, cuts, what people differ in, and who they are."""
        terms = list(self.terms)
        named = {"item": list(data.items), "boundary": list(self.boundaries(data)), "agent": list(data.agents)}
        return named | {"term": terms, "other_term": terms}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ (which forbids a dimension named as its variable)."""
        people = {name: ["agent", "term"] for name in ("taste", "raw")}
        return {
            "worth": ["item"],
            "cut": ["boundary"],
            "spread": ["term"],
            "correlation": ["term", "other_term"],
        } | people

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        plain = ("correlated", "prior_scale", "spread_scale", "evenness")
        fields = {name: getattr(self, name) for name in plain}
        return {"model": "OrderedRatings", "attributes": list(self.attributes), **fields}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "OrderedRatings":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def _require(data: Any) -> RatingData:
    require(isinstance(data, RatingData), f"`data` must be `RatingData`; got {type(data).__name__}.")
    require(
        data.steps is not None,
        f"{data.source} has no `steps`: say which ratings one can give, such as `steps=range(1, 6)`; where any number will "
        "do, fit `CommonLaw` or `NoisyRatings`.",
    )
    return data


def _root(spread: Array, tie: Array, units: Any) -> Float[Array, "dims dims"]:
    return (spread / jnp.asarray(units, spread.dtype))[:, None] * tie.astype(spread.dtype)


def _each(taste: Array, worth: Array, cut: Array, step: Any, item: Any, rated: Any, design: Any) -> Array:
    """Log-probability of each rating, `[people, most]`; meaningless where `rated` is False."""
    del rated
    x = jnp.asarray(design, taste.dtype)[item]
    u = worth[item] + (taste[:, None, :] * x).sum(-1)
    return log_chance(jnp.asarray(step), u, cut)


@compiled
def _log_densities(sites: Any, args: Any) -> Float[Array, "draws people most"]:
    return jax.lax.map(lambda s: _each(s["taste"], s["worth"], s["cut"], *args), sites)


@compiled
def _replicate(worlds: Draws, cuts: Any, keys: Any) -> Int[Array, "draws people items"]:
    def one(given):
        i, cut, key = given
        u = worlds.one(i).population(key).values
        y = u + jax.random.logistic(key, u.shape, u.dtype)
        return (y[..., None] > jnp.broadcast_to(cut.astype(u.dtype), (*u.shape, cut.size))).sum(-1)

    return jax.lax.map(one, (jnp.arange(worlds.num), cuts, keys))
