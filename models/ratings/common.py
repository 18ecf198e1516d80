"""One law for everybody: every rating is an independent value."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float, PRNGKeyArray

from .._spec import fields_of
from ..laws import AbstractLaw
from ..supply import AbstractSupply
from ..world import Draws, Independent
from ._base import (
    AbstractRatingModel,
    Sites,
    check_data,
    drawn,
    log_densities,
    own_laws,
    simulated,
    uniform,
)
from ._density import log_density
from .data import RatingData
from .families import as_priors, check_priors, family_of


def sample_parameters(family: str, prior: Any, size: int | None = None) -> dict[str, Any]:
    """NumPyro sites of a law's parameters, one number each, or `[size]`."""
    given, found = dict(prior), {}
    for p in family_of(family).parameters:
        distribution = given.get(p.name, p.prior).distribution
        found[p.name] = numpyro.sample(
            p.name, distribution if size is None else distribution.expand([size]).to_event(1)
        )
    return found


class CommonLaw(AbstractRatingModel):
    r"""Every rating is a value drawn independently from one law :math:`D_\theta`.

    .. math:: v_{ij} \sim D_\theta, \qquad \theta \sim \text{prior}

    With `family="power"` and a gamma prior of its exponent the posterior is known: :math:`-\ln v` is exponential with
    rate `exponent`, so gamma(shape, rate) becomes gamma(shape + N, rate + Σ −ln v) [D].

    Args:
        family: `"beta"`, `"power"`, `"truncated_normal"` or `"truncated_exponential"`, all on [0, 1], the scale of the data.
        prior: parameter to NumPyro distribution, where the family's own default will not do.

    Raises:
        ValueError: a family that does not exist, or a prior of a parameter it lacks or outside its support.

    Source: observation model of a law from cardinal values, for Halpern, Psomas and Zhang's mechanisms [X].

    Example:
        >>> import fairhand as fh, numpyro.distributions as dist
        >>> ratings = np.random.default_rng(0).beta(2.0, 5.0, (4, 25))
        >>> posterior = fh.fit(CommonLaw("beta"), RatingData(ratings), method="map", draws=50)
        >>> law = posterior.law()
        >>> law.a.shape, posterior.world(agents=2, items=6, draws=10).num
        ((200,), 10)
    """

    observation: ClassVar[tuple[str, str]] = ("rating", "observation")

    family: str = eqx.field(static=True, default="beta")
    prior: Any = eqx.field(static=True, converter=as_priors, default=())

    def __check_init__(self):
        check_priors(family_of(self.family), self.prior)

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what the ratings can tell; refuses rounded ones, and values no law of the family has."""
        return check_data(self, data, exact=True)

    def arguments(self, data: RatingData) -> tuple[np.ndarray, ...]:
        """The values."""
        return (data.values[data.rated],)

    def start(self, data: RatingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space."""
        del data
        return {p.name: np.zeros(()) for p in family_of(self.family).parameters}

    def numpyro_model(self, values: Float[Array | np.ndarray, " ratings"]) -> None:
        """Sites: the family's parameters; the log density of the values enters as the factor `rating`."""
        law = family_of(self.family).law(sample_parameters(self.family, self.prior))
        numpyro.factor("rating", log_density(law, values).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with values drawn anew, for one draw of the sites; for use inside compiled programs."""
        (values,) = arguments
        return (simulated(family_of(self.family).law(sites), uniform(key, values)),)

    def scalars(self, sites: Sites, data: RatingData) -> dict[str, Any]:
        """The parameters."""
        del data
        return {p.name: sites[p.name] for p in family_of(self.family).parameters}

    def log_densities(self, sites: Sites, data: RatingData) -> Float[Array, "draws ratings"]:
        """Log density of each value."""
        (values,) = self.arguments(data)
        return log_densities(self.family, self.scalars(sites, data), values)

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
        new = drawn(own_laws(self, sites, data), len(data.items), key)
        return jnp.where(data.rated, data.values.astype(new.dtype), new)

    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        new = drawn(own_laws(self, sites, data), len(data.items), key)
        return data.scale[0] + data.width * new[:, data.agent, data.item]

    def strangers(self, sites: Sites, agents: int, items: int, supply: AbstractSupply) -> Draws:
        law = family_of(self.family).law(sites)
        return Draws.of(Independent(law, agents, items, supply), lambda w: [w.law])

    def correlation(self, sites: Sites) -> None:
        del sites

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        return {"model": "CommonLaw", "family": self.family, "prior": {k: p.to_spec() for k, p in self.prior}}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "CommonLaw":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))
