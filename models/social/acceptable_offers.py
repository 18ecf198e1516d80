"""Aversion to being behind, from the least offer that people accept."""

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

from .._check import require
from .._compiled import compiled
from ..population import Population
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from .offers import OfferData
from .preferences import known_fields, pair
from .worlds import averse, values_world

Sites = Mapping[str, Any]


class AcceptableOffers(eqx.Module):
    r"""Minimum acceptable offers as intervals of α, over which people are log-normal from −½ up.

    A share s < ½ of a pie of 1 is accepted iff :math:`s - \alpha(1-2s) \ge 0`, so the least one accepted is
    :math:`s' = \alpha/(1+2\alpha)`, and :math:`-\log(1-2s') = \log(1+2\alpha)`. Of a person who refuses the offer s and
    accepts the next one t it is known that

    .. math::
        -\log(1-2s) < y_i \le -\log(1-2t), \qquad y_i = \log(1 + 2\alpha_i) \sim N(m, \sigma^2) .

    Who accepts the least offer is censored from below, who refuses all below half from above: never α = 4, nor inf. α has
    a heavy right tail, may be negative, and is above −½, below which nothing would be refused either.

    **Priors**: m normal, σ half-normal. Sites: `location` (m), `spread` (σ). Reported too is `median_alpha`,
    :math:`(e^m - 1)/2`. The law of y is [X]; the interval is Fehr and Schmidt's.

    Args:
        location: mean and standard deviation of the prior of m.
        spread: scale of the prior of σ.

    Raises:
        ValueError: a prior that is none.

    Source: E. Fehr and K. Schmidt (1999), proposition 1, solved for α.

    Example:
        >>> import fairhand as fh
        >>> alpha = (np.exp(np.random.default_rng(0).normal(0.8, 0.5, 200)) - 1) / 2
        >>> offers = np.arange(0, 0.51, 0.05)
        >>> data = OfferData(offers, np.searchsorted(offers, alpha / (1 + 2 * alpha)))
        >>> posterior = fh.fit(AcceptableOffers(), data, method="map", draws=50)
        >>> abs(posterior.mean["location"] - 0.8) < 0.15
        True
    """

    data_type: ClassVar[type] = OfferData
    observation: ClassVar[tuple[str, str]] = ("accepts", "person")

    location: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.6, 0.6))
    spread: float = eqx.field(static=True, converter=float, default=0.7)

    def __check_init__(self):
        law = self.location
        require(
            isinstance(law, tuple) and len(law) == 2 and all(map(math.isfinite, law)) and law[1] > 0,
            f"`location` must be the mean and the positive standard deviation of a normal prior; got {law!r}.",
        )
        require(0 < self.spread < math.inf, f"`spread` must be positive, got {self.spread}.")

    def arguments(self, data: OfferData) -> tuple[Any, ...]:
        """What `numpyro_model` takes: the inner `edges` of the intervals, and which of them each person is in."""
        return data.edges[1:-1], np.minimum(data.accepts, len(data.edges) - 2)

    def numpyro_model(self, edges: Any, accepts: Any) -> None:
        """Everybody's α integrated out, which is a difference of two normal distribution functions."""
        m = jnp.asarray(numpyro.sample("location", dist.Normal(*self.location)))
        s = jnp.asarray(numpyro.sample("spread", dist.HalfNormal(self.spread)))
        numpyro.factor("people", _log_chances(m, s, edges, accepts).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with answers drawn anew, for one draw of the sites; for use inside compiled programs."""
        edges, accepts = arguments
        y = sites["location"] + sites["spread"] * jax.random.normal(key, accepts.shape, edges.dtype)
        return edges, jnp.searchsorted(edges, y).astype(accepts.dtype)

    def start(self, data: OfferData) -> dict[str, np.ndarray]:
        """Where the search for the mode begins, in the unconstrained space."""
        del data
        return {"location": np.array(self.location[0]), "spread": np.array(np.log(0.5))}

    def identify(self, data: OfferData) -> tuple[str, ...]:
        """Notes on who is censored; refuses data in which everybody is, or all gave one answer."""
        last = len(data.edges) - 2
        answer = np.minimum(data.accepts, last)
        for which, what in ((0, "accepts the least offer"), (last, "refuses every offer below half")):
            require(
                not (answer == which).all(),
                f"{data.source}: everybody {what}, so α has one end only: offer other shares, between 0 and half.",
            )
        require(
            len(np.unique(answer)) > 1,
            f"{data.source}: everybody gave the same answer, so how people differ cannot be told: offer more shares.",
        )
        notes = []
        half, beyond = int(data.at_half.sum()), int((data.accepts > np.searchsorted(data.offers, 0.5)).sum())
        if half:
            more = f"; {beyond} of them refuse half itself, which no aversion explains" if beyond else ""
            notes.append(
                f"{half} of {len(answer)} people refuse every offer below half{more}: their α is above "
                f"{np.expm1(data.edges[-2]) / 2:.3g} and has no upper end."
            )
        most = int((answer == 0).sum())
        if most:
            notes.append(
                f"{most} of {len(answer)} people accept the least offer: their α is below {np.expm1(data.edges[1]) / 2:.3g} and "
                "may be negative."
            )
        if len(np.unique(answer)) == 2:
            notes.append(
                "There are only two answers: how people differ is hardly told; read `spread` beside its prior."
            )
        return tuple(notes)

    def scalars(self, sites: Sites, data: OfferData) -> dict[str, Any]:
        """`location`, `spread` and `median_alpha`."""
        del data
        return {
            "location": sites["location"],
            "spread": sites["spread"],
            "median_alpha": np.expm1(sites["location"]) / 2,
        }

    def log_densities(self, sites: Sites, data: OfferData) -> Float[Array, "draws people"]:
        """Log-probability of each answer."""
        edges, accepts = self.arguments(data)
        return _by_draw(np.asarray(sites["location"]), np.asarray(sites["spread"]), edges, accepts)

    def replicate(self, sites: Sites, data: OfferData, *, key: PRNGKeyArray) -> Any:
        """Answers that such people might have given instead, one set a draw."""
        edges, accepts = self.arguments(data)
        m, s = (jnp.asarray(sites[name])[:, None] for name in ("location", "spread"))
        z = jax.random.normal(key, (m.shape[0], len(accepts)), m.dtype)
        return jnp.searchsorted(jnp.asarray(edges, m.dtype), m + s * z)

    def alphas(self, sites: Sites, data: OfferData, *, key: PRNGKeyArray) -> Float[Array, "draws people"]:
        """One draw of everybody's α for each draw of the sites, given their answer."""
        low, high = _ends(*map(jnp.asarray, self.arguments(data)))
        m, s = (jnp.asarray(sites[name]) for name in ("location", "spread"))
        one = lambda m, s, key: _alpha(m, s, low.astype(m.dtype), high.astype(m.dtype), key)
        return jax.vmap(one)(m, s, jax.random.split(key, m.shape[0]))

    def coords(self, data: OfferData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        return {"person": np.asarray(data.people).astype(str).tolist()}

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return {"accepts": ["person"]}

    def worlds(
        self,
        sites: Sites,
        data: OfferData,
        *,
        values: Any = None,
        beta: Any = None,
        new: int | None = None,
        same: bool = False,
        supply: AbstractSupply | None = None,
        unit: str | None = None,
    ) -> AbstractWorld:
        """Who comes, one world a draw: `new=` strangers, or the `same` people, whose α is drawn given their answer.

        Args:
            values, new, same, supply, unit: as in `worlds.build_world`.
            beta: aversion to being ahead, of which such answers say nothing: a number or one for each agent; NaN is did
                not answer.

        Raises:
            ValueError: as there; no `beta`.
        """
        require(beta is not None, "`beta` is missing: least offers tell `alpha` only; give a number, or one an agent.")
        m, s = np.asarray(sites["location"]), np.asarray(sites["spread"])
        of, varying = values_world(values, supply, unit, len(m), len(data.people), new, same)
        edges, accepts = self.arguments(data)
        ends = np.stack(_ends(edges, accepts)) if same else np.array([[-np.inf], [np.inf]])
        world = OfferPeople(of, m, s, ends, np.asarray(beta, float), same=same)
        spec = jax.tree.map(lambda _: False, world)
        spec = eqx.tree_at(lambda w: [w.location, w.spread], spec, [True, True])
        spec = spec if varying is None else eqx.tree_at(lambda w: w.of, spec, varying)
        return Draws(*eqx.partition(world, spec))

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        return {"model": "AcceptableOffers", "location": list(self.location), "spread": self.spread}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "AcceptableOffers":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**known_fields(cls, spec))


class OfferPeople(AbstractWorld):
    r"""People whose α follows :math:`\log(1+2\alpha) \sim N(m, \sigma^2)`, within what their answers say.

    Args:
        of: who values what. `location`, `spread`: m and σ.
        ends: `[2, agents or 1]`, lower and upper ends of log(1 + 2α); infinite for strangers.
        beta: `[]` or `[agents]`.
        same: whether these are the people who answered.
    """

    of: AbstractWorld
    location: Float[Array | np.ndarray, "*draws"]
    spread: Float[Array | np.ndarray, "*draws"]
    ends: Float[Array | np.ndarray, "2 agents"]
    beta: Float[Array | np.ndarray, "..."]
    same: bool = eqx.field(static=True, default=False)

    @property
    def serves_the_sample(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.same or self.of.serves_the_sample

    def population(self, key: PRNGKeyArray) -> Population:
        who, own = jax.random.split(key)
        people, m = self.of.population(who), jnp.asarray(self.location)
        low, high = (jnp.broadcast_to(jnp.asarray(x, m.dtype), people.values.shape[-2:-1]) for x in self.ends)
        return averse(people, _alpha(m, jnp.asarray(self.spread), low, high, own), self.beta)


def _ends(edges: Any, accepts: Any) -> tuple[Any, Any]:
    """Lower and upper end of each person's interval."""
    xp = np if isinstance(edges, np.ndarray) else jnp
    every = xp.concatenate([xp.asarray([-xp.inf]), edges, xp.asarray([xp.inf])])
    return every[accepts], every[accepts + 1]


def _log_chances(m: Array, s: Array, edges: Any, accepts: Any) -> Float[Array, " people"]:
    r"""Log of :math:`\Phi(b) - \Phi(a)`, for each of few intervals and then by person, in the tail where it is small."""
    a = jnp.concatenate([jnp.full(1, -jnp.inf), (edges - m) / s])
    b = jnp.concatenate([(edges - m) / s, jnp.full(1, jnp.inf)])
    first, last = jnp.isinf(a), jnp.isinf(b)
    # Above the mean the interval is mirrored: there distribution functions are close to one.
    swap = jnp.where(first, False, a > 0)
    low = jnp.where(first, -1.0, jnp.where(swap, jnp.where(last, -1.0, -b), a))
    high = jnp.where(last & ~swap, 1.0, jnp.where(swap, -a, b))
    nothing_below = jnp.where(swap, last, first)
    top = jnp.where(last & ~swap, 0.0, jax.scipy.special.log_ndtr(high))
    bottom = jax.scipy.special.log_ndtr(low)
    ratio = jnp.where(nothing_below, -1.0, jnp.minimum(bottom - top, -jnp.finfo(top.dtype).eps))
    return (top + jnp.where(nothing_below, 0.0, jnp.log(-jnp.expm1(ratio))))[accepts]


@compiled
def _by_draw(m: Any, s: Any, edges: Any, accepts: Any) -> Float[Array, "draws people"]:
    edges = jnp.asarray(edges, m.dtype)
    return jax.lax.map(lambda x: _log_chances(x[0], x[1], edges, accepts), (m, s))


def _alpha(m: Array, s: Array, low: Array, high: Array, key: PRNGKeyArray) -> Array:
    """α of a normal y within its interval."""
    z = jax.random.truncated_normal(key, (low - m) / s, (high - m) / s, low.shape, low.dtype)
    return jnp.expm1(m + s * z) / 2
