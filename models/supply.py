"""What there is to share: feasible sets of shares, known by their best point and by how far outside a point lies.

First best, dual bound, linear oracle and Border test are all one call, `best(weights)`. Feasibility of every run of
every rule is one call, `excess(shares)`: no rule is believed to be feasible.
"""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import as_array, concrete, require
from ._host import host_call


class AbstractSupply(eqx.Module):
    """A feasible set of shares `[agents, options]`.

    Write both methods for one population; `jax.vmap` adds batches.
    """

    @abc.abstractmethod
    def best(self, weights: Float[Array | np.ndarray, "agents options"]) -> Float[Array, "agents options"]:
        """A feasible point that maximises the sum of `weights * shares`, exactly; ties go to the lowest index.

        Its derivative in `weights` is zero almost everywhere, so `sum(weights * best(weights))` has the envelope
        gradient.
        """

    @abc.abstractmethod
    def excess(self, shares: Float[Array | np.ndarray, "agents options"]) -> Float[Array, ""]:
        """How far outside the set `shares` lie, in units of shares; 0 when feasible, NaN shares count as infinite."""


def _outside(*amounts: Array | np.ndarray) -> Array:
    worst = jnp.maximum(0.0, jnp.max(jnp.stack([jnp.max(a) for a in amounts])))
    return jnp.where(jnp.isnan(worst), jnp.inf, worst)


class Items(AbstractSupply):
    """Every option is one item, given once or split among agents; it may be kept unless `all_given`.

    Example:
        >>> import jax.numpy as jnp
        >>> Items().best(jnp.array([[1.0, -1.0], [2.0, -3.0]])).tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """

    all_given: bool = eqx.field(static=True, default=False)

    def best(self, weights: Float[Array | np.ndarray, "agents options"]) -> Float[Array, "agents options"]:
        weights = jax.lax.stop_gradient(weights)
        top = jax.nn.one_hot(jnp.argmax(weights, 0), weights.shape[0], axis=0, dtype=weights.dtype)
        return top if self.all_given else top * (weights.max(0) > 0)[None].astype(top.dtype)

    def excess(self, shares: Float[Array | np.ndarray, "agents options"]) -> Float[Array, ""]:
        total = shares.sum(0)
        short = 1 - total if self.all_given else jnp.zeros_like(total)
        return _outside(total - 1, -shares, short)


class Menu(AbstractSupply):
    """Each agent gets a lottery over options; option `o` uses `uses[o, g]` units of good `g`, of which `capacity[g]` exist.

    Unit demand with a free outside option is `Menu.seats(capacity)`: one good per option but the last, which uses none.

    Args:
        uses: `[options, goods]`, units of each good that one share of an option takes, nonnegative.
        capacity: `[goods]`, units there are in all; not negative. May be traced, so it may be random.

    Raises:
        ValueError: `uses` or `capacity` has a wrong shape, a NaN or a negative entry.

    Example:
        >>> supply = Menu.seats([1.0])
        >>> supply.best(np.array([[3.0, 0.0], [2.0, 0.0]])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    uses: Float[Array | np.ndarray, "... options goods"] = eqx.field(converter=as_array)
    capacity: Float[Array | np.ndarray, "... goods"] = eqx.field(converter=as_array)

    def __check_init__(self):
        uses, capacity = concrete(self.uses), concrete(self.capacity)
        if np.ndim(self.capacity) >= 1 and np.ndim(self.uses) >= 2:
            require(
                np.shape(self.uses)[-1] == np.shape(self.capacity)[-1],
                f"`uses` is [options, goods] and `capacity` [goods]; got {np.shape(self.uses)} and {np.shape(self.capacity)}.",
            )
        if uses is not None:
            require(np.all(np.isfinite(uses)) and np.all(uses >= 0), "`uses` must be finite and not negative.")
        if capacity is not None:
            bad = np.flatnonzero(~(capacity.ravel() >= 0))
            require(
                bad.size == 0,
                f"`capacity` must not be negative or NaN; entry {bad[:1]} is {capacity.ravel()[bad[:1]]}. "
                "Leave a good out of the menu, or give it capacity 0.",
            )

    @classmethod
    def seats(cls, capacity: Float[Array | np.ndarray, " goods"] | Sequence[float | int]) -> "Menu":
        """Unit demand: option g is a seat of kind g, the last option is the outside option, free and unlimited."""
        seats: Any = as_array(capacity)
        return cls(np.eye(seats.shape[-1] + 1, seats.shape[-1], dtype=seats.dtype), seats)

    def used(self, shares: Float[Array | np.ndarray, "agents options"]) -> Float[Array | np.ndarray, " goods"]:
        """Units of each good that `shares` take."""
        return shares.sum(0) @ self.uses

    def best(self, weights: Float[Array | np.ndarray, "agents options"]) -> Float[Array, "agents options"]:
        """The assignment linear programme, solved by HiGHS on the host (batches one by one)."""
        weights = jnp.asarray(weights)
        return host_call(_assignment_lp, weights, weights, self.uses, self.capacity)

    def excess(self, shares: Float[Array | np.ndarray, "agents options"]) -> Float[Array, ""]:
        return _outside(self.used(shares) - self.capacity, jnp.abs(shares.sum(-1) - 1), -shares)


def _assignment_lp(weights, uses, capacity) -> np.ndarray:
    """Greatest `sum(weights * shares)` with lottery rows and column use within capacity; NaN where there is none."""
    import scipy.optimize
    import scipy.sparse as sp

    dtype = np.asarray(weights).dtype
    weights, uses, capacity = (np.asarray(x, float) for x in (weights, uses, capacity))
    agents, options = weights.shape
    allowed = np.isfinite(weights)
    rows = sp.kron(sp.eye(agents), np.ones((1, options)))
    columns = sp.kron(np.ones((1, agents)), sp.csr_matrix(uses.T))
    answer = scipy.optimize.linprog(
        -np.where(allowed, weights, 0.0).ravel(),
        A_eq=rows.tocsr(),
        b_eq=np.ones(agents),
        A_ub=columns.tocsr(),
        b_ub=capacity,
        bounds=np.stack([np.zeros(weights.size), np.where(allowed, 1.0, 0.0).ravel()], 1),
        method="highs",
    )
    if answer.x is None:
        return np.full(weights.shape, np.nan, dtype)
    return np.clip(answer.x.reshape(weights.shape), 0.0, 1.0).astype(dtype)
