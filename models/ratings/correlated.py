"""Agents whose tastes go together: marginal laws tied by a Gaussian copula."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .._spec import fields_of
from ..laws import AbstractLaw
from ..supply import AbstractSupply
from ..world import Draws
from ._base import AbstractRatingModel, Sites, check_data, simulated
from ._copula import given_stated, log_copula, scores
from ._density import log_density
from .common import sample_parameters
from .data import RatingData
from .families import as_priors, check_priors, family_of
from .hierarchical import laws_by_agent
from .worlds import quantiles

FEWEST = 3  # items that two agents both rated, for their correlation to be told from its prior


class CorrelatedLaws(AbstractRatingModel):
    r"""Items are independent, but what one is worth to one agent tells what it is worth to another.

    .. math::
        v_{ij} = Q_i(\Phi(z_{ij})), \qquad z_{\cdot j} \sim N(0, R), \qquad R \sim \text{LKJ}(\eta),

    with a marginal law :math:`D_{\theta_i}` of each agent's own. Items that some agents did not rate still tell of the
    others. `joint_values` draws from the posterior what `correlated_two_agent` takes as `joint`.

    Sites: the family's parameters, `[agents]`; `correlation_cholesky` and `correlation`, `[agents, agents]`.

    Args:
        family: as in `CommonLaw`, the same for all agents.
        prior: parameter to NumPyro distribution, the same for all agents, where the family's default will not do.
        eta: concentration of the LKJ prior (Lewandowski, Kurowicka and Joe 2009); 1 is uniform over correlation matrices,
            more pulls towards independence.

    Raises:
        ValueError: a family that does not exist, a prior that does not fit it, `eta` not positive.

    Source: correlated agents are appendix B of Halpern, Psomas and Zhang [P]; the copula and its prior are ours [X].

    Example:
        >>> import fairhand as fh
        >>> ratings = np.random.default_rng(0).random((2, 30)) ** 0.5
        >>> posterior = fh.fit(CorrelatedLaws("power"), RatingData(ratings), method="map", draws=50)
        >>> posterior.sites["correlation"].shape, bool(abs(posterior.mean["correlation[0,1]"]) < 0.5)
        ((200, 2, 2), True)
    """

    observation: ClassVar[tuple[str, str]] = ("rating", "item")

    family: str = eqx.field(static=True, default="beta")
    prior: Any = eqx.field(static=True, converter=as_priors, default=())
    eta: float = eqx.field(static=True, converter=float, default=2.0)

    def __check_init__(self):
        check_priors(family_of(self.family), self.prior)
        require(np.isfinite(self.eta) and self.eta > 0, f"`eta` must be positive, got {self.eta}.")

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what the ratings can tell; refuses pairs of agents who rated too few items both."""
        notes = check_data(self, data, exact=True)
        name, names, rated = data.source, data.agents, data.rated.astype(int)
        require(len(names) >= 2, f"{name} has one agent, who is correlated with nobody: fit `CommonLaw`.")
        for i, given in enumerate(data.ratings):
            given = given[np.isfinite(given)]
            require(
                given.size > 0 and np.ptp(given) > 0,
                f"{name}: agent `{names[i]}` gave no two different ratings, which tell no law: leave the agent out, or "
                "fit `HierarchicalLaw`.",
            )
        both = rated @ rated.T + len(data.items) * np.eye(len(names), dtype=int)
        i, k = np.unravel_index(both.argmin(), both.shape)
        require(
            both[i, k] >= FEWEST,
            f"{name}: agents `{names[i]}` and `{names[k]}` both rated {both[i, k]} items, too few to tell how their tastes go "
            f"together (at least {FEWEST}): collect more, or fit `HierarchicalLaw`.",
        )
        return notes

    def arguments(self, data: RatingData) -> tuple[np.ndarray, ...]:
        """Values, some number where there is none, and whether there is one; both `[agents, items]`."""
        return np.where(data.rated, data.values, 0.5), data.rated

    def start(self, data: RatingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space."""
        n = len(data.agents)
        own = {p.name: np.zeros(n) for p in family_of(self.family).parameters}
        return own | {"correlation_cholesky": np.zeros(n * (n - 1) // 2)}

    def numpyro_model(
        self, values: Float[Array | np.ndarray, "agents items"], stated: Bool[Array | np.ndarray, "agents items"]
    ) -> None:
        """The log density of each item's ratings enters as the factor `rating`."""
        theta = sample_parameters(self.family, self.prior, values.shape[0])
        prior = dist.LKJCholesky(values.shape[0], self.eta)
        factor = jnp.asarray(numpyro.sample("correlation_cholesky", prior))
        correlation = jnp.asarray(numpyro.deterministic("correlation", factor @ factor.T))
        numpyro.factor("rating", self._log_density(theta, correlation, values, stated).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with values drawn anew, for one draw of the sites; for use inside compiled programs."""
        values, stated = arguments
        factor = sites["correlation_cholesky"]
        below = ndtr(factor @ jax.random.normal(key, values.shape, factor.dtype))
        found = jax.vmap(lambda theta, u: simulated(family_of(self.family).law(theta), u))(self._own(sites), below)
        return jnp.where(stated, found, 0.5), stated

    def _scores(self, theta: Any, values: Array) -> Array:
        """Normal scores of values, each by its agent's law."""
        family = family_of(self.family)

        def one(theta, x):
            law = family.law(theta)
            return scores(law.cdf(x), law.survival(x))

        return jax.vmap(one)(theta, values)

    def _log_density(self, theta: Any, correlation: Any, values: Any, stated: Any) -> Float[Array, " items"]:
        family = family_of(self.family)
        z = self._scores(theta, values)
        own = jax.vmap(lambda theta, x: log_density(family.law(theta), x))(theta, values)
        return log_copula(correlation, z, stated) + jnp.sum(jnp.where(stated, own, 0.0), 0)

    def _own(self, sites: Sites) -> dict[str, Any]:
        return {p.name: sites[p.name] for p in family_of(self.family).parameters}

    def scalars(self, sites: Sites, data: RatingData) -> dict[str, Any]:
        """The parameters of each agent, and each correlation."""
        names = data.agents
        own = {
            f"{p.name}[{a}]": sites[p.name][..., i]
            for p in family_of(self.family).parameters
            for i, a in enumerate(names)
        }
        pairs = [(i, k) for i in range(len(names)) for k in range(i + 1, len(names))]
        return own | {f"correlation[{names[i]},{names[k]}]": sites["correlation"][..., i, k] for i, k in pairs}

    def log_densities(self, sites: Sites, data: RatingData) -> Float[Array, "draws items"]:
        """Joint log density of the ratings of each item."""
        return _log_densities(self, self._own(sites), sites["correlation"], *self.arguments(data))

    def coords(self, data: RatingData) -> dict[str, list]:
        """The agents, twice."""
        return {"agent": list(data.agents), "other": list(data.agents)}

    def dims(self) -> dict[str, list[str]]:
        """Parameters are by agent, correlations by pairs of them."""
        own = {p.name: ["agent"] for p in family_of(self.family).parameters}
        return own | {name: ["agent", "other"] for name in ("correlation", "correlation_cholesky")}

    def laws(self, sites: Sites, data: RatingData) -> tuple[AbstractLaw, ...]:
        return laws_by_agent(self.family, sites, len(data.agents))

    def values(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws agents items"]:
        values, stated = self.arguments(data)
        return _conditional(self, self._own(sites), sites["correlation_cholesky"], values, stated, key)

    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        values, stated = self.arguments(data)
        new = _conditional(self, self._own(sites), sites["correlation_cholesky"], values, np.zeros_like(stated), key)
        return data.scale[0] + data.width * new[:, data.agent, data.item]

    def strangers(self, sites: Sites, agents: int, items: int, supply: AbstractSupply) -> Draws:
        raise ValueError(
            "`agents=` asks for strangers, but `CorrelatedLaws` knows how these agents go together and no others: say "
            "`same=True, items=...`."
        )

    def correlation(self, sites: Sites) -> Float[np.ndarray, "draws agents agents"]:
        return np.asarray(sites["correlation"])

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        prior = {k: p.to_spec() for k, p in self.prior}
        return {"model": "CorrelatedLaws", "family": self.family, "prior": prior, "eta": self.eta}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "CorrelatedLaws":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


@compiled
def _log_densities(model: CorrelatedLaws, theta, correlation, values, stated) -> Float[Array, "draws items"]:
    each = lambda theta, correlation: model._log_density(theta, correlation, values, stated)
    return jax.vmap(each)(theta, correlation)


@compiled
def _conditional(model: CorrelatedLaws, theta, cholesky, values, stated, key) -> Float[Array, "draws agents items"]:
    """Values given the stated ones, one draw each."""
    family = family_of(model.family)

    def one(theta, factor, key):
        free = factor @ jax.random.normal(key, values.shape, factor.dtype)
        z = given_stated(factor @ factor.T, model._scores(theta, values), stated, free)
        found = quantiles(jax.vmap(family.law)(theta), ndtr(z))
        return jnp.where(stated, values, found)

    return jax.vmap(one)(theta, cholesky, jax.random.split(key, cholesky.shape[0]))
