"""Going through draws a batch at a time, so that memory does not grow with their number."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ..models._check import require

BatchSize = int | Literal["auto"]
BUDGET = 256 * 2**20  # bytes that a batch may take under "auto"
COPIES = 6  # arrays as large as the data that a program holds for each draw, with room to spare


def batch_size_of(batch_size: BatchSize, data: Any, sites: dict[str, np.ndarray], total: int) -> int:
    """How many draws at a time: as said, or what fits `BUDGET` bytes, by the sizes of data and sites.

    Raises:
        ValueError: neither `"auto"` nor a positive number.
    """
    if batch_size == "auto":
        arrays = [x for _, x in (*data.observed().values(), *data.constant().values()) if x.dtype.kind in "fiub"]
        largest = max((x.size for x in arrays), default=1)
        each = 8 * (COPIES * largest + sum(int(np.prod(x.shape[1:])) for x in sites.values()))
        return int(np.clip(BUDGET // each, 1, total))
    require(
        isinstance(batch_size, int | np.integer) and batch_size >= 1,
        f"`batch_size` must be 'auto' or a positive number of draws, got {batch_size!r}.",
    )
    return min(int(batch_size), total)


def batches(sites: dict[str, np.ndarray], size: int) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Which draws, and their sites; the last batch is filled up with the last draw, so that all have one shape."""
    total = len(next(iter(sites.values())))
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        yield slice(start, min(start + size, total)), {name: x[rows] for name, x in sites.items()}
