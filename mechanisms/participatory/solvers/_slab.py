r"""Who might get some of which item: a few agents an item, chosen anew from time to time in one pass over the values.

An optimum has about n + m positive shares, so nearly all pairs can be left out. Candidates are the agents of greatest
:math:`(1 + \sigma_i) a_{ij} (1 + \epsilon h_{ij})`, h random in [0, 1], together with those who hold the item now.
Without the noise populations with aligned values would choose the same few agents for every item, and stall; so it falls with the
gap, not with time.
"""

from typing import NamedTuple

import numpy as np

#: Numbers looked at in one go.
BLOCK = 1 << 19


class Slab(NamedTuple):
    """Candidates `agents [rows, items]`, distinct in each column, their values, and the shares they hold."""

    agents: np.ndarray
    values: np.ndarray
    shares: np.ndarray


def rows_for(agents: int, items: int, caps: np.ndarray) -> int:
    """How many candidates an item has: enough to share the agents out, twice, and to fill the item under its cap."""
    least = max(64, 2.5 * agents / items, 4 / caps.min())
    return min(agents, 1 << int(np.ceil(np.log2(least))))


def choose(
    columns: np.ndarray, sigma: np.ndarray, rows: int, noise: float, rng: np.random.Generator, held: Slab | None = None
) -> Slab:
    """The candidates for weights sigma, with the shares of those who hold something already.

    Args:
        columns: `[items, agents]`, the values with items first.
        sigma: `[agents]`.
        rows: how many an item.
        noise: epsilon.
        rng: where h comes from.
        held: the slab before; its largest shares stay, up to half of the rows.

    Returns:
        The slab; shares of new candidates are 0.
    """
    items, agents = columns.shape
    found = Slab(np.empty((rows, items), np.int32), np.empty((rows, items)), np.zeros((rows, items)))
    width = max(1, BLOCK // agents)
    for j in range(0, items, width):
        block = columns[j : j + width]
        score = (1 + sigma) * block
        best = score.argmax(1)
        if noise:
            score *= 1 + noise * rng.random(score.shape, np.float32)
        line = np.arange(len(block))
        score[line, best] = np.inf
        shares = None
        if held is not None:
            who, much = held.agents[:, j : j + width].T, held.shares[:, j : j + width].T
            keep = max(1, len(held.agents) // 2)
            big = np.argpartition(-much, keep - 1, 1)[:, :keep] if keep < much.shape[1] else np.argsort(-much, 1)
            who, much = np.take_along_axis(who, big, 1), np.take_along_axis(much, big, 1)
            shares = np.zeros_like(block)
            shares[line[:, None], who] = much
            score[line[:, None], np.where(much > 0, who, best[:, None])] = np.inf
        picked = _largest(score, rows)
        found.agents[:, j : j + width] = picked.T
        found.values[:, j : j + width] = np.take_along_axis(block, picked, 1).T
        if shares is not None:
            found.shares[:, j : j + width] = np.take_along_axis(shares, picked, 1).T
    return found


def _largest(score: np.ndarray, rows: int) -> np.ndarray:
    """The places of the largest entries of each line; a partition of values and a scan beat one of places fivefold."""
    lines, n = score.shape
    if rows == n:
        return np.broadcast_to(np.arange(n), score.shape)
    least = np.partition(score, n - rows, 1)[:, n - rows]
    mask = score >= least[:, None]
    for i in np.flatnonzero(np.count_nonzero(mask, 1) != rows):  # ties at the end
        mask[i] = False
        mask[i, np.argpartition(score[i], n - rows)[n - rows :]] = True
    return (np.flatnonzero(mask) % n).reshape(lines, rows)


def spread(slab: Slab, agents: int) -> np.ndarray:
    """The shares as `[agents, items]`."""
    out = np.zeros((agents, slab.agents.shape[1]))
    np.put_along_axis(out, slab.agents, slab.shares, 0)
    return out
