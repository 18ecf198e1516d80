"""Is there a direction in which the likelihood of a logit rises for ever? Linear programmes decide, exactly."""

import numpy as np
from jaxtyping import Float

BLOCK = 4000  # rows in the first programme, and added to each later one
GAIN = 1e-6  # of a row, with columns scaled to greatest entry 1 and |b| <= 1
LOSS = 1e-4  # of a row, over the greatest gain: data this close to separated count as separated


def separating_direction(rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " columns"] | None:
    r"""A short b with :math:`r\cdot b \ge 0` for all rows and :math:`> 0` for some; None if there is none.

    The programme :math:`\max\, (\sum r)\cdot b` under :math:`r\cdot b \ge 0` and :math:`|b_k| \le 1` is positive
    exactly if there is such a b (K. Konis 2007, "Linear programming algorithms for detecting separated data in binary
    logistic regression models", thesis, Oxford). It is solved on some rows and, while its b breaks others, on more:
    with fewer rows its value is an upper bound, so a zero ends the search at once. A second programme makes
    :math:`\sum|b_k|` least, so that b names few columns.

    Args:
        rows: differences of the chosen to each other alternative, in linearly independent columns.
    """
    rows = rows[rows.any(1)]
    num, columns = rows.shape
    if num == 0 or columns == 0:
        return None
    size = np.abs(rows).max(0)
    size = np.where(size > 0, size, np.inf)  # a column without entries takes no part
    rows = rows / size
    total = rows.sum(0) / num
    active = np.arange(num) if num <= BLOCK else np.unique(np.linspace(0, num - 1, BLOCK).astype(int))
    while True:
        b = _solve(-total, rows[active], [(-1.0, 1.0)] * columns)
        if b is None or not _separates(rows[active], b):
            return None
        gain = rows @ b
        broken = np.flatnonzero(gain < -LOSS * np.abs(gain).max())
        broken = np.setdiff1d(broken, active)
        if broken.size == 0:
            break
        active = np.union1d(active, broken[np.argsort(gain[broken])[:BLOCK]])
    # The least sum of |b|, b = plus - minus, among those that gain as much.
    both = np.concatenate([rows[active], -rows[active]], 1)
    gained = np.concatenate([total, -total]) / (total @ b)
    short = _solve(np.ones(2 * columns), both, [(0.0, None)] * (2 * columns), gained)
    if short is not None:
        short = short[:columns] - short[columns:]
        short = short / np.abs(short).max()
        for least in (1e-7, 1e-3):  # what rounding left behind, then what the tolerances did
            short = np.where(np.abs(short) > least, short, 0.0)
            if _separates(rows, short):
                b = short
    return b / size


def _separates(rows: np.ndarray, b: np.ndarray) -> bool:
    """Some row gains by more than rounding, and none loses by more than rounding."""
    gain = rows @ b
    return bool(gain.max() > GAIN and gain.min() >= -LOSS * gain.max())


def _solve(cost: np.ndarray, rows: np.ndarray, bounds: list, gain: np.ndarray | None = None) -> np.ndarray | None:
    import scipy.optimize

    answer = scipy.optimize.linprog(
        cost,
        A_ub=-rows,
        b_ub=np.zeros(len(rows)),
        A_eq=None if gain is None else gain[None],
        b_eq=None if gain is None else np.ones(1),
        bounds=bounds,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return answer.x
