"""Objectives of agents and their algebra: weighted sums of atoms, certified concave from the signs, or refused."""

import abc
import functools
import operator
from types import ModuleType
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....models._check import concrete, require
from .._check import ROUNDING, numbers, traced
from ..solvers._program import Program

Curvature = Literal["linear", "concave", "convex", "nonconvex"]
PerAgent = Float[Array | np.ndarray, "*batch agents"]


class AbstractObjective(eqx.Module):
    """What each agent wants of an allocation. Objectives add, subtract and scale, by numbers or one number an agent."""

    __array_ufunc__ = None  # a NumPy array on the left leaves the arithmetic to us

    @abc.abstractmethod
    def parts(self) -> "tuple[Term, ...]":
        """The weighted atoms that it is the sum of."""

    @abc.abstractmethod
    def value(self, shares: Any, values: Any) -> PerAgent:
        """What each agent makes of `shares` `[..., agents, items]`, in units of `values`: `[..., agents]`."""

    def __add__(self, other: Any) -> "Objective":
        return Objective(self.parts() + _objective(other, "+").parts())

    def __radd__(self, other: Any) -> "AbstractObjective":
        if isinstance(other, int | float) and other == 0:
            return self  # where `sum` starts
        return _objective(other, "+") + self

    def __sub__(self, other: Any) -> "Objective":
        return self + -1.0 * _objective(other, "-")

    def __rsub__(self, other: Any) -> "Objective":
        return _objective(other, "-") - self

    def __neg__(self) -> "Objective":
        return -1.0 * self

    def __mul__(self, weight: Any) -> "Objective":
        weight = _weight(weight)
        return Objective(tuple(Term(_product(weight, term.weight), term.atom) for term in self.parts()))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> "Objective":
        return self * (1.0 / _weight(divisor))


class AbstractAtom(AbstractObjective):
    """One objective h(x; i), with its curvature and how it enters a linear program.

    To add your own, give `curvature` and `value`, and `represent` if it is to be maximised.
    """

    #: As a function of shares, for every agent.
    curvature: eqx.AbstractClassVar[Curvature]

    @property
    def name(self) -> str:
        """As one writes it."""
        return "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__).strip("_")

    def parts(self) -> "tuple[Term, ...]":
        return (Term(np.ones(()), self),)

    @property
    def whole(self) -> bool:
        """Whether `represent` describes it by whole numbers, exactly, whatever its curvature."""
        return False

    def represent(self, program: Program, weights: Float[np.ndarray, " agents"]) -> None:
        """Add `sum_i weights_i h(x; i)` to what `program` maximises; weights have the sign that keeps it concave."""
        del program, weights
        raise ValueError(f"`objective` contains the atom `{self.name}`, which has no linear program (`represent`).")

    def pairs(self, weights: Float[np.ndarray, " agents"]) -> Float[np.ndarray, "agents agents"] | None:
        """For atoms of gaps, C of `sum_i weights_i h(x; i) = sum_ik C_ik (u_i - u_k)^+`. They are represented together."""
        del weights

    def check(self, agents: int) -> None:
        """Refuse data that are not for so many agents."""
        del agents


class Term(eqx.Module):
    """A weight, a number or one an agent, and an atom."""

    weight: Float[Array | np.ndarray, "*agents"]
    atom: AbstractAtom


class Objective(AbstractObjective):
    r"""A weighted sum of atoms, :math:`v_i(x) = \sum_h \theta_{ih} h(x; i)`; made by arithmetic on `atoms`.

    Source: Shirali, Finocchiaro and Abebe (2024), definitions 2.1 and 2.2 [P].
    """

    terms: tuple[Term, ...]

    def parts(self) -> tuple[Term, ...]:
        return self.terms

    def value(self, shares: Any, values: Any) -> PerAgent:
        worth = [_product(term.weight, term.atom.value(shares, values)) for term in self.terms]
        return functools.reduce(operator.add, worth)


def collect(
    objective: Any, agents: int, name: str = "objective"
) -> tuple[list[tuple[AbstractAtom, np.ndarray]], np.ndarray]:
    r"""Atoms with weights `[agents]`, equal ones merged, and C of all gaps; `ValueError` unless certified concave.

    Each atom must be concave with the sign of its weight, for every agent. Gaps between utilities are judged together, as
    :math:`C_{ik} (u_i - u_k)^+ + C_{ki} (u_k - u_i)^+` is concave if and only if :math:`C_{ik} + C_{ki} \le 0` [D]: altruists
    with alpha < 0 pass where `solve` takes them.
    """
    require(
        isinstance(objective, AbstractObjective),
        f"`{name}` must be made from `atoms`, such as atoms.own() - 0.3 * atoms.envy(); got {objective!r}.",
    )
    merged: list[tuple[AbstractAtom, np.ndarray, np.ndarray]] = []
    for term in objective.parts():
        weights = concrete(term.weight)
        if weights is None:
            raise ValueError(f"`{name}` has a weight that is traced by a JAX transform; this works on the host.")
        require(
            weights.shape in ((), (agents,)),
            f"`{name}` weighs `{term.atom.name}` by {weights.shape[0] if weights.ndim else 1} numbers; there are "
            f"{agents} agents.",
        )
        term.atom.check(agents)
        weights = np.broadcast_to(weights.astype(float), (agents,))
        for at, (atom, total, size) in enumerate(merged):
            if type(atom) is type(term.atom) and bool(eqx.tree_equal(atom, term.atom)):
                merged[at] = (atom, total + weights, size + np.abs(weights))
                break
        else:
            merged.append((term.atom, weights, np.abs(weights)))
    merged = [(atom, np.where(np.abs(w) > ROUNDING * size, w, 0.0), size) for atom, w, size in merged]
    plain, gaps, bent = [], np.zeros((agents, agents)), []
    for atom, weights, _ in merged:
        if (matrix := atom.pairs(weights)) is not None:
            gaps, bent = gaps + matrix, [*bent, (atom, weights)]
        elif weights.any():
            _certify(atom, weights, name)
            plain.append((atom, weights))
    _certify_gaps(gaps, bent, name)
    return plain, gaps


def _certify(atom: AbstractAtom, weights: np.ndarray, name: str) -> None:
    if atom.curvature == "linear" or atom.whole:
        return
    side = {"concave": -1.0, "convex": 1.0}.get(atom.curvature)
    wrong = weights != 0 if side is None else side * weights > 0
    if not wrong.any():
        return
    i = int(np.argmax(wrong))
    if atom.curvature not in ("concave", "convex"):
        raise ValueError(
            f"`{name}` cannot be certified concave: the atom `{atom.name}` is {atom.curvature}, whatever its weight. "
            "Leave it out; it can still be evaluated."
        )
    sign, cure = ("negative", ">= 0") if atom.curvature == "concave" else ("positive", "<= 0")
    raise ValueError(
        f"`{name}` cannot be certified concave: the atom `{atom.name}` is {atom.curvature} and has a {sign} weight, "
        f"{weights[i]:g} for agent {i}. Weigh it {cure}."
    )


def _certify_gaps(gaps: np.ndarray, bent: list[tuple[AbstractAtom, np.ndarray]], name: str) -> None:
    both = gaps + gaps.T
    size = np.abs(gaps) + np.abs(gaps.T)
    if not (wrong := both > ROUNDING * size).any():
        return
    i, k = (int(x) for x in np.argwhere(wrong)[0])
    names = " and ".join(f"`{told}`" for told in dict.fromkeys(a.name for a, w in bent if (w > 0).any()))
    raise ValueError(
        f"`{name}` cannot be certified concave: the atom {names} is convex and has a positive weight that others do "
        f"not make up for, at agents ({i}, {k}). Weigh it <= 0."
    )


def arrays(shares: Any, values: Any, *others: Any) -> tuple[Any, Any, ModuleType]:
    """Shares and values in one shape, and who computes: NumPy in float64, or JAX in what came where a number is traced."""
    if traced(shares, values, *others):
        x, a, xp = jnp.asarray(shares), jnp.asarray(values), jnp
    else:
        x, a, xp = numbers(shares, "shares"), numbers(values, "values"), np
    require(
        x.ndim >= 2 and a.ndim >= 2 and x.shape[-2:] == a.shape[-2:],
        f"`shares` and `values` must be [..., agents, items] alike; got shapes {x.shape} and {a.shape}.",
    )
    shape = np.broadcast_shapes(x.shape, a.shape)
    return xp.broadcast_to(x, shape), xp.broadcast_to(a, shape), xp


def _product(weight: Any, other: Any) -> Any:
    """Elementwise, a number or `[agents]` each, without promoting ranks."""
    shape = np.broadcast_shapes(np.shape(weight), np.shape(other))
    xp = jnp if traced(weight, other) else np
    return xp.asarray(xp.broadcast_to(weight, shape) * xp.broadcast_to(other, shape))


def _weight(weight: Any) -> Any:
    if isinstance(weight, AbstractObjective):
        raise ValueError("`objective` multiplies two atoms; only weights may multiply: numbers, or one an agent.")
    if traced(weight):
        return jnp.asarray(weight)
    weight = numbers(weight, "weight")
    require(
        weight.ndim <= 1, f"`weight` must be a number or have one entry an agent, [agents]; got shape {weight.shape}."
    )
    return weight


def _objective(other: Any, sign: str) -> AbstractObjective:
    require(
        isinstance(other, AbstractObjective),
        f"`objective` can only {'add' if sign == '+' else 'subtract'} what is made from `atoms`; got {other!r}.",
    )
    return other
