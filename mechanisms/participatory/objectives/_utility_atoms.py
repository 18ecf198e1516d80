"""Atoms that are functions of utilities: what each is worth to every agent, and how it enters a linear program."""

from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Float

from ....models._check import require
from ..measures import inequality
from ..solvers._program import Program
from ._objective import AbstractAtom, Curvature, PerAgent, arrays

Weights = Float[np.ndarray, " agents"]
Square = Float[Array | np.ndarray, "agents agents"]


class Own(AbstractAtom):
    """See `atoms.own`."""

    curvature: ClassVar[Curvature] = "linear"

    def value(self, shares: Any, values: Any) -> PerAgent:
        return _utilities(shares, values)[0]

    def represent(self, program: Program, weights: Weights) -> None:
        program.reward(program.utilities, weights)


class Average(AbstractAtom):
    """See `atoms.average`."""

    curvature: ClassVar[Curvature] = "linear"

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return xp.broadcast_to(u.mean(-1, keepdims=True), u.shape)

    def represent(self, program: Program, weights: Weights) -> None:
        program.reward(program.utilities, np.full(weights.size, weights.mean()))


class Total(AbstractAtom):
    """See `atoms.total`."""

    curvature: ClassVar[Curvature] = "linear"

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return xp.broadcast_to(u.sum(-1, keepdims=True), u.shape)

    def represent(self, program: Program, weights: Weights) -> None:
        program.reward(program.utilities, np.full(weights.size, weights.sum()))


class Externality(AbstractAtom):
    """See `atoms.externality`."""

    curvature: ClassVar[Curvature] = "linear"
    weights: Square

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        self.check(u.shape[-1])
        return xp.einsum("ik,...k->...i", xp.asarray(self.weights), u)

    def represent(self, program: Program, weights: Weights) -> None:
        program.reward(program.utilities, weights @ np.asarray(self.weights))

    def check(self, agents: int) -> None:
        fits(self.weights, "weights", agents)


class WorstOff(AbstractAtom):
    """See `atoms.worst_off`."""

    curvature: ClassVar[Curvature] = "concave"

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return xp.broadcast_to(u.min(-1, keepdims=True), u.shape)

    def represent(self, program: Program, weights: Weights) -> None:
        n = weights.size
        least = program.variables(1, 0.0, program.most.min())
        program.reward(least, [weights.sum()])
        rows = np.arange(n)
        program.at_most(
            np.tile(rows, 2),
            np.append(np.repeat(least, n), program.utilities),
            np.repeat([1.0, -1.0], n),
            np.zeros(n),
        )


class Disadvantage(AbstractAtom):
    """See `atoms.disadvantage`."""

    curvature: ClassVar[Curvature] = "convex"
    graph: Square | None

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return inequality(u).disadvantage if self.graph is None else _gaps(u, self.graph, -1.0, xp)

    def pairs(self, weights: Weights) -> Float[np.ndarray, "agents agents"]:
        return (weights[:, None] * _neighbours(self.graph, weights.size)).T

    def check(self, agents: int) -> None:
        fits(self.graph, "graph", agents)


class Advantage(AbstractAtom):
    """See `atoms.advantage`."""

    curvature: ClassVar[Curvature] = "convex"
    graph: Square | None

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return inequality(u).advantage if self.graph is None else _gaps(u, self.graph, 1.0, xp)

    def pairs(self, weights: Weights) -> Float[np.ndarray, "agents agents"]:
        return weights[:, None] * _neighbours(self.graph, weights.size)

    def check(self, agents: int) -> None:
        fits(self.graph, "graph", agents)


class Erc(AbstractAtom):
    """See `atoms.erc`."""

    curvature: ClassVar[Curvature] = "convex"

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        return xp.abs(u - xp.broadcast_to(u.mean(-1, keepdims=True), u.shape))

    def represent(self, program: Program, weights: Weights) -> None:
        n = weights.size
        mean = program.variables(1, 0.0, program.most.mean())
        apart = program.variables(n, 0.0, program.most.max())
        program.reward(apart, weights)
        columns = np.append(mean, program.utilities)
        for side in (1.0, -1.0):
            program.at_most(0, columns, side * np.append(1.0, np.full(n, -1 / n)), np.zeros(1))
            three = np.stack([program.utilities, np.repeat(mean, n), apart])
            program.at_most(np.arange(n), three, [[side], [-side], [-1.0]], np.zeros(n))


class ErcShare(AbstractAtom):
    """See `atoms.erc`."""

    curvature: ClassVar[Curvature] = "nonconvex"

    @property
    def name(self) -> str:
        return "erc('share')"

    def value(self, shares: Any, values: Any) -> PerAgent:
        u, xp = _utilities(shares, values)
        total = u.sum(-1, keepdims=True)
        share = u / xp.broadcast_to(xp.where(total > 0, total, 1.0), u.shape)
        return xp.where(xp.broadcast_to(total > 0, u.shape), (share - 1 / u.shape[-1]) ** 2, 0.0)


def _utilities(shares: Any, values: Any) -> tuple[Any, ModuleType]:
    x, a, xp = arrays(shares, values)
    return (x * a).sum(-1), xp


def _neighbours(graph: Any, agents: int) -> np.ndarray:
    """Rows of weights that average over neighbours; 0 without any."""
    graph = np.ones((agents, agents)) - np.eye(agents) if graph is None else np.asarray(graph)
    return graph / np.maximum(graph.sum(1, keepdims=True), 1.0)


def _gaps(u: Any, graph: Any, side: float, xp: ModuleType) -> Any:
    """Mean over neighbours k of `(side * (u_i - u_k))^+`; the graph is as large as what it takes."""
    fits(graph, "graph", u.shape[-1])
    shape = (*u.shape, u.shape[-1])
    gap = side * (xp.broadcast_to(u[..., :, None], shape) - xp.broadcast_to(u[..., None, :], shape))
    return xp.einsum("ik,...ik->...i", xp.asarray(_neighbours(graph, u.shape[-1])), xp.maximum(gap, 0.0))


def fits(matrix: Any, name: str, agents: int) -> None:
    require(
        matrix is None or matrix.shape == (agents, agents),
        f"`{name}` is {None if matrix is None else matrix.shape}, but there are {agents} agents.",
    )
