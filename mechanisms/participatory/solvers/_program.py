"""A linear program over shares, built row by row and solved by HiGHS, with a bound that does not rely on the solver."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .solution import feasible

# Tolerances of HiGHS that are tried in turn; the first is the least that it accepts.
_TOLERANCES = (1e-10, 1e-9, 1e-7)
#: What is no more than this is 0 by rounding, for duals and reduced costs of order 1.
SLACK = 1e-9


class Optimum(NamedTuple):
    """What `Program.solve` found.

    Attributes:
        shares: `[agents, items]`, within caps and totals.
        duals: of the rows added by `at_most`, one array (>= 0) a call; none after a search for whole numbers.
        reduced: what a unit of each variable is worth beyond its rows; None after a search.
        bound: upper bound on the maximum, from the duals by weak duality; of the search tree where some are whole.
        point: all variables.
    """

    shares: Float[np.ndarray, "agents items"]
    duals: list[Float[np.ndarray, " rows"]]
    reduced: Float[np.ndarray, " variables"] | None
    bound: float
    point: Float[np.ndarray, " variables"]


class Program:
    """Maximise a linear function of shares, utilities and whatever is added, over the feasible shares.

    Every variable has finite bounds. So any duals, those of a solver that stopped early or rounded included, bound the
    maximum: what the reduced costs leave over is charged at the better end of each variable.

    Args:
        values: `[agents, items]`, best of order 1, as the solver's tolerances are absolute.
        caps: `[items]`.
        disposal: "forbidden" or "free".
        members: `[agents]`, how many identical agents a row stands for.
        support: `[agents, items]` bool, the shares that may be positive; None is all.
        unit: what 1 stands for, in the unit of the user's values; for atoms that have no unit.

    Attributes:
        utilities: `[agents]`, the columns of utilities.
        most: `[agents]`, the largest utility of each.
    """

    def __init__(
        self, values: Any, caps: Any, disposal: str, members: Any = None, support: Any = None, unit: float = 1.0
    ):
        n, m = values.shape
        self.unit = unit
        self.values, self.caps, self.disposal = values, np.asarray(caps, float), disposal
        self.members = np.ones(n) if members is None else np.asarray(members, float)
        self.agent, self.item = np.nonzero(np.ones((n, m), bool) if support is None else support)
        self._lower: list[np.ndarray] = []
        self._upper: list[np.ndarray] = []
        self._reward: list[np.ndarray] = []
        self._whole: list[np.ndarray] = []
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._bends: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = []
        self._columns = 0
        self.shares = self.variables(self.agent.size, 0.0, self.caps[self.item])
        self.most = values @ self.caps
        self.utilities = self.variables(n, 0.0, self.most)
        if disposal == "free":
            self.at_most(*self._totals())

    def variables(self, size: int, lower: Any, upper: Any, whole: bool = False) -> Int[np.ndarray, " size"]:
        """`size` new columns with these finite bounds; whole numbers if `whole`."""
        self._lower.append(np.broadcast_to(np.asarray(lower, float), size))
        self._upper.append(np.broadcast_to(np.asarray(upper, float), size))
        self._reward.append(np.zeros(size))
        self._whole.append(np.full(size, whole))
        self._columns += size
        return np.arange(self._columns - size, self._columns)

    def reward(self, columns: Any, amounts: Any) -> None:
        """Add `amounts` to what a unit of `columns` is worth; a column may come twice."""
        total = np.concatenate(self._reward)
        np.add.at(total, np.asarray(columns), np.asarray(amounts, float))
        self._reward = [total]

    def at_most(self, rows: Any, columns: Any, entries: Any, limits: Any) -> int:
        """Rows `sum_c entry * variable <= limit`, as triplets of one length; gives the place of their duals."""
        rows, columns, entries = np.broadcast_arrays(rows, columns, np.asarray(entries, float))
        self._rows.append((rows.ravel(), columns.ravel(), entries.ravel(), np.asarray(limits, float)))
        return len(self._rows) - 1

    def hold(self, optimum: Optimum) -> None:
        """Keep to the optima of what was maximised so far, and start anew with nothing to maximise.

        By complementary slackness: variables with a reduced cost stay at their bound, rows with a dual stay tight. That is the
        face of all optima, whichever dual the solver found. After a search the value is held instead, up to `SLACK`.
        """
        reward = np.concatenate(self._reward)
        self._reward, self._bends = [np.zeros_like(reward)], []
        if optimum.reduced is None:
            columns = np.flatnonzero(reward)
            self.at_most(0, columns, -reward[columns], np.array([SLACK * abs(optimum.bound) - optimum.bound]))
            return
        lower, upper = np.concatenate(self._lower), np.concatenate(self._upper)
        self._lower = [np.where(optimum.reduced > SLACK, upper, lower)]
        self._upper = [np.where(optimum.reduced < -SLACK, lower, upper)]
        for (rows, columns, entries, limits), dual in zip(list(self._rows), optimum.duals, strict=True):
            tight = dual > SLACK
            if tight.any():
                kept, place = tight[rows], np.cumsum(tight) - 1
                self.at_most(place[rows[kept]], columns[kept], -entries[kept], -limits[tight])

    def add_gaps(self, gaps: Float[np.ndarray, "agents agents"]) -> None:
        r"""Maximise :math:`\sum_{ik} C_{ik} (u_i - u_k)^+`, too, where :math:`C_{ik} + C_{ki} \le 0`.

        Linear in u, and one variable :math:`q \ge (u_k - u_i)^+` a pair, since :math:`d^+ = d + d^-`.
        """
        i, k = np.triu_indices(len(gaps), 1)
        slope, bend = gaps[i, k], np.maximum(-gaps[i, k] - gaps[k, i], 0.0)
        u = self.utilities
        self.reward(np.append(u[i], u[k]), np.append(slope, -slope))
        i, k, bend = (x[bend > 0] for x in (i, k, bend))
        behind = self.variables(i.size, 0.0, self.most[k])
        self.reward(behind, -bend)
        place = self.at_most(
            np.arange(i.size), np.stack([u[k], u[i], behind]), [[1.0], [-1.0], [-1.0]], np.zeros(i.size)
        )
        self._bends.append((i, k, bend, place))

    def worth(self, optimum: Optimum) -> Float[np.ndarray, " agents"]:
        """What a unit of each utility is worth at the optimum, its part in the gaps included."""
        worth = np.concatenate(self._reward)[self.utilities]
        for i, k, bend, place in self._bends:
            y = np.clip(optimum.duals[place], 0.0, bend)
            worth = worth + np.bincount(i, y, worth.size) - np.bincount(k, y, worth.size)
        return worth

    def solve(self) -> Optimum | None:
        """The maximum by HiGHS, or None where it fails at all tolerances."""
        import scipy.optimize

        reward, lower, upper, whole = map(np.concatenate, (self._reward, self._lower, self._upper, self._whole))
        (less, limits), (equal, targets) = self._matrix(self._rows), self._equalities()
        for tolerance in _TOLERANCES:
            answer = scipy.optimize.linprog(
                -reward,
                A_ub=less,
                b_ub=limits,
                A_eq=equal,
                b_eq=targets,
                bounds=np.stack([lower, upper], 1),
                method="highs",
                integrality=whole.astype(int) if whole.any() else None,
                options={
                    "primal_feasibility_tolerance": tolerance,
                    "dual_feasibility_tolerance": tolerance,
                    "mip_rel_gap": 0.0,
                },
            )
            if answer.status == 0:
                break
        else:
            return None
        if whole.any():
            return Optimum(self._placed(answer.x), [], None, -float(answer.mip_dual_bound), answer.x)
        y, v = np.maximum(-answer.ineqlin.marginals, 0.0), -answer.eqlin.marginals
        left = reward - less.T @ y - equal.T @ v
        bound = limits @ y + targets @ v + np.sum(np.maximum(left * lower, left * upper))
        ends = np.cumsum([row[3].size for row in self._rows])
        return Optimum(self._placed(answer.x), np.split(y, ends)[: len(self._rows)], left, float(bound), answer.x)

    def _equalities(self):
        """What utilities are, then item totals where they must be 1."""
        n = self.utilities.size
        rows = np.append(self.agent, np.arange(n))
        columns = np.append(self.shares, self.utilities)
        entries = np.append(self.values[self.agent, self.item], np.full(n, -1.0))
        utility = (rows, columns, entries, np.zeros(n))
        return self._matrix([utility] if self.disposal == "free" else [utility, self._totals()])

    def _totals(self):
        return self.item, self.shares, self.members[self.agent], np.ones(self.caps.size)

    def _matrix(self, blocks):
        import scipy.sparse as sp

        sizes = [block[3].size for block in blocks]
        starts = np.cumsum([0, *sizes])
        join = lambda parts, kind: np.concatenate([np.zeros(0, kind), *parts])
        rows = join([b[0] + s for b, s in zip(blocks, starts, strict=False)], int)
        columns = join([b[1] for b in blocks], int)
        entries = join([b[2] for b in blocks], float)
        matrix = sp.csr_array((entries, (rows, columns)), shape=(int(starts[-1]), self._columns))
        return matrix, join([b[3] for b in blocks], float)

    def _placed(self, point: np.ndarray) -> Float[np.ndarray, "agents items"]:
        shares = np.zeros(self.values.shape)
        shares[self.agent, self.item] = point[self.shares]
        return feasible(shares, self.caps, self.disposal, self.members)
