"""Report spaces: the lies that an agent could tell."""

import abc
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..models.population import Population


class AbstractReports(eqx.Module):
    """The lies an agent could tell, numbered `0 … count(truth) - 1`."""

    @property
    def label(self) -> str:
        """What they are called in a report."""
        return type(self).__name__

    @abc.abstractmethod
    def count(self, truth: Population) -> int:
        """How many lies there are, from shapes alone."""

    @abc.abstractmethod
    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        """What everybody says when `agent` tells lie `index` and the others the truth."""


def _say(
    truth: Population, agent: Int[Array | np.ndarray, ""], row: Float[Array | np.ndarray, " options"]
) -> Population:
    return eqx.tree_at(lambda p: p.values, truth, jnp.asarray(truth.values).at[agent].set(row))


class Orders(AbstractReports):
    """For ordinal rules: every permutation of one's own values, which is every ranking.

    Beyond `limit` permutations (6! by default), a fixed pseudo-random subset of `limit` of them, so that the audit
    states a search and not a proof.
    """

    limit: int = eqx.field(static=True, default=720)

    def table(self, options: int) -> Int[np.ndarray, "lies options"]:
        """The permutations tried."""
        if math.factorial(min(options, 12)) <= self.limit and options <= 12:
            return np.array(list(itertools.permutations(range(options))))
        draw = np.random.default_rng(0)
        return np.stack([draw.permutation(options) for _ in range(self.limit)])

    def count(self, truth: Population) -> int:
        return len(self.table(truth.num_options))

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        order = jnp.asarray(self.table(truth.num_options))[index]
        return _say(truth, agent, jnp.asarray(truth.values)[agent][order])


class Grid(AbstractReports):
    """For cardinal rules: rows `[lies, options]` of values to claim."""

    rows: Float[Array | np.ndarray, "lies options"]

    def count(self, truth: Population) -> int:
        del truth
        return self.rows.shape[0]

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        return _say(truth, agent, jnp.asarray(self.rows, truth.values.dtype)[index])


class Scalings(AbstractReports):
    """For cardinal rules of any width: each option in turn claimed `factor` times its value, or everything at once."""

    factors: tuple[float, ...] = eqx.field(static=True, default=(0.0, 0.5, 2.0, 10.0))

    def count(self, truth: Population) -> int:
        return len(self.factors) * (truth.num_options + 1)

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        row = jnp.asarray(truth.values)[agent]
        factor = jnp.asarray(self.factors, row.dtype)[index % len(self.factors)]
        option = index // len(self.factors)
        here = (jnp.arange(row.size) == option) | (option == row.size)
        return _say(truth, agent, jnp.where(here & jnp.isfinite(row), factor * row, row))


class Kinds(AbstractReports):
    """For rules that read types: a lie is another type; one's values stay what they are."""

    kinds: int = eqx.field(static=True)

    def count(self, truth: Population) -> int:
        del truth
        return self.kinds

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        kinds = jnp.asarray(truth.kind)
        return eqx.tree_at(lambda p: p.kind, truth, kinds.at[agent].set(index.astype(kinds.dtype)))


class Either(AbstractReports):
    """The union of several report spaces."""

    spaces: tuple[AbstractReports, ...]

    @property
    def label(self) -> str:
        return " + ".join(space.label for space in self.spaces)

    def count(self, truth: Population) -> int:
        return sum(space.count(truth) for space in self.spaces)

    def lie(
        self, truth: Population, agent: Int[Array | np.ndarray, ""], index: Int[Array | np.ndarray, ""]
    ) -> Population:
        start, out = 0, truth
        for space in self.spaces:
            size = space.count(truth)
            told = space.lie(truth, agent, jnp.clip(index - start, 0, size - 1))
            here = (index >= start) & (index < start + size)
            out = jax.tree.map(lambda a, b, here=here: jnp.where(here, a, b), told, out)
            start += size
        return out
