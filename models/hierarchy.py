"""Models in which people differ: what all share, what each has of their own, and how likely each one's data are.

Given what all share, people do not depend on each other. So a model says three things apart: priors of what is shared
(`shared`), the normal law of what a person has of their own (`Tastes`), and the log-likelihood of each person's data
(`person_log_likelihood`). An engine may then sample everything at once, or integrate the people out first.
"""

import abc
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ._check import require


class Tastes(NamedTuple):
    r"""What people have of their own, before their data are seen: :math:`b_i = m_i + L z_i`, z standard normal.

    Attributes:
        mean: `[people, dims]`, or `[1, dims]` where it is the same for all.
        root: `[dims, dims]`, lower triangular, positive diagonal: L.
        fixed: whatever else the likelihood of a person's data depends on and all share (a pytree of arrays); empty where
            the data depend on `b` alone, which engines make use of.
    """

    mean: Float[Array, "#people dims"]
    root: Float[Array, "dims dims"]
    fixed: Any = ()


class AbstractHierarchy(eqx.Module):
    """A model whose `numpyro_model` follows from three parts; `arguments(data)` are passed to each of them.

    Sites of the posterior: those of `shared`, and `taste`, `[people, dims]`.
    """

    @abc.abstractmethod
    def shared(self, *args: Any) -> Tastes:
        """Samples what all share, as NumPyro sites, and returns the law of what each has of their own."""

    @abc.abstractmethod
    def person_log_likelihood(
        self, taste: Float[Array, "people dims"], fixed: Any, *args: Any
    ) -> Float[Array, " people"]:
        """Log-probability of each person's data given their own `taste`; row i depends on row i alone."""

    @abc.abstractmethod
    def people(self, *args: Any) -> int:
        """How many people there are, by the shapes of the arguments."""

    def numpyro_model(self, *args: Any) -> None:
        """Everything at once: what is shared, and everybody's taste, non-centred (site `raw`)."""
        mean, root, fixed = self.shared(*args)
        people = self.people(*args)
        raw = jnp.asarray(numpyro.sample("raw", dist.Normal(jnp.zeros((people, root.shape[0])), 1.0).to_event(2)))
        taste = jnp.asarray(numpyro.deterministic("taste", mean + raw @ root.T))
        numpyro.factor("people", self.person_log_likelihood(taste, fixed, *args).sum())


def sample_tastes(
    location: Float[Array, " dims"],
    width: Float[Array, " dims"],
    spread_scale: float,
    correlated: bool,
) -> tuple[Float[Array, " dims"], Float[Array, "dims dims"]]:
    r"""Sites `mean`, `spread` and, where tastes are correlated, `correlation`; returns mean and root of the normal law.

    .. math::
        m \sim N(\text{location}, \text{width}^2), \quad \sigma \sim N^+(0, \text{spread\_scale}^2), \quad
        R \sim \text{LKJ}(2), \quad L = \text{diag}(\sigma)\,\text{chol}(R).

    Args:
        location: `[dims]`. `width`: `[dims]`. `spread_scale`: the same for all dims.
        correlated: without it R is the identity.
    """
    dims = location.shape[0]
    mean = jnp.asarray(numpyro.sample("mean", dist.Normal(location, width).to_event(1)))
    spread = jnp.asarray(numpyro.sample("spread", dist.HalfNormal(jnp.full(dims, spread_scale)).to_event(1)))
    if not correlated or dims == 1:
        return mean, jnp.diag(spread)
    lower = jnp.asarray(numpyro.sample("correlation", dist.LKJCholesky(dims, 2.0)))
    return mean, spread[:, None] * lower


def start_of_tastes(mean: Any, correlated: bool) -> dict[str, np.ndarray]:
    """Where a search may begin, in the unconstrained space: people who differ by half a standard unit, no correlations."""
    mean = np.asarray(mean, float)
    d = len(mean)
    found = {"mean": mean, "spread": np.full(d, np.log(0.5))}
    return found | ({"correlation": np.zeros(d * (d - 1) // 2)} if correlated and d > 1 else {})


def taste_scalars(sites: Any, names: tuple[str, ...], unit: Any) -> dict[str, Any]:
    """The law of tastes as numbers with names, in the units of the data.

    Args:
        sites: `mean`, `spread` and perhaps `correlation`, any axes in front.
        names: of the dims.
        unit: `[dims]`, what `mean` and `spread` are multiplied by.
    """
    found = {f"mean[{n}]": sites["mean"][..., k] * unit[k] for k, n in enumerate(names)}
    found |= {f"spread[{n}]": sites["spread"][..., k] * unit[k] for k, n in enumerate(names)}
    if "correlation" in sites:
        lower = sites["correlation"]
        for k, one in enumerate(names):
            for j, other in enumerate(names[:k]):
                found[f"correlation[{other},{one}]"] = (lower[..., k, :] * lower[..., j, :]).sum(-1)
    return found


def check_scales(prior_scale: float | None, spread_scale: float) -> None:
    """Refuse scales of priors that would leave the spreads of tastes without a posterior."""
    require(
        prior_scale is not None,
        "`prior_scale` must be finite: with a flat prior the spreads of tastes have no posterior.",
    )
    require(
        bool(0 < spread_scale < math.inf),
        f"`spread_scale` must be positive, got {spread_scale}.",
    )
