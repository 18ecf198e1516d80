"""Who was compared with whom: the graph that says whether worths can be told (Ford 1957)."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int


class Comparisons(NamedTuple):
    """Components of the graph with an edge from each item to those it came before.

    Attributes:
        together: component of each item when edges are taken without direction: across two of them nothing is compared.
        mutual: strongly connected component of each item; −1 for items that were never compared.
        never_above: items that never came before another; never_below: items that never came after one.
    """

    together: Int[np.ndarray, " items"]
    mutual: Int[np.ndarray, " items"]
    never_above: list[int]
    never_below: list[int]


def compare(levels: Int[np.ndarray, "rankings items"]) -> Comparisons:
    """Components of the comparisons in `levels` (as from `reports`); only neighbouring groups are joined.

    All pairs of a ranking follow from those of neighbouring groups, so the components are the same and the work is that
    of the entries. Members of a group are joined through a knot of their own, as the group beneath them is.
    """
    import scipy.sparse
    from scipy.sparse.csgraph import connected_components

    items = levels.shape[1]
    row, item = np.nonzero(levels >= 0)
    level = levels[row, item]
    # A knot for each pair of neighbouring groups: the upper group points to it, and it points to the lower group.
    wide = int(level.max(initial=0)) + 1
    last = levels.max(1)[row]
    above, below = level < last, level > 0
    code = np.concatenate([(row * wide + level)[above], (row * wide + level - 1)[below]])
    knot = np.unique(code, return_inverse=True)[1] + items
    up, down = knot[: above.sum()], knot[above.sum() :]
    size = items + int(code.size and knot.max() - items + 1)
    start, end = np.concatenate([item[above], down]), np.concatenate([up, item[below]])
    graph: Any = scipy.sparse.csr_matrix((np.ones(len(start)), (start, end)), shape=(size, size))
    together = connected_components(graph, directed=True, connection="weak")[1][:items]
    mutual = connected_components(graph, directed=True, connection="strong")[1][:items]
    has_above = np.isin(np.arange(items), item[above])
    has_below = np.isin(np.arange(items), item[below])
    compared = has_above | has_below
    mutual = np.where(compared, np.unique(mutual, return_inverse=True)[1], -1)
    return Comparisons(
        np.unique(together, return_inverse=True)[1],
        mutual,
        np.flatnonzero(compared & ~has_above).tolist(),
        np.flatnonzero(compared & ~has_below).tolist(),
    )
