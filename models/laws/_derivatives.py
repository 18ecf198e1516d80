r"""Functions of a law whose derivatives are the same for every law, written once.

With :math:`x = Q(u)`, upper tails obey the formula of Rockafellar and Uryasev ("Optimization of conditional
value-at-risk", Journal of Risk 2, 2000, theorem 1), here for the upper tail of a value:

.. math:: T(u) = \int_u^1 Q = \min_x \{ x (1 - u) + E (X - x)^+ \},

attained at Q(u), atoms or not. Hence, by the envelope theorem, no derivative of Q enters that of T off the atoms:
:math:`dT = -Q(u)\,du + \partial_\theta E(X - x)^+ d\theta`. Where a quantile is a root, its derivative is implicit:
:math:`dQ = (du - \partial_\theta F\,d\theta)/f`. Rules are plain JAX, so they can be differentiated again.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def _times(coefficient: Scalar, tangent: Any) -> Scalar:
    """Product, with a tangent known to be zero beating an infinite coefficient."""
    return jnp.zeros_like(coefficient) if isinstance(tangent, SymbolicZero) else coefficient * tangent


def _along(function: Any, law: Any, direction: Any) -> Any:
    """Derivative of `function(law)` along `direction`, whose leaves may be symbolic zeros."""
    if all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(direction)):
        return jax.tree.map(jnp.zeros_like, jax.eval_shape(function, law))
    dense = jax.tree.map(lambda p, t: jnp.zeros_like(p) if isinstance(t, SymbolicZero) else t, law, direction)
    return jax.jvp(function, (law,), (dense,))[1]


def cdf(law: Any, x: Scalar) -> Scalar:
    """P(X ≤ x)."""
    return law._tails(x)[0]


def survival(law: Any, x: Scalar) -> Scalar:
    """P(X ≥ x)."""
    return law._tails(x)[1]


def density(law: Any, x: Scalar) -> Scalar:
    """Density of the part without atoms."""
    return law._density(x)


def expected_max(law: Any, n: Scalar) -> Scalar:
    """E of the largest of n draws."""
    return law._expected_max(n)


def quantile(law: Any, u: Scalar) -> Scalar:
    """Q(u), NaN outside [0, 1]."""
    inside = (u >= 0) & (u <= 1)
    return jnp.where(inside, law._quantile(jnp.where(inside, u, 0.5)), jnp.nan)


@jax.custom_jvp
def expected_excess(law: Any, x: Scalar) -> Scalar:
    """E max(X − x, 0); its slope in x is −P(X ≥ x)."""
    return law._excess(x)


def _excess_rule(primals, tangents):
    (law, x), (law_dot, x_dot) = primals, tangents
    slope = _along(lambda law: law._excess(x), law, law_dot)
    return expected_excess(law, x), slope + _times(-law._tails(x)[1], x_dot)


expected_excess.defjvp(_excess_rule, symbolic_zeros=True)


def tail_integral(law: Any, u: Scalar) -> Scalar:
    """T(u), NaN outside [0, 1]."""
    inside = (u >= 0) & (u <= 1)
    return jnp.where(inside, law._tail_integral(jnp.where(inside, u, 0.5)), jnp.nan)


@jax.custom_jvp
def envelope_tail_integral(law: Any, u: Scalar) -> Scalar:
    """T(u) of a law whose quantile is a root, u in [0, 1]."""
    x = law._quantile(u)
    return jnp.where(u == 1, 0.0, x * (1 - u) + law._excess(x))


def _tail_rule(primals, tangents):
    (law, u), (law_dot, u_dot) = primals, tangents
    x = law._quantile(u)
    slope = _along(lambda law: law._excess(x), law, law_dot)
    if law.atoms.size:
        # The excess over x does not see an atom at x, but T holds the part of it that is above u.
        on_atom, atom_dot = _atom(law, law_dot, x, u)
        slope = slope + jnp.where(on_atom, (law._tails(x)[0] - u) * atom_dot, 0.0)
    return envelope_tail_integral(law, u), slope + _times(-x, u_dot)


envelope_tail_integral.defjvp(_tail_rule, symbolic_zeros=True)


def _atom(law: Any, law_dot: Any, x: Scalar, u: Scalar) -> tuple[Array, Scalar]:
    """Does the quantile x of u sit on an atom, and how does that atom move along `law_dot`?"""
    atoms = jnp.sort(law.atoms)
    nearest = jnp.minimum(jnp.searchsorted(atoms, x), atoms.size - 1)
    below, above = law._tails(x)
    on_atom = (atoms[nearest] == x) & (1 - above < u) & (u <= below)
    return on_atom, _along(lambda law: jnp.sort(law.atoms)[nearest], law, law_dot)


@jax.custom_jvp
def implicit_quantile(law: Any, u: Scalar) -> Scalar:
    """Q(u) found by `law._solve(u)`, u in [0, 1], with implicit derivatives."""
    return law._solve(u)


def _implicit_rule(primals, tangents):
    (law, u), (law_dot, u_dot) = primals, tangents
    x = implicit_quantile(law, u)
    f = law._density(x)
    # At u = 0 or 1 the quantile is an end of the support whatever the density there, and on an atom it moves with it.
    low_dot, high_dot = _along(lambda law: law._support(), law, law_dot)
    given, given_dot, u_slope = (u == 0) | (u == 1), jnp.where(u == 0, low_dot, high_dot), 1 / f
    if law.atoms.size:
        on_atom, atom_dot = _atom(law, law_dot, x, u)
        given_dot = jnp.where(on_atom & ~given, atom_dot, given_dot)
        given, u_slope = given | on_atom, jnp.where(on_atom, 0.0, 1 / jnp.where(on_atom, 1.0, f))
    below, above = law._tails(x)
    below_dot, above_dot = _along(lambda law: law._tails(x), law, law_dot)
    inner = jnp.where(below < above, -below_dot, above_dot) / jnp.where(given, 1.0, f)  # the smaller tail is precise
    return x, jnp.where(given, given_dot, inner) + _times(u_slope, u_dot)


implicit_quantile.defjvp(_implicit_rule, symbolic_zeros=True)
