"""Ratings that are not the values themselves: given with error, rounded to stars, or both."""

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
from .._spec import fields_of
from ..laws import AbstractLaw
from ..supply import AbstractSupply
from ..world import Draws, Independent
from ._base import AbstractRatingModel, Sites, check_data, drawn, own_laws, simulated, uniform
from ._noise import draw_points, draw_steps, log_points, log_steps, report
from .common import sample_parameters
from .data import RatingData
from .families import as_priors, check_priors, family_of


class NoisyRatings(AbstractRatingModel):
    r"""A value is drawn from one law; what is rated is the value with an error, rounded where the scale has steps.

    .. math::
        v_{ij} \sim D_\theta, \qquad y_{ij} = v_{ij} + \sigma \varepsilon_{ij}, \quad \varepsilon_{ij} \sim N(0, 1).

    With `steps` in the data the rating is the step nearest to y: :math:`P(k) = E[\Phi((c_{k+1} - v)/\sigma) -
    \Phi((c_k - v)/\sigma)]`, which is :math:`F(c_{k+1}) - F(c_k)` without error, c halfway between steps; the outermost steps
    take all beyond. Without steps y is cut off at the ends of the scale, so that a rating there says "at least this". The
    latent values are integrated out while sampling, by quadrature, and drawn afterwards: `posterior.world(same=True)` holds
    the agents and items of the data with values drawn given θ, σ and their ratings.

    The error and the spread of the law are told apart by the shape of the family alone; if you know the error, say it.

    Sites: the family's parameters and, where it is learned, `noise`.

    Args:
        family: as in `CommonLaw`.
        prior: parameter to NumPyro distribution, where the family's default will not do.
        noise: σ if it is known, in the units of the ratings, 0 for rounding only; None learns it.
        noise_scale: scale of its half-normal prior, as a share of the width of the scale.

    Raises:
        ValueError: a family that does not exist, a prior that does not fit it, `noise` negative, `noise_scale` not positive.

    Source: observation model of latent values, for Halpern, Psomas and Zhang's mechanisms [X].

    Example:
        >>> import fairhand as fh
        >>> stars = np.random.default_rng(0).integers(1, 6, (3, 20))
        >>> data = RatingData(stars, steps=range(1, 6))
        >>> posterior = fh.fit(NoisyRatings("power", noise=0.5), data, method="map", draws=20)
        >>> posterior.world(same=True, draws=10).one(0).population(jax.random.key(0)).values.shape
        (3, 20)
    """

    observation: ClassVar[tuple[str, str]] = ("rating", "observation")

    family: str = eqx.field(static=True, default="beta")
    prior: Any = eqx.field(static=True, converter=as_priors, default=())
    noise: float | None = eqx.field(static=True, default=None)
    noise_scale: float = eqx.field(static=True, converter=float, default=0.1)

    def __check_init__(self):
        check_priors(family_of(self.family), self.prior)
        known = self.noise
        require(
            known is None or (np.isfinite(known) and known >= 0),
            f"`noise` must be 0 or more, in the units of the ratings, or None to learn it; got {known}.",
        )
        require(
            np.isfinite(self.noise_scale) and self.noise_scale > 0,
            f"`noise_scale` must be positive, got {self.noise_scale}; for a known error say `noise`.",
        )

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what the ratings can tell; refuses too few steps for the family, and exact ratings without error."""
        notes = check_data(self, data, exact=False)
        names = [p.name for p in family_of(self.family).parameters]
        if data.steps is None:
            require(
                self.noise != 0,
                f"{data.source} has no `steps` and `noise` is 0: such ratings are the values; fit `CommonLaw`.",
            )
            return notes
        told, asked = len(np.unique(data.step)) - 1, len(names)
        require(
            told >= asked,
            f"{data.source}: shares of {told + 1} different steps tell {told} number{'s'[: told != 1]}, and the family "
            f"{self.family!r} has {asked}: collect finer ratings, or choose a family with fewer parameters.",
        )
        if self.noise is None and told < asked + 1:
            notes += (f"{told + 1} different steps tell {told} numbers: the prior decides how large the error is.",)
        return notes

    def arguments(self, data: RatingData) -> tuple[np.ndarray, ...]:
        """Steps (indices) or values, the edges of the steps (empty without), and the width of the scale."""
        values = data.values[data.rated] if data.steps is None else data.step
        return values, data.cuts, np.asarray(data.width)

    def start(self, data: RatingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space."""
        del data
        own = {p.name: np.zeros(()) for p in family_of(self.family).parameters}
        return own | ({"noise": np.zeros(())} if self.noise is None else {})

    def numpyro_model(
        self,
        ratings: Array | np.ndarray,
        cuts: Float[Array | np.ndarray, " edges"],
        width: Float[Array | np.ndarray, ""],
    ) -> None:
        """The log-probability of the ratings, latent values integrated out, enters as the factor `rating`."""
        theta = sample_parameters(self.family, self.prior)
        if self.noise is None:
            theta["noise"] = numpyro.sample("noise", dist.HalfNormal(self.noise_scale * width))
        numpyro.factor("rating", self._log_density(theta, ratings, cuts, width).sum())

    def _sd(self, sites: Sites, width: Any) -> Any:
        """Standard deviation of the error on the scale from 0 to 1; None without error."""
        if self.noise == 0:
            return None
        return (sites["noise"] if self.noise is None else self.noise) / width

    def _log_density(self, sites: Sites, ratings: Any, cuts: Any, width: Any) -> Float[Array, " ratings"]:
        law, sd = family_of(self.family).law(sites), self._sd(sites, width)
        if np.shape(cuts)[0]:
            return log_steps(law, jnp.asarray(cuts), sd)[jnp.asarray(ratings)]
        return log_points(law, jnp.asarray(ratings), sd)

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with ratings drawn anew, for one draw of the sites; for use inside compiled programs."""
        ratings, cuts, width = arguments
        value, error = jax.random.split(key)
        x = simulated(family_of(self.family).law(sites), uniform(value, ratings))
        found = report(
            jnp.asarray(cuts, x.dtype), self._sd(sites, width), x, jax.random.normal(error, x.shape, x.dtype)
        )
        return found, cuts, width

    def scalars(self, sites: Sites, data: RatingData) -> dict[str, Any]:
        """The parameters, and the error where it is learned."""
        del data
        names = [p.name for p in family_of(self.family).parameters]
        return {name: sites[name] for name in (*names, *(("noise",) if self.noise is None else ()))}

    def log_densities(self, sites: Sites, data: RatingData) -> Float[Array, "draws ratings"]:
        """Log-probability of each rating, or log density where there are no steps."""
        arguments = self.arguments(data)
        return _log_densities(self, self.scalars(sites, data), arguments)

    def coords(self, data: RatingData) -> dict[str, list]:
        """None."""
        del data
        return {}

    def dims(self) -> dict[str, list[str]]:
        """None."""
        return {}

    def laws(self, sites: Sites, data: RatingData) -> AbstractLaw:
        del data
        return family_of(self.family).law(sites)

    def values(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws agents items"]:
        new, old = jax.random.split(key)
        fresh = drawn(own_laws(self, sites, data), len(data.items), new)
        latent = _latent(self, self.scalars(sites, data), self.arguments(data), old)
        return fresh.at[:, data.agent, data.item].set(latent.astype(fresh.dtype))

    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        value, error = jax.random.split(key)
        x = drawn(own_laws(self, sites, data), len(data.items), value)[:, data.agent, data.item]
        sd = self._sd({k: jnp.asarray(v)[:, None] for k, v in self.scalars(sites, data).items()}, data.width)
        found = report(jnp.asarray(data.cuts, x.dtype), sd, x, jax.random.normal(error, x.shape, x.dtype))
        if data.steps is None:
            return data.scale[0] + data.width * found
        return jnp.asarray(data.steps, x.dtype)[found]

    def strangers(self, sites: Sites, agents: int, items: int, supply: AbstractSupply) -> Draws:
        law = family_of(self.family).law(sites)
        return Draws.of(Independent(law, agents, items, supply), lambda w: [w.law])

    def correlation(self, sites: Sites) -> None:
        del sites

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        prior = {k: p.to_spec() for k, p in self.prior}
        error = {"noise": self.noise, "noise_scale": self.noise_scale}
        return {"model": "NoisyRatings", "family": self.family, "prior": prior, **error}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "NoisyRatings":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


@compiled
def _log_densities(model: NoisyRatings, sites, arguments) -> Float[Array, "draws ratings"]:
    return jax.lax.map(lambda s: model._log_density(s, *arguments), sites)


@compiled
def _latent(model: NoisyRatings, sites, arguments, key) -> Float[Array, "draws ratings"]:
    """Values given ratings, one draw each; one draw of the posterior at a time, as the nodes take memory."""
    ratings, cuts, width = arguments

    def one(given):
        sites, key = given
        law, sd = family_of(model.family).law(sites), model._sd(sites, width)
        u = jax.random.uniform(key, ratings.shape, jnp.result_type(float))
        return draw_steps(law, cuts, sd, ratings, u) if cuts.shape[0] else draw_points(law, ratings, sd, u)

    draws = jax.tree.leaves(sites)[0].shape[0]
    return jax.lax.map(one, (sites, jax.random.split(key, draws)))
