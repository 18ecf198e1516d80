"""The best allocation for any objective made of atoms, by one linear program, with a certified gap."""

from typing import Any

import numpy as np

from .._check import check_caps, check_disposal, check_room, check_tolerance, check_values
from ..solvers._program import Optimum, Program
from ..solvers.dual import bound
from ..solvers.solution import Solution, stacked
from ._objective import AbstractObjective, collect


def maximise(
    objective: Any,
    values: Any,
    *,
    caps: Any = 1.0,
    disposal: str = "forbidden",
    tol: float = 1e-6,
    throw: bool = True,
) -> Solution:
    r"""The allocation that is best for what agents want, whatever that is made of, with a proof of how good it is.

    .. math:: x^\theta \in \arg\max_{x \in X} \sum_i v_i(x), \qquad v_i(x) = \sum_h \theta_{ih}\, h(x; i)

    Every atom h must be concave with the sign of its weight for every agent; then the program is linear, and is solved by
    HiGHS. `disadvantage` and `advantage` are judged together, as in `is_concave`, so that altruists pass. The dual is recomputed
    from the multipliers by weak duality; the primal is the objective's own value of the shares that are returned.

    For Fehr and Schmidt's objective and more than some 150 agents, use `solve`.

    Args:
        objective: made from `atoms`, e.g. `atoms.own() - 0.3 * atoms.envy()`.
        values: `[..., agents, items]`, in utils, not negative. Leading axes are solved one by one.
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1].
        disposal: "forbidden" or "free".
        tol: relative gap: converged iff gap <= tol * (greatest total utility).
        throw: whether to raise where the gap stays above `tol`.

    Returns:
        `Solution`, with `sigma` None. Of several optimal allocations any may come.

    Raises:
        ValueError: bad input by name; an objective that is not made of atoms, or that they cannot certify concave: the atom is
            named.
        RuntimeError: a gap above `tol`, if `throw`.

    Source: Shirali, Finocchiaro and Abebe (2024), definition 2.3 [P]; certificate and linear program are ours [D].

    Example:
        >>> from fairhand.mechanisms.participatory import atoms
        >>> found = maximise(atoms.own() + 3.0 * atoms.worst_off(), [[3.0, 1.0], [2.0, 2.0]])
        >>> found.utilities.round(4).tolist(), round(float(found.primal), 4)  # without the worst-off: 3 and 2
        ([2.4, 2.4], 19.2)
    """
    values = check_values(values)
    agents, items = values.shape[-2:]
    disposal, caps = check_disposal(disposal), check_caps(caps, items)
    check_room(caps, disposal, agents)
    tol, _ = check_tolerance(tol)
    atoms = collect(objective, agents)
    batch = values.shape[:-2]
    answers = [_one(objective, atoms, values[at], caps, disposal, tol) for at in np.ndindex(batch)]
    found = stacked(answers, batch)
    if throw and found.status:
        raise RuntimeError(f"{found.status} Pass throw=False to take it as it is.")
    return found


def _one(
    objective: AbstractObjective, atoms: Any, values: np.ndarray, caps: Any, disposal: str, tol: float
) -> Solution:
    scale = float(values.max()) or 1.0
    program = Program(values / scale, caps, disposal, unit=scale)
    represent(program, atoms)
    return judged(objective, values, caps, disposal, program.solve(), tol, scale)


def represent(program: Program, atoms: Any) -> None:
    """Maximise collected atoms, too."""
    plain, gaps = atoms
    for atom, weights in plain:
        atom.represent(program, weights)
    program.add_gaps(gaps)


def judged(
    objective: AbstractObjective,
    values: np.ndarray,
    caps: Any,
    disposal: str,
    optimum: Optimum | None,
    tol: float,
    scale: float,
) -> Solution:
    """What the program found, with primal and gap recomputed from the shares."""
    best = bound(np.zeros(len(values)), values, caps, disposal)
    if optimum is None:
        shares, dual = np.full_like(values, 1 / len(values)), np.inf
        status = "HiGHS did not solve the linear program: no bound. Rescale `values` or the weights of `objective`."
    else:
        shares, dual, status = optimum.shares, optimum.bound * scale, ""
    primal = float(np.sum(objective.value(shares, values)))
    gap = dual - primal
    good = bool(gap <= tol * best)
    if not (good or status):
        status = (
            f"`maximise` stopped at a gap of {gap:.2g}, above `tol` = {tol:.2g} times the greatest total utility, {best:.4g}: "
            "loosen `tol`, or use the bound as it is."
        )
    return Solution(
        shares,
        np.einsum("ij,ij->i", values, shares),
        None,
        np.float64(primal),
        np.float64(dual),
        np.float64(gap),
        np.bool_(good),
        status,
        "lp",
    )
