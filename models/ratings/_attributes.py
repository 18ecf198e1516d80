"""What items are like: numbers by item, read from a table with a row for each item and matched by name."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require
from .._table import check_columns, floats, load, names, shown


def read_attributes(source: Any, *, item: str, columns: Sequence[str], items: Sequence[str]) -> np.ndarray:
    """`[items, columns]`, in the order of `items`; `RatingData.described` documents the arguments."""
    import pandas as pd

    table = load(source, "item")
    frame = table.frame
    check_columns(table, (item, *columns), "item")
    gap = frame[item].isna().to_numpy()
    require(not gap.any(), f"{table.at(gap.argmax())}: column `{item}` is empty: fill it in or drop the row.")
    named = pd.Index(names(frame[item]))
    again = named.duplicated()
    require(not again.any(), f"{table.at(again.argmax())}: item `{named[again.argmax()]}` has a row already: keep one.")
    rows = named.get_indexer(list(items))
    lost = [name for name, row in zip(items, rows, strict=True) if row < 0]
    require(not lost, f"{table.source} has no row for item `{lost[0] if lost else ''}` in column `{item}`: add it.")
    found = np.column_stack([floats(frame[c]) for c in columns])[rows]
    bad = ~np.isfinite(found)
    if bad.any():
        row, k = (int(x) for x in np.argwhere(bad)[0])
        value = shown(frame[columns[k]].iloc[int(rows[row])])
        raise ValueError(
            f"{table.at(int(rows[row]))}: column `{columns[k]}` holds {value}, which is not a finite number: correct it."
        )
    return found


def checked(attributes: Any, columns: Any, items: int, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Attributes and their names as they are kept; refuses what does not fit the items."""
    labels = (columns,) if isinstance(columns, str) else tuple(str(c) for c in columns)
    found = np.zeros((items, 0)) if attributes is None else np.asarray(attributes, float)
    require(
        found.shape == (items, len(labels)),
        f"{source}: `attributes` must be [items, columns], that is {(items, len(labels))}; got {found.shape}.",
    )
    twice = [c for i, c in enumerate(labels) if c in labels[:i]]
    require(not twice, f"{source}: `columns` names {twice[:1]} twice: keep one.")
    require(np.all(np.isfinite(found)), f"{source}: `attributes` must be finite numbers, one for every item.")
    return found, labels


def digest(sha256: str, attributes: np.ndarray, columns: Sequence[str]) -> str:
    """Hash of data that had one already, now with attributes."""
    out = hashlib.sha256(repr((sha256, tuple(columns))).encode())
    out.update(np.ascontiguousarray(attributes, "<f8").tobytes())
    return out.hexdigest()
