"""Laws made of atoms alone: `Discrete` with stated probabilities, `Empirical` with equal ones."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._check import as_array, require
from ._law import AbstractLaw
from ._regular import Strips, strip
from ._validate import numbers, probabilities


class _Steps(eqx.Module):
    """Atoms in ascending order, their probabilities, P(X ≤ atom) and P(X ≥ atom)."""

    atoms: Float[Array, " atoms"]
    probs: Float[Array, " atoms"]
    below: Float[Array, " atoms"]
    above: Float[Array, " atoms"]


def _first(sorted_values: Array, x: Array, side: str) -> Array:
    return jnp.searchsorted(lax.stop_gradient(sorted_values), lax.stop_gradient(x), side=side)


def _occurring(probs: Array) -> tuple[Array, Array]:
    """Index of the first and of the last atom that occurs."""
    some = probs > 0
    index = jnp.arange(some.size, dtype=jnp.int32)
    return jnp.min(jnp.where(some, index, some.size)), jnp.max(jnp.where(some, index, 0))


def _from_above(v: Array) -> Array:
    return jnp.cumsum(v[::-1])[::-1]


def _and_zero(v: Array) -> Array:
    return jnp.concatenate([v, jnp.zeros_like(v[:1])])


class AbstractAtomic(AbstractLaw):
    """A law of atoms: every formula is a finite sum, exact up to rounding; equal atoms add up and zeros stay zero."""

    @abc.abstractmethod
    def _steps(self) -> _Steps:
        """The law as steps of its cdf."""

    def _at_level(self, u: Float[Array, ""]) -> Array:
        """Index of the least atom with P(X ≤ atom) ≥ u, among atoms that occur."""
        s = self._steps()
        first, last = _occurring(s.probs)
        # Rounding may leave the last level short of u = 1, and u = 0 lies below atoms that never occur.
        return jnp.clip(_first(s.below, u, "left").astype(jnp.int32), first, last)

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return self._steps().atoms[self._at_level(u)]

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        s, k = self._steps(), self._at_level(u)
        worth = _and_zero(_from_above(s.probs * s.atoms))
        return s.atoms[k] * (s.below[k] - u) + worth[k + 1]

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        s = self._steps()
        below = jnp.concatenate([jnp.zeros_like(s.below[:1]), s.below])[_first(s.atoms, x, "right")]
        return below, _and_zero(s.above)[_first(s.atoms, x, "left")]

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.zeros_like(x)

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        s = self._steps()
        k = _first(s.atoms, x, "right")
        worth, above = _and_zero(_from_above(s.probs * s.atoms))[k], _and_zero(s.above)[k]
        return worth - jnp.where(above == 0, 0.0, x * above)

    def _mean(self) -> Float[Array, ""]:
        s = self._steps()
        return jnp.sum(s.probs * s.atoms)

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        s = self._steps()
        above, below = s.above[1:], s.below[:-1]
        rare = above < 0.5  # there 1 − below^n by the upper tail, which keeps its precision for large n
        power = jnp.where(rare, 0.5, below) ** n
        height = jnp.where(rare, -jnp.expm1(n * jnp.log1p(-jnp.where(rare, above, 0.5))), 1 - power)
        return s.atoms[0] + jnp.sum(jnp.diff(s.atoms) * height)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        s = self._steps()
        first, last = _occurring(s.probs)
        return s.atoms[first], s.atoms[last]

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.zeros_like(self._steps().atoms[:0])

    def _valid(self) -> bool:
        return False

    def _strips(self) -> Strips:
        return strip(*self._support(), jnp.inf, jnp.inf)


class Discrete(AbstractAtomic):
    r"""Finitely many values, each with its probability.

    .. math:: P(X \le x) = \sum_{k : a_k \le x} p_k, \quad P(X \ge x) = \sum_{k : a_k \ge x} p_k

    Atoms keep the order and the digits they are given in; probability 0 is allowed and never drawn. Probabilities enter
    `cdf`, `survival`, `mean`, `tail_integral` and `expected_max` linearly or as powers, so these have exact gradients in
    them; a drawn `sample` has none. Two equal atoms are refused: add their probabilities, or use `Empirical`. The level
    of the k-th smallest atom is the floating sum of k probabilities: ask `quantile` at levels it computed itself.

    Source: Blanchard and Jaillet, "Near-Optimal Mechanisms for Resource Allocation Without Monetary Transfers": their F̄
    is `survival`, P(X ≥ x) and not P(X > x) [P].

    Args:
        atoms: `[atoms]`, distinct values, in any order.
        probs: `[atoms]`, their probabilities.

    Raises:
        ValueError: lengths differ, an atom is repeated or not finite, or `probs` is no probability vector.

    Example:
        >>> law = Discrete([0.0, 1 / 6, 5 / 6], [0.5, 0.25, 0.25])
        >>> float(law.cdf(0.0)), float(law.survival(0.0)), float(law.quantile(0.5)), float(law.mean)
        (0.5, 1.0, 0.0, 0.25)
    """

    atoms: Float[Array | np.ndarray, "*draws atoms"] = eqx.field(converter=as_array)
    probs: Float[Array | np.ndarray, "*draws atoms"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 1

    def __check_init__(self):
        atoms = numbers("atoms", self.atoms)
        probabilities("probs", self.probs)
        require(
            np.shape(self.atoms)[-1:] == np.shape(self.probs)[-1:],
            f"`probs` needs one entry an atom: `atoms` is {np.shape(self.atoms)}, `probs` is {np.shape(self.probs)}.",
        )
        if atoms is not None:
            ordered = np.sort(atoms, -1)
            twice = ordered[..., 1:][np.diff(ordered, axis=-1) == 0]
            require(twice.size == 0, f"`atoms` repeats {twice[:1]}; give each value once and add its probabilities.")

    def _steps(self) -> _Steps:
        order = jnp.argsort(self.atoms)
        atoms, probs = self.atoms[order], self.probs[order]
        below, above = jnp.cumsum(probs), _from_above(probs)
        # A parallel sum may round a later level below an earlier one, which would break the search.
        return _Steps(atoms, probs, below + lax.stop_gradient(lax.cummax(below) - below), above)


class Empirical(AbstractAtomic):
    r"""The law of a sample: each observed value with probability one over the sample size, ties and all.

    .. math:: Q(u) = x_{(\lceil u k \rceil)}, \quad P(X \le x) = \#\{i : x_i \le x\} / k

    Gradients in the samples follow the order statistics. It has atoms, so no theorem for continuous laws applies
    (`is_valid` is False), and u-levels are multiples of 1/k: smooth or fit a law if k is small.

    Source: Halpern, Psomas and Zhang, "Truthful Fair Division under Stochastic Valuations": what is known of a law that
    is only sampled; put into a rule for a known law it gives the plug-in rule [X].

    Args:
        samples: `[samples]`, observed values in any order; copies are ties.

    Raises:
        ValueError: there is no sample, or one is not finite.

    Example:
        >>> law = Empirical([3, 1, 2, 2])
        >>> float(law.quantile(0.75)), float(law.cdf(2)), float(law.survival(2)), float(law.expected_max(2))
        (2.0, 0.75, 0.75, 2.375)
    """

    samples: Float[Array | np.ndarray, "*draws samples"] = eqx.field(converter=as_array)
    _rank: ClassVar[int] = 1

    def __check_init__(self):
        numbers("samples", self.samples)
        shape = np.shape(self.samples)
        require(len(shape) >= 1 and shape[-1] >= 1, f"`samples` must hold at least one value, got shape {shape}.")

    @property
    def atoms(self) -> Float[Array | np.ndarray, " samples"]:
        """The samples, in the order given."""
        return self.samples

    def _steps(self) -> _Steps:
        k = self.samples.size
        level = lambda count: jnp.asarray(count / k, self.samples.dtype)  # exact, where a running sum of 1/k is not
        return _Steps(jnp.sort(self.samples), level(np.ones(k)), level(np.arange(1, k + 1)), level(np.arange(k, 0, -1)))
