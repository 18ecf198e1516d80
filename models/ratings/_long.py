"""Reading ratings from a long table: one row for each rating, every fault named by its row."""

from typing import Any

import numpy as np

from .._check import require
from .._table import floats, load, shown


def read_long(source: Any, *, agent: str, item: str, rating: str) -> dict[str, Any]:
    """Fields of `RatingData` from a long table; `RatingData.from_long` documents the arguments."""
    import pandas as pd

    table = load(source, "rating")
    frame = table.frame
    absent = [c for c in dict.fromkeys((agent, item, rating)) if c not in frame.columns]
    require(
        not absent,
        f"{table.source} has no column {', '.join(f'`{c}`' for c in absent)}: name one of "
        f"{', '.join(f'`{c}`' for c in frame.columns)}.",
    )
    require(len({agent, item, rating}) == 3, "`agent`, `item` and `rating` must be three columns.")
    twice = [c for c in (agent, item, rating) if (frame.columns == c).sum() > 1]
    require(not twice, f"{table.source} has two columns named {twice[:1]}: rename one of them.")
    require(len(frame) > 0, f"{table.source} is empty: give one row for each rating.")
    for column in (agent, item):
        gap = frame[column].isna().to_numpy()
        require(not gap.any(), f"{table.at(gap.argmax())}: column `{column}` is empty: fill it in or drop the row.")
    number = floats(frame[rating])
    bad = ~np.isfinite(number)
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{rating}` holds {shown(frame[rating].iloc[at])}, which is not a finite number: "
        "correct it, or drop the row if there is no rating.",
    )
    who, agents = pd.factorize(frame[agent])
    what, items = pd.factorize(frame[item])
    again = pd.Series(who * len(items) + what).duplicated().to_numpy()
    at = again.argmax()
    require(
        not again.any(),
        f"{table.at(at)}: agent `{agents[who[at]]}` rates item `{items[what[at]]}` a second time: keep one row.",
    )
    ratings = np.full((len(agents), len(items)), np.nan)
    ratings[who, what] = number
    names = {"agents": tuple(map(str, agents)), "items": tuple(map(str, items))}
    return {"ratings": ratings, **names, "source": table.source, "sha256": table.sha256}
