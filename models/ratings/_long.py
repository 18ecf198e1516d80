"""Reading ratings from a long table: one row for each rating, every fault named by its row."""

from typing import Any

import numpy as np

from .._check import require
from .._table import check_columns, floats, load, shown


def read_long(source: Any, *, agent: str, item: str, rating: str) -> dict[str, Any]:
    """Fields of `RatingData` from a long table; `RatingData.from_long` documents the arguments."""
    import pandas as pd

    table = load(source, "rating")
    frame = table.frame
    check_columns(table, (agent, item, rating), "rating")
    require(len({agent, item, rating}) == 3, "`agent`, `item` and `rating` must be three columns.")
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
