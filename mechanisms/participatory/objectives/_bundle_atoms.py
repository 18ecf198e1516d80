"""Atoms that look at bundles: what each is worth to every agent, and how it enters a linear program."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ....models._check import require
from ..solvers._program import Program
from ._objective import AbstractAtom, Curvature, PerAgent, arrays
from ._utility_atoms import Square, Weights, fits

#: Agents whose view of all bundles is computed in one pass.
BLOCK = 128


class Envy(AbstractAtom):
    """See `atoms.envy` and `atoms.network_envy`."""

    curvature: ClassVar[Curvature] = "convex"
    graph: Square | None

    @property
    def name(self) -> str:
        return "envy" if self.graph is None else "network_envy"

    def value(self, shares: Any, values: Any) -> PerAgent:
        x, a, xp = arrays(shares, values)
        self.check(x.shape[-2])
        graph = None if self.graph is None else xp.asarray(self.graph)
        return _envy_jax(x, a, graph) if xp is jnp else _envy(x, a, graph)

    def represent(self, program: Program, weights: Weights) -> None:
        n, m = program.values.shape
        sees = ~np.eye(n, dtype=bool) if self.graph is None else np.asarray(self.graph) > 0
        i, k = np.nonzero(sees & (weights != 0)[:, None])
        most = program.variables(n, 0.0, program.most)
        program.reward(most, weights)
        # The utility of agent i with the bundle of agent k, less her own, less her envy, is at most 0.
        bundle = program.shares.reshape(n, m)[k]
        columns = np.hstack([bundle, program.utilities[i, None], most[i, None]])
        entries = np.hstack([program.values[i], np.full((i.size, 2), -1.0)])
        program.at_most(np.arange(i.size)[:, None], columns, entries, np.zeros(i.size))

    def check(self, agents: int) -> None:
        fits(self.graph, "graph", agents)


class Adopters(AbstractAtom):
    """See `atoms.adopters`."""

    curvature: ClassVar[Curvature] = "nonconvex"
    search: bool

    @property
    def whole(self) -> bool:
        return self.search

    def value(self, shares: Any, values: Any) -> PerAgent:
        x, _, xp = arrays(shares, values)
        has = (x >= 1 - 1e-9).sum(-1).astype(x.dtype)
        return xp.broadcast_to(has.sum(-1, keepdims=True), has.shape) - has

    def represent(self, program: Program, weights: Weights) -> None:
        require(
            (weights >= 0).all(),
            "`objective` weighs the atom `adopters` by a negative number: the search would count items that are given "
            "whole as split. Weigh it >= 0.",
        )
        has = program.variables(program.shares.size, 0.0, 1.0, whole=True)
        program.reward(has, (weights.sum() - weights[program.agent]) / program.unit)
        rows = np.arange(has.size)
        program.at_most(rows, np.stack([has, program.shares]), [[1.0], [-1.0]], np.zeros(has.size))


def _envy(x: np.ndarray, a: np.ndarray, graph: np.ndarray | None) -> np.ndarray:
    held = (x * a).sum(-1)
    envy = np.zeros_like(held)
    for start in range(0, held.shape[-1], BLOCK):
        some = slice(start, start + BLOCK)
        other = a[..., some, :] @ np.swapaxes(x, -1, -2) - held[..., some, None]
        seen = other if graph is None else np.where(graph[some] > 0, other, 0.0)
        envy[..., some] = np.maximum(seen.max(-1), 0.0)
    return envy


def _envy_jax(x: Array, a: Array, graph: Array | None) -> Array:
    if x.ndim > 2:
        return jax.vmap(lambda x, a: _envy_jax(x, a, graph))(x, a)
    held = (x * a).sum(-1)

    def one(row):
        other = x @ row[0] - row[1]
        return jnp.max(other if graph is None else jnp.where(row[2] > 0, other, 0.0))

    rows = (a, held) if graph is None else (a, held, graph)
    return jnp.maximum(jax.lax.map(one, rows, batch_size=BLOCK), 0.0)
