"""The noun Law: a distribution of one value, with all that a mechanism asks of it.

How the pieces fit. A law writes its formulas for **one number**, in methods that start with an underscore; the public
methods here do the rest once for all laws: they settle the dtype, map the formula over an array, compile it, and give
the functions of `_derivatives` their gradients. What a law with no closed form needs is beside it: `_derivatives`
(implicit quantiles), `_quadrature` (expected maxima), `_incomplete_beta`.
"""

import abc
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._check import concrete
from . import _derivatives as derivatives
from ._regular import Strips, is_regular

Numbers = ArrayLike | list | tuple
Shape = int | np.integer | tuple | list


@functools.partial(jax.jit, static_argnums=0)
def _map(formula: Callable, law: "AbstractLaw", x: Array) -> Array:
    one = lambda v: jnp.where(jnp.isnan(v), v, formula(law, v))
    return jax.vmap(one)(x.ravel()).reshape(x.shape) if x.ndim else one(x)


@functools.partial(jax.jit, static_argnums=0)
def _ask(name: str, law: "AbstractLaw") -> Any:
    return getattr(law, name)()


class AbstractLaw(eqx.Module):
    r"""A distribution of values: one agent's value for one option, in the units of the values.

    Write :math:`F(x) = P(X \le x)`, :math:`Q(u) = \inf\{x : F(x) \ge u\}`. A law is a pytree in its parameters: every
    method below can be differentiated in them, in its argument, or both, wherever the derivative exists; `jit` and
    `vmap` it freely. Methods work elementwise and return an array of the shape of their argument, in the widest floating
    dtype among parameters and argument (Python numbers as parameters count as float64, which JAX reads as float32
    unless 64 bit is on).

    A law whose leaves carry a leading axis `draws` is a posterior of laws: `jax.vmap(lambda law: law.mean)(posterior)`.

    Subclasses are final and write scalar formulas; see `Uniform` for the shortest.
    """

    atoms: eqx.AbstractVar[Array | np.ndarray]
    _rank: eqx.AbstractClassVar[int]

    # What a law writes: formulas for one number, parameters and argument already of one dtype.

    @abc.abstractmethod
    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        """Q(u) for u in [0, 1]; Q(0) is the lower end of the support."""

    @abc.abstractmethod
    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """P(X ≤ x) and P(X ≥ x), each precise where it is small.

        At a kink the derivatives are those from inside the support.
        """

    @abc.abstractmethod
    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """Density of the part of the law that has no atoms."""

    @abc.abstractmethod
    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """E max(X − x, 0); its derivative in x is not used. An atom at x counts as not above it."""

    @abc.abstractmethod
    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        """T(u) for u in [0, 1]."""

    @abc.abstractmethod
    def _mean(self) -> Float[Array, ""]:
        """E X."""

    @abc.abstractmethod
    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        """E of the largest of n draws."""

    @abc.abstractmethod
    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Least and greatest value."""

    @abc.abstractmethod
    def _kinks(self) -> Float[Array, " kinks"]:
        """Where the cdf is not smooth, atoms apart, in any order: ends of the support, knots."""

    @abc.abstractmethod
    def _valid(self) -> Bool[Array, ""] | bool:
        """Is the law nonnegative, bounded, without atoms and of positive variance?"""

    @abc.abstractmethod
    def _strips(self) -> Strips:
        """Where the density lives, and whether it stays positive and finite at the ends there."""

    def _regular(self) -> Bool[Array, ""]:
        return is_regular(self._strips())

    # What everyone may ask.

    def quantile(self, u: Numbers) -> Float[Array, "..."]:
        r"""Q(u), the least x with :math:`P(X \le x) \ge u`; NaN for u outside [0, 1].

        Gradients are implicit, :math:`dQ = (du - \partial_\theta F\,d\theta)/f`; on an atom they are the atom's own.
        """
        return self._elementwise(derivatives.quantile, "u", u)

    def cdf(self, x: Numbers) -> Float[Array, "..."]:
        """P(X ≤ x): right-continuous, an atom at x counts."""
        return self._elementwise(derivatives.cdf, "x", x)

    def survival(self, x: Numbers) -> Float[Array, "..."]:
        """P(X ≥ x): left-continuous, an atom at x counts (the F̄ of promised utilities)."""
        return self._elementwise(derivatives.survival, "x", x)

    def density(self, x: Numbers) -> Float[Array, "..."]:
        """Density at x of the part without atoms: 0 for a law of atoms only, and outside the support."""
        return self._elementwise(derivatives.density, "x", x)

    def tail_integral(self, u: Numbers) -> Float[Array, "..."]:
        r"""T(u) = :math:`\int_u^1 Q`, value per draw held by the upper 1 − u of the quantiles; T(0) is the mean."""
        return self._elementwise(derivatives.tail_integral, "u", u)

    def expected_excess(self, x: Numbers) -> Float[Array, "..."]:
        r"""Mean of max(X − x, 0), which is T(F(x)) − x (1 − F(x)); E max(X, x) is x more."""
        return self._elementwise(derivatives.expected_excess, "x", x)

    def expected_max(self, n: int | Numbers) -> Float[Array, "..."]:
        r"""E of the largest of n independent draws, :math:`\int_0^1 n u^{n-1} Q(u)\,du`.

        Raises:
            ValueError: `n` is known and is not a whole number of at least 1.
        """
        known = concrete(n)
        if known is not None and not np.all((known >= 1) & (known == np.floor(known))):
            raise ValueError(f"`n` must be a whole number of draws, at least 1; got {n}.")
        return self._elementwise(derivatives.expected_max, "n", n)

    def sample(self, shape: Shape = (), *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Independent draws, each the quantile of a uniform number.

        So the gradient in the parameters is pathwise, and laws that share a key share their luck: draws are monotone in
        u, whatever the law. A hard draw from atoms says nothing about their probabilities (gradient 0): there,
        differentiate `mean`, `tail_integral` or `expected_max`.
        """
        dtype = self._dtype()
        # 0 is left out: it would be the lower end of the support, infinite for some laws.
        return self.quantile(
            jax.random.uniform(
                key,
                (shape,) if isinstance(shape, int | np.integer) else tuple(shape),
                dtype,
                minval=jnp.finfo(dtype).tiny,
            )
        )

    @property
    def mean(self) -> Float[Array, ""]:
        """E X, in units of the values."""
        return _ask("_mean", self._cast(self._dtype()))

    @property
    def support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Least and greatest value that has any probability near it."""
        return _ask("_support", self._cast(self._dtype()))

    @property
    def is_valid(self) -> bool | Bool[Array, ""]:
        """Is the law valid in the sense of the paper's section 2 [P]: nonnegative, bounded, continuous, not constant?

        A plain bool where the parameters are known. Formulas evaluate either way; theorems are claimed only if True.
        """
        return self._judge("_valid")

    @property
    def is_regular(self) -> bool | Bool[Array, ""]:
        """Is the support one bounded interval, with a density between two positive bounds on it?

        The condition on non-identical agents of the paper's appendix A [P]: `Power(2.0)` fails it, since its density
        falls to 0, `Power(0.5)`, since it grows without bound, and so does a mixture with a gap. Near-zero bounds count:
        a density that underflows is positive. A plain bool where the parameters are known.

        Source: Bai and Gölz, "Envy-free and Pareto-optimal allocations for agents with asymmetric random valuations",
        IJCAI 2022; Halpern, Psomas and Zhang, "Truthful Fair Division under Stochastic Valuations", appendix A.
        """
        return self._judge("_regular")

    def _judge(self, name: str) -> bool | Bool[Array, ""]:
        law = self._cast(self._dtype())
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            return jnp.asarray(getattr(law, name)())
        with jax.ensure_compile_time_eval():
            return bool(getattr(self._cast(self._dtype()), name)())

    # How an array becomes scalars of one dtype.

    def _elementwise(self, formula: Callable, name: str, x: Any) -> Array:
        x = x if hasattr(x, "dtype") or isinstance(x, bool | int | float) else np.asarray(x)
        kind = getattr(x, "dtype", np.dtype(float))
        if not any(jnp.issubdtype(kind, real) for real in (jnp.floating, jnp.integer, jnp.bool_)):
            raise ValueError(f"`{name}` must be real numbers, got {x!r}.")
        dtype = self._dtype(x)
        return _map(formula, self._cast(dtype), jnp.asarray(x, dtype))

    def _dtype(self, *others: Any) -> Any:
        floating = [
            jax.dtypes.canonicalize_dtype(leaf.dtype)
            for leaf in (*jax.tree.leaves(self), *others)
            if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        with jax.numpy_dtype_promotion("standard"):
            return jnp.result_type(*floating)

    def _cast(self, dtype: Any) -> "AbstractLaw":
        self._refuse_batch()
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self)

    def _refuse_batch(self) -> None:
        for name, value in vars(self).items():
            for law in value if isinstance(value, tuple) else ():
                law._refuse_batch()
            if hasattr(value, "shape") and len(value.shape) != self._rank:
                raise ValueError(
                    f"`{name}` has shape {value.shape}: this is a batch of laws, one a draw. "
                    f"Map over it: `jax.vmap(lambda law: law.mean)(laws)`."
                )
