"""Everybody a law of their own, drawn from a population of laws: what few ratings an agent gave is pooled with the rest."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._check import require
from .._spec import fields_of
from ..laws import AbstractLaw
from ..supply import AbstractSupply
from ..world import Draws
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
from .families import family_of
from .worlds import Newcomers


def _pairs(x: Any) -> tuple[tuple[str, tuple[float, float]], ...]:
    return tuple((str(k), (float(v[0]), float(v[1]))) for k, v in dict(x or {}).items())


def _singles(x: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(k), float(v)) for k, v in dict(x or {}).items())


class HierarchicalLaw(AbstractRatingModel):
    r"""Agent i's values are drawn from a law of their own, and laws from a population of laws.

    .. math::
        v_{ij} \sim D_{\theta_i}, \qquad g(\theta_i) = \mu + \tau z_i, \quad z_i \sim N(0, 1), \quad
        \mu \sim N(m, s^2), \quad \tau \sim N^+(0, t^2),

    for each parameter, g the log, logit or plain scale it lives on. Agents who rated little are drawn towards the others, by
    as much as the others are alike.

    Sites, for each parameter p: `p_centre` (μ), `p_spread` (τ), `p_raw` (z, `[agents]`) and `p` (θ, `[agents]`).

    Args:
        family: as in `CommonLaw`.
        centre: parameter to (m, s), where the family's default will not do.
        spread: parameter to t, likewise.

    Raises:
        ValueError: a family that does not exist, a parameter it lacks, or a scale that is not positive.

    Source: agents with laws of their own are appendix A of Halpern, Psomas and Zhang [P]; the hierarchy is ours [X].

    Example:
        >>> import fairhand as fh
        >>> ratings = np.random.default_rng(0).beta(2.0, [[1.0], [2.0], [4.0]], (3, 25))
        >>> posterior = fh.fit(HierarchicalLaw("beta"), RatingData(ratings), method="map", draws=50)
        >>> len(posterior.law()), posterior.world(same=True, items=6, draws=10).num
        (3, 10)
    """

    observation: ClassVar[tuple[str, str]] = ("rating", "observation")

    family: str = eqx.field(static=True, default="beta")
    centre: Any = eqx.field(static=True, converter=_pairs, default=())
    spread: Any = eqx.field(static=True, converter=_singles, default=())

    def __check_init__(self):
        names = [p.name for p in family_of(self.family).parameters]
        for field in ("centre", "spread"):
            for name, value in getattr(self, field):
                require(
                    name in names,
                    f"`{field}` names `{name}`, but the family {self.family!r} has {', '.join(f'`{n}`' for n in names)}.",
                )
                scale = value[1] if field == "centre" else value
                require(
                    np.isfinite(scale) and scale > 0, f"`{field}` of `{name}` must have a positive scale, got {value}."
                )

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what the ratings can tell; refuses a single agent, rounded ratings, and values no law has."""
        notes = check_data(self, data, exact=True)
        require(
            int(data.rated.any(1).sum()) >= 2,
            f"{data.source} has ratings of one agent only, who cannot tell how agents differ: fit `CommonLaw`.",
        )
        return notes

    def arguments(self, data: RatingData) -> tuple[np.ndarray, ...]:
        """Values, who gave each, and one zero an agent, whose shape says how many there are."""
        return data.values[data.rated], data.agent, np.zeros(len(data.agents))

    def start(self, data: RatingData) -> dict[str, np.ndarray]:
        """Zeros in the unconstrained space."""
        found = {}
        for p in family_of(self.family).parameters:
            found |= {f"{p.name}_centre": np.zeros(()), f"{p.name}_spread": np.zeros(())}
            found |= {f"{p.name}_raw": np.zeros(len(data.agents))}
        return found

    def numpyro_model(
        self,
        values: Float[Array | np.ndarray, " ratings"],
        agent: Int[Array | np.ndarray, " ratings"],
        people: Float[Array | np.ndarray, " agents"],
    ) -> None:
        """Values, whose `agent` is whose; `people` is there for its length. Their log density is the factor `rating`."""
        family, theta = family_of(self.family), {}
        centres, spreads = dict(self.centre), dict(self.spread)
        for p in family.parameters:
            mu = numpyro.sample(f"{p.name}_centre", dist.Normal(*centres.get(p.name, p.centre)))
            tau = numpyro.sample(f"{p.name}_spread", dist.HalfNormal(spreads.get(p.name, p.spread)))
            raw = numpyro.sample(f"{p.name}_raw", dist.Normal(jnp.zeros(people.shape[0]), 1.0).to_event(1))
            theta[p.name] = numpyro.deterministic(p.name, p.constrain(mu + tau * jnp.asarray(raw)))
        law = family.law({name: jnp.asarray(x)[agent] for name, x in theta.items()})
        numpyro.factor("rating", log_density(law, values).sum())

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with values drawn anew, for one draw of the sites; for use inside compiled programs."""
        values, agent, people = arguments
        family = family_of(self.family)
        law = family.law({p.name: jnp.asarray(sites[p.name])[agent] for p in family.parameters})
        return jax.vmap(simulated)(law, uniform(key, values)), agent, people

    def scalars(self, sites: Sites, data: RatingData) -> dict[str, Any]:
        """Centre and spread of each parameter, and the parameter of each agent."""
        names = [p.name for p in family_of(self.family).parameters]
        found = {f"{name}_{what}": sites[f"{name}_{what}"] for name in names for what in ("centre", "spread")}
        own = {f"{name}[{a}]": sites[name][..., i] for name in names for i, a in enumerate(data.agents)}
        return found | own

    def log_densities(self, sites: Sites, data: RatingData) -> Float[Array, "draws ratings"]:
        """Log density of each value by its agent's law."""
        values, agent, _ = self.arguments(data)
        each = {p.name: np.asarray(sites[p.name])[:, agent] for p in family_of(self.family).parameters}
        return log_densities(self.family, each, values)

    def coords(self, data: RatingData) -> dict[str, list]:
        """The agents."""
        return {"agent": list(data.agents)}

    def dims(self) -> dict[str, list[str]]:
        """Parameters and their raw deviations are by agent."""
        names = [p.name for p in family_of(self.family).parameters]
        return {name: ["agent"] for p in names for name in (p, f"{p}_raw")}

    def laws(self, sites: Sites, data: RatingData) -> tuple[AbstractLaw, ...]:
        return laws_by_agent(self.family, sites, len(data.agents))

    def values(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws agents items"]:
        new = drawn(own_laws(self, sites, data), len(data.items), key)
        return jnp.where(data.rated, data.values.astype(new.dtype), new)

    def replicate(self, sites: Sites, data: RatingData, *, key: PRNGKeyArray) -> Float[Array, "draws ratings"]:
        new = drawn(own_laws(self, sites, data), len(data.items), key)
        return data.scale[0] + data.width * new[:, data.agent, data.item]

    def strangers(self, sites: Sites, agents: int, items: int, supply: AbstractSupply) -> Draws:
        names = [p.name for p in family_of(self.family).parameters]
        centre, spread = (np.stack([np.asarray(sites[f"{p}_{w}"]) for p in names], -1) for w in ("centre", "spread"))
        return Draws.of(Newcomers(centre, spread, self.family, agents, items, supply), lambda w: [w.centre, w.spread])

    def correlation(self, sites: Sites) -> None:
        del sites

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        priors = {"centre": {k: list(v) for k, v in self.centre}, "spread": dict(self.spread)}
        return {"model": "HierarchicalLaw", "family": self.family, **priors}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "HierarchicalLaw":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        return cls(**fields_of(spec, cls))


def laws_by_agent(family: str, sites: Sites, agents: int) -> tuple[AbstractLaw, ...]:
    """One law per agent, out of parameters `[draws, agents]`."""
    kind = family_of(family)
    return tuple(kind.law({p.name: sites[p.name][..., i] for p in kind.parameters}) for i in range(agents))
