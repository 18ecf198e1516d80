"""Ratings that are ranks in disguise: they order the items of each agent, and say nothing about a common law."""

import numpy as np

RANKS = "Rankings alone say nothing about a common continuous law."
WHY = (
    "Whatever the law, every order of independent values is equally likely, so the posterior would be the prior, "
    "dressed up. Collect ratings: points, prices one would pay, or stars on a scale that all agents share."
)


def refusal(source: str, what: str) -> str:
    """The sentence, why, and what to do instead."""
    return f"{source}: {what}. {RANKS} {WHY}"


def ranks_in_disguise(ratings: np.ndarray) -> str:
    """What shows that `ratings [agents, items]` are ranks; empty if nothing does.

    Two signs. All agents who rated anything gave each of 1, ..., k (or of 0, ..., k − 1) exactly once, k their own
    number of ratings. Or at least two agents gave the very same set of different numbers, in whatever order: points by
    place, such as Borda's. Under a continuous law either has probability 0.
    """
    rows = [np.sort(row[np.isfinite(row)]) for row in ratings]
    rows = [row for row in rows if row.size]
    if not rows or min(row.size for row in rows) < 2:
        return ""
    for first in (0, 1):
        if all(np.array_equal(row, np.arange(first, first + row.size)) for row in rows):
            return f"each agent's ratings are the numbers from {first} up, each once, which are ranks"
    one = rows[0]
    same = len(rows) > 1 and all(np.array_equal(row, one) for row in rows)
    if same and np.all(np.diff(one) > 0):
        return "all agents gave the same numbers in another order, which are points by rank"
    return ""
