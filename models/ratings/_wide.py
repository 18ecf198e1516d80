"""Reading ratings from a matrix: one row an agent, one column an item, every fault named by its row and column."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require
from .._table import check_columns, floats, load, names, shown


def read_wide(source: Any, *, agent: str | None, items: Sequence[Any] | None) -> dict[str, Any]:
    """Fields of `RatingData` from a matrix; `RatingData.from_wide` documents the arguments."""
    import pandas as pd

    table = load(source, "agent")
    frame = table.frame
    require(
        agent is not None or table.source == "data frame",
        f"{table.source}: say `agent=`, the column that names who rated, one of the columns "
        f"{', '.join(f'`{c}`' for c in frame.columns[:3])}, ...",
    )
    rest = [c for c in frame.columns if c != agent]
    wanted = rest if items is None else [items] if isinstance(items, str) else list(items)
    check_columns(table, ([] if agent is None else [agent]) + wanted, "agent")
    require(len(wanted) > 0, f"{table.source} has no column of ratings: give one column for each item.")
    require(agent not in wanted, f"`items` names `{agent}`, the column that says who rated: take it out.")
    who = pd.Series(frame.index) if agent is None else frame[agent]
    column = "the index" if agent is None else f"column `{agent}`"
    gap = who.isna().to_numpy()
    require(not gap.any(), f"{table.at(gap.argmax())}: {column} is empty: say who rated, or drop the row.")
    agents = names(who)
    again = pd.Series(agents).duplicated().to_numpy()
    at = again.argmax()
    require(not again.any(), f"{table.at(at)}: agent `{agents[at]}` has a row already: keep one.")
    ratings = np.column_stack([floats(frame[c]) for c in wanted])
    empty = frame[wanted].isna().to_numpy()
    bad = ~np.isfinite(ratings) & ~empty
    if bad.any():
        row, k = np.argwhere(bad)[0]
        raise ValueError(
            f"{table.at(row)}: column `{wanted[k]}` holds {shown(frame[wanted[k]].iloc[row])}, which is not a finite "
            "number: correct it, or leave the cell empty if there is no rating."
        )
    return {
        "ratings": ratings,
        "agents": tuple(agents),
        "items": tuple(map(str, wanted)),
        "source": table.source,
        "sha256": table.sha256,
    }
