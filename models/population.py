"""Agents as they are, or as they say they are."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._check import as_array, concrete, require
from .supply import AbstractSupply, Items


class Population(eqx.Module):
    """Agents, what each option is worth to them, and what there is to share.

    An **option** is whatever one gets a share of: an item, a bundle of the menu, a round. Own utility is linear in
    shares. A reported population is the same noun: a rule never sees anything else.

    Args:
        values: `[..., agents, options]`, worth of a whole option, in `unit`; −inf marks an option that is infeasible
            for the agent.
        supply: the feasible set; default `Items()`.
        kind: `[..., agents]`, index into a finite table of types or groups.
        alpha: `[..., agents]`, Fehr–Schmidt aversion to being behind, dimensionless.
        beta: `[..., agents]`, Fehr–Schmidt aversion to being ahead, dimensionless.
        unit: in what `values` are measured; populations of unlike units are never summed.

    Raises:
        ValueError: `values` has fewer than two axes, a NaN or +inf, or another field does not fit it.

    Example:
        >>> p = Population(jnp.array([[1.0, 0.0], [0.5, 2.0]]))
        >>> p.utility(jnp.eye(2)).tolist()
        [1.0, 2.0]
    """

    values: Float[Array | np.ndarray, "*batch agents options"] = eqx.field(converter=as_array)
    supply: AbstractSupply = Items()
    kind: Int[Array | np.ndarray, "*batch agents"] | None = None
    alpha: Float[Array | np.ndarray, "*batch agents"] | None = None
    beta: Float[Array | np.ndarray, "*batch agents"] | None = None
    unit: str = eqx.field(static=True, default="utils")

    def __check_init__(self):
        shape = np.shape(self.values)
        require(len(shape) >= 2, f"`values` must be [..., agents, options]; got shape {shape}.")
        values = concrete(self.values)
        if values is not None:
            bad = np.argwhere(np.isnan(values) | (values == np.inf))
            require(
                len(bad) == 0,
                f"`values` must be finite or -inf (infeasible); entry {tuple(bad[0]) if len(bad) else ()} is not. "
                "Use -inf where an agent cannot take an option.",
            )
        for name in ("kind", "alpha", "beta"):
            field = getattr(self, name)
            if hasattr(field, "shape"):
                require(
                    np.shape(field)[-1:] == shape[-2:-1],
                    f"`{name}` must have one entry an agent: `values` is {shape}, `{name}` is {np.shape(field)}.",
                )

    @property
    def num_agents(self) -> int:
        """Number of rows."""
        return self.values.shape[-2]

    @property
    def num_options(self) -> int:
        """Number of columns."""
        return self.values.shape[-1]

    def utility(self, shares: Float[Array | np.ndarray, "*batch agents options"]) -> Float[Array, "*batch agents"]:
        """Each agent's expected own utility, `sum_o values * shares`; −inf if an infeasible option is ever given."""
        feasible = jnp.isfinite(self.values)
        own = jnp.sum(jnp.where(feasible, self.values, 0.0) * shares, -1)
        return jnp.where(jnp.any(~feasible & (shares > 0), -1), -jnp.inf, own)
