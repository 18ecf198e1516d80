"""What any participatory objective costs by a benchmark, and what it gains in people's own terms."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ....models._check import require
from .._check import check_caps, check_disposal, check_room, check_tolerance, check_values
from ..compare import individual_tradeoff
from ..solvers._program import Program
from ..solvers.solution import Solution, stacked
from ._objective import collect
from ._utility_atoms import Own
from .maximise import judged, represent

Number = Float[Any, "*batch"]
NUMBERS = ("loss", "gain", "tradeoff", "price_of_fairness", "price_of_fairness_ratio")


class ObjectiveComparison(eqx.Module):
    """The best allocation by a benchmark, and the best one by an objective that people shaped.

    Attributes:
        standard: `Solution` of the benchmark, x*. Of several the one that people like best, so that `gain` is the smallest.
        participatory: `Solution` of the objective, x^theta.
        loss: `[...]`, what the benchmark gives up, f(h*(x*)) - f(h*(x^theta)) (equation 4).
        gain: `[...]`, what people gain, f(v(x^theta)) - f(v(x*)) (equation 5).
        tradeoff: `[...]`, the largest factor by which the benchmark falls for one agent: 0/0 counts as 1, positive/0 is inf;
            NaN for a benchmark with negative values.
        price_of_fairness: `[...]`, loss / f(h*(x*)), equation 6 where the benchmark is own utility.
        price_of_fairness_ratio: `[...]`, f(h*(x*)) / f(h*(x^theta)), equation 7 likewise.
        loss_range: `[..., 2]`, least and greatest loss over all optimal x^theta; None unless asked for.
    """

    standard: Solution
    participatory: Solution
    loss: Number
    gain: Number
    tradeoff: Number
    price_of_fairness: Number
    price_of_fairness_ratio: Number
    loss_range: Float[Array | np.ndarray, "*batch 2"] | None = None


def compare_objectives(
    objective: Any,
    values: Any,
    *,
    benchmark: Any = None,
    caps: Any = 1.0,
    disposal: str = "forbidden",
    tol: float = 1e-6,
    faces: bool = False,
) -> ObjectiveComparison:
    r"""What following an objective of the agents costs by a benchmark, and what they gain in their own terms.

    .. math:: \text{loss} = \sum_i h^*(x^*; i) - h^*(x^\theta; i), \qquad \text{gain} = \sum_i v_i(x^\theta) - v_i(x^*)

    One path for every objective that `atoms` can say. For Fehr and Schmidt's the same numbers come from `compare`, at scale.

    Args:
        objective: made from `atoms`; certified concave as in `maximise`.
        values: `[..., agents, items]`, in utils, not negative.
        benchmark: the designer's objective h*, made from `atoms`; None is own utility.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" or "free".
        tol: as in `maximise`.
        faces: whether to find the range of loss over all optimal x^theta, by two more programs; for linear benchmarks. The
            least gain over all optimal x* is `gain` itself; the greatest is no linear program, and is not looked for.

    Returns:
        `ObjectiveComparison`.

    Raises:
        ValueError: as `maximise`, for either objective; `faces` with a benchmark that is not linear.
        RuntimeError: a gap above `tol`.

    Source: Shirali, Finocchiaro and Abebe (2024), definitions 2.1 to 2.6 and equations 2 to 8 [P]; for objectives beyond own
    utility and inequality ours [X].

    Example:
        >>> from fairhand.mechanisms.participatory import atoms
        >>> found = compare_objectives(atoms.own() + 2.0 * atoms.worst_off(), [[1.0], [0.8]])
        >>> round(float(found.loss), 4), round(float(found.gain), 4), round(float(found.tradeoff), 4)
        (0.1111, 1.6667, 2.25)
    """
    values = check_values(values)
    agents, items = values.shape[-2:]
    disposal, caps = check_disposal(disposal), check_caps(caps, items)
    check_room(caps, disposal, agents)
    tol, _ = check_tolerance(tol)
    benchmark = Own() if benchmark is None else benchmark
    sides = [(objective, collect(objective, agents)), (benchmark, collect(benchmark, agents, "benchmark"))]
    linear = all(term.atom.curvature == "linear" for term in benchmark.parts())
    require(
        linear or not faces, "`faces` needs a `benchmark` of linear atoms; leave it out, or compare by `atoms.own()`."
    )
    batch = values.shape[:-2]
    each = [_one(sides[0], sides[1], values[at], caps, disposal, tol, bool(faces)) for at in np.ndindex(batch)]
    standard, participatory = (stacked([getattr(c, k) for c in each], batch) for k in ("standard", "participatory"))
    if failed := standard.status or participatory.status:
        raise RuntimeError(f"{failed} Loss and gain would be off by as much.")
    join = lambda name: np.stack([getattr(c, name) for c in each]).reshape((*batch, *np.shape(getattr(each[0], name))))
    ranges = join("loss_range") if faces else None
    return ObjectiveComparison(standard, participatory, **{name: join(name)[()] for name in NUMBERS}, loss_range=ranges)


def _one(wanted: Any, given: Any, values: np.ndarray, caps: Any, disposal: str, tol: float, faces: bool) -> Any:
    scale = float(values.max()) or 1.0

    def solved(first, then=None, optimum: Any = None):
        """The optimum of one side; or of another among the optima of the first, of which one is known."""
        program = Program(values / scale, caps, disposal, unit=scale)
        represent(program, first[1])
        if then is not None:
            program.hold(optimum)
            represent(program, then[1])
        return program.solve()

    def judge(side, optimum):
        return judged(side[0], values, caps, disposal, optimum, tol, scale)

    def sums(side, solution):
        return np.asarray(side[0].value(solution.shares, values))

    top, found = solved(given), solved(wanted)
    participatory = judge(wanted, found)
    standard = judge(given, top)
    if top is not None:  # of all that are best by the benchmark the one that people like best
        held = solved(given, wanted, top)
        if held is not None:
            standard = judge(given, held._replace(bound=top.bound))
    worth = sums(wanted, standard).sum()
    if worth > participatory.primal:  # within the gap of each other: then nothing needs to move
        dual = participatory.dual
        participatory = eqx.tree_at(
            lambda s: (s.shares, s.utilities, s.primal, s.gap),
            participatory,
            (standard.shares, standard.utilities, np.float64(worth), np.float64(dual - worth)),
        )
    before, after = sums(given, standard), sums(given, participatory)
    total, kept = float(before.sum()), float(after.sum())
    numbers = (
        total - kept,
        float(participatory.primal) - worth,
        individual_tradeoff(before, after) if min(before.min(), after.min()) >= 0 else np.nan,
        (total - kept) / total if total > 0 else 0.0,
        1.0 if total == 0 else (total / kept if kept > 0 else np.inf),
    )
    ends = None
    if faces:
        negative = (-given[0], collect(-given[0], len(values)))
        sides = [None if found is None else solved(wanted, side, found) for side in (given, negative)]
        ends = np.array([np.nan if x is None else total - given[0].value(x.shares, values).sum() for x in sides])
    named = dict(zip(NUMBERS, map(np.float64, numbers), strict=True))
    return ObjectiveComparison(standard, participatory, **named, loss_range=ends)
